#!/usr/bin/env bash
# make fuzz: runs the libFuzzer targets of this folder one after another and writes build/fuzz.json.
#   TARGET   one target instead of all
#   SECONDS  for all of them together (in the environment as FUZZ_SECONDS: bash counts in SECONDS itself)
# New inputs lie in build/fuzz/corpus/TARGET, crashes in build/fuzz/crashes/TARGET. A new input worth keeping goes into
# tests/fuzz/corpus/TARGET by hand; a crash goes there with its fix.
set -uo pipefail
cd "$(dirname "$0")/../.."

cargo_fuzz_version=0.13.2
nightly=${FUZZ_TOOLCHAIN:-nightly}
budget=${FUZZ_SECONDS:-60}
only=${FUZZ_TARGET:-}
tools=$PWD/build/tools
out=$PWD/build/fuzz

say() { printf 'fuzz: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

[[ $budget =~ ^[1-9][0-9]{0,6}$ ]] || stop "SECONDS=$budget is not a number of seconds"
targets=()
for file in tests/fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
if [ -n "$only" ]; then
  [[ " ${targets[*]} " == *" $only "* ]] || stop "there is no target $only; there are: ${targets[*]}"
  targets=("$only")
fi

# libFuzzer's instrumentation exists in nightly Rust only, and the stable one is what everything else is built with.
command -v rustup >/dev/null || stop "fuzzing needs nightly Rust, and there is no rustup to get it: https://rustup.rs"
rustc "+$nightly" --version >/dev/null 2>&1 ||
  stop "fuzzing needs nightly Rust: rustup toolchain install nightly --profile minimal"
export PATH=$tools/bin:$PATH
if ! cargo fuzz --version >/dev/null 2>&1; then
  say "installing cargo-fuzz $cargo_fuzz_version into build/tools"
  cargo install cargo-fuzz --version "$cargo_fuzz_version" --locked --quiet --root "$tools" ||
    stop "cargo-fuzz cannot be installed: is crates.io reachable? (cargo install cargo-fuzz does the same by hand)"
fi

fuzz() { cargo "+$nightly" fuzz "$@"; }
each=$((budget / ${#targets[@]}))
[ "$each" -gt 0 ] || each=1
say "building ${#targets[@]} targets"
# Without the address sanitizer: the code under test forbids unsafe, and is several times as fast.
fuzz build --sanitizer none --fuzz-dir tests/fuzz --target-dir "$out/target" ${only:+"$only"} || stop "the targets do not build: see above"

crashed=0
rows=()
printf '%-12s %8s %14s %10s %8s\n' target seconds executions "per second" crashes
for target in "${targets[@]}"; do
  corpus=$out/corpus/$target crashes=$out/crashes/$target log=$out/$target.log
  mkdir -p "$corpus" "$crashes"
  # Text that is longer says nothing new, and each byte of it costs.
  case $target in console) longest=256 ;; config | braces) longest=1024 ;; *) longest=4096 ;; esac
  began=$SECONDS
  # Slow inputs and memory are faults too: every body bounds what it does.
  # The program itself, not `cargo fuzz run`: that builds again when somebody edits meanwhile.
  "$out/target/x86_64-unknown-linux-gnu/release/$target" \
    "$corpus" "tests/fuzz/corpus/$target" -max_total_time="$each" -max_len=$longest -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="$crashes/" >"$log" 2>&1
  status=$?
  took=$((SECONDS - began))
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
  if [ -z "$executions" ]; then executions=$(sed -n 's/^#\([0-9]*\).*/\1/p' "$log" | tail -n 1); fi
  found=0
  if [ $status != 0 ]; then
    found=1 crashed=1
    say "$target: $(grep -m 1 -E "panicked at|ERROR: " "$log" || echo "status $status"); whole log: $log"
    sed -n 's/^.*Test unit written to /fuzz: input: /p' "$log" >&2
  fi
  printf '%-12s %8d %14d %10d %8d\n' "$target" "$took" "${executions:-0}" $((${executions:-0} / (took > 0 ? took : 1))) $found
  rows+=("$(printf '  {"target": "%s", "seconds": %d, "executions": %d, "crashes": %d}' "$target" "$took" "${executions:-0}" $found)")
done

{
  printf '[\n'
  for i in "${!rows[@]}"; do
    printf '%s%s\n' "${rows[$i]}" "$([ $((i + 1)) = ${#rows[@]} ] || echo ,)"
  done
  printf ']\n'
} >build/fuzz.json
say "written: build/fuzz.json"
exit $crashed
