#!/usr/bin/env bash
# make vm: runs the suites of this folder, two at a time, and prints each one's output when it has ended, so that they do not mix.
#   CASE     only cases whose name contains this
# Most of a suite is waiting: for a time-out, for a machine that boots. The suite of the pair measures how long a client is
# not served, so nothing runs beside it.
set -uo pipefail
cd "$(dirname "$0")/../.."

cargo=${CARGO:-cargo}
case=${CASE:-}
# The longest first, so that none is left over at the end.
beside=(boot commits five_node serial_line dhcp access ipvsadm provision balancing matrix together conformance)
alone=(pair)

for file in tests/vm/*.rs; do
  name=$(basename "$file" .rs)
  # The seeds' clusters run by name.
  [[ " ${beside[*]} ${alone[*]} seeds " == *" $name "* ]] || { printf 'tests/vm/run.sh does not know the suite %s\n' "$name" >&2; exit 1; }
done
"$cargo" test --quiet --package director-vm-tests --no-run --locked || exit 1
out=build/vm
rm -rf "$out"
mkdir -p "$out"

suite() {
  local name=$1 began=$SECONDS result
  "$cargo" test --quiet --package director-vm-tests --test "$name" --locked -- ${case:+"$case"} >"$out/$name.log" 2>&1
  result=$?
  # One write, so that the output of two that end together does not mix.
  printf '%s\n== %s %s after %d s\n' "$(cat "$out/$name.log")" "$name" "$([ $result = 0 ] && echo passed || echo FAILED)" $((SECONDS - began))
  [ $result = 0 ] || printf '%s\n' "$name" >>"$out/failed"
}

for name in "${alone[@]}"; do suite "$name"; done
running=0
for name in "${beside[@]}"; do
  if [ $running = 2 ]; then wait -n; running=1; fi
  suite "$name" &
  running=$((running + 1))
done
wait
if [ -e "$out/failed" ]; then
  printf 'failed: %s\n' "$(tr '\n' ' ' <"$out/failed")"
  exit 1
fi
