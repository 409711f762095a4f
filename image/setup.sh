#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks: Debian packages, and parts of the Rust toolchain.
# Called by the make targets that need it. When nothing is missing it says nothing and takes well under a second.
# With the argument `soak` it also installs what only `make soak ONLY=servers` needs: two dozen real servers.
# DIRECTOR_SKIP_SETUP=1 skips it (another distribution, or a machine where nothing may be installed).
set -euo pipefail

[ "${DIRECTOR_SKIP_SETUP:-}" = 1 ] && exit 0

# Package, and why.
packages=(
  "build-essential      compiles the kernel and links the Rust programs"
  "bc bison flex        kernel build: configuration parser and generated headers"
  "libelf-dev           kernel build: objtool reads object files"
  "libssl-dev           kernel build: host tools"
  "cpio kmod rsync      kernel build: host tools"
  "xz-utils zstd        unpack the kernel source, compress the kernel"
  "linux-source-6.1     the kernel's source"
  "qemu-system-x86      the machines of the lab"
  "ipxe-qemu seabios    firmware of those machines"
  "ovmf                 the same, UEFI"
  "grub-pc-bin grub-efi-amd64-bin grub-common  the boot loader of the disk image"
  "nginx                the real servers of the lab (its service is not started)"
  "curl                 the client of the lab"
  "dnsmasq-base         the DHCP server of the lab (only the program, no service)"
  "ipvsadm              the peer that the kernel's table is compared with, in a guest (its service is not started)"
  "socat                UDP and SCTP inside helper guests of the lab"
  "nftables             tests change packet rules behind the back of the firmware (no service is enabled)"
  "redis-tools          a real server for the tests of checks (only the program, no service)"
  "vsftpd               a real server for the tests of checks (its service is not started)"
  "keepalived           the peer of the benchmarks, for its guest (its service is not started)"
  "busybox              the shell of that guest"
  "mmdebstrap e2fsprogs  the Debian whose start is compared with (make bench ONLY=power-on)"
  "rwhod rstatd rpcbind  sources of load for the tests of load monitors (only the programs, no services)"
  "openssl              certificates and a TLS server for the tests of checks"
  "iproute2 util-linux  network namespaces of the lab"
)
# Real servers that are too heavy for every machine: only with the argument `soak`.
soak_packages=(
  "exim4-daemon-light   smtp (its service is not started, nor are those of the next)"
  "dovecot-imapd dovecot-pop3d  imap, pop3"
  "slapd                ldap"
  "unbound              dns"
  "freeradius           radius"
  "mariadb-server       mysql"
  "postgresql           postgresql"
  "chrony               ntp"
  "sip-tester           sip"
  "haproxy              what an agent says must mean the same to it"
)
[ "${1:-}" = soak ] && packages+=("${soak_packages[@]}")

say() { printf 'setup: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi

# Sets `missing` to the packages that are not installed.
find_missing() {
  local names installed name
  names=$(for line in "${packages[@]}"; do sed 's/   *.*//' <<<"$line"; done | xargs)
  # dpkg-query's status is 1 when it does not know one of them.
  # shellcheck disable=SC2086  # a list of words
  installed=" $({ dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' $names 2>/dev/null || true; } | sed -n 's/^ii *//p' | xargs) "
  missing=()
  for name in $names; do
    [[ $installed == *" $name "* ]] || missing+=("$name")
  done
}

# A Debian package starts its service when it is installed and at every boot. The lab runs nginx and vsftpd with
# configurations of its own inside namespaces, so no server must appear on this machine: starting is denied while we
# install, and the service is disabled afterwards. One that was here before is left as it is.
deny_services() {
  policy=/usr/sbin/policy-rc.d
  [ -e $policy ] && return
  trap '"${as_root[@]}" rm -f '$policy EXIT
  printf '#!/bin/sh\n# Made by image/setup.sh while it installs packages, and removed right after.\nexit 101\n' |
    "${as_root[@]}" tee $policy >/dev/null
  "${as_root[@]}" chmod 755 $policy
}

# Services of the packages above that would start at the next boot.
services=" nginx vsftpd ipvsadm keepalived exim4 dovecot slapd unbound freeradius mariadb postgresql chrony haproxy "

disable_service() {
  "${as_root[@]}" deb-systemd-helper disable "$1.service" >/dev/null 2>&1 || true
  "${as_root[@]}" update-rc.d "$1" disable >/dev/null 2>&1 || true
  say "the service $1 is disabled; to use it yourself: systemctl enable --now $1"
}

install_packages() {
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0)
  local yes=(-y) plan
  say "these Debian packages are missing and will be installed${as_root:+ with sudo}:"
  for line in "${packages[@]}"; do
    for name in "${missing[@]}"; do
      if [[ " ${line%%  *} " == *" $name "* ]]; then say "  $line"; break; fi
    done
  done
  if [ -n "${as_root[*]}" ] && ! command -v sudo >/dev/null; then
    stop "there is no sudo: as root, run apt-get install --no-install-recommends ${missing[*]}"
  fi
  "${apt[@]}" update >/dev/null || say "apt-get update failed; trying with the package lists that are here"
  plan=$(apt-get -s install --no-install-recommends "${missing[@]}") || stop "apt-get cannot install them: see above"
  if grep -q '^Remv ' <<<"$plan"; then
    say "apt-get would remove, because versions conflict: $(sed -n 's/^Remv \([^ ]*\).*/\1/p' <<<"$plan" | xargs)"
    # Taking something away is the user's decision; a CI machine belongs to nobody.
    if [ "${CI:-}" != true ]; then
      [ -t 0 ] || stop "nothing was changed; run make setup in a terminal to decide"
      yes=()
    fi
  fi
  deny_services
  "${apt[@]}" install "${yes[@]}" --no-install-recommends "${missing[@]}" >&2
  local name service
  for name in "${missing[@]}"; do
    # The service of exim4-daemon-light is exim4, and so on.
    service=${name%%-*}
    [[ $services == *" $service "* ]] && disable_service "$service"
  done
  find_missing
  [ ${#missing[@]} = 0 ] || stop "still missing: ${missing[*]}"
}

# rust-toolchain.toml names channel, components and target. rustup installs them by itself when cargo is called, unless
# it was told not to (RUSTUP_AUTO_INSTALL=0, or auto-install off) or the toolchain was there before without them.
check_rust() {
  command -v cargo >/dev/null || stop "cargo is missing: install Rust with rustup (https://rustup.rs) and come again"
  local target=x86_64-unknown-linux-musl
  if command -v rustup >/dev/null && ! rustc --version >/dev/null 2>&1; then
    say "installing the Rust toolchain that rust-toolchain.toml names"
    rustup toolchain install >&2
  fi
  if ! [ -d "$(rustc --print target-libdir --target $target)" ]; then
    command -v rustup >/dev/null || stop "this Rust has no $target target, and there is no rustup to add it"
    say "adding the Rust target $target: the firmware is one static program"
    rustup target add $target >&2
  fi
  local component
  for component in rustfmt clippy; do
    if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
      command -v rustup >/dev/null || stop "this Rust has no $component, and there is no rustup to add it"
      say "adding the Rust component $component: make lint needs it"
      rustup component add $component >&2
    fi
  done
}

cd "$(dirname "$0")/.."
command -v dpkg-query >/dev/null ||
  stop "this is not Debian. Install the equivalents of: ${packages[*]%%  *}; then set DIRECTOR_SKIP_SETUP=1"
find_missing
[ ${#missing[@]} = 0 ] || install_packages
check_rust
