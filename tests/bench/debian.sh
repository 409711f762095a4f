#!/usr/bin/env bash
# debian.sh FOLDER: the Debian that `make bench ONLY=power-on` starts beside the firmware, made once: the five-node cluster's
# director as an administrator would set it up, with Debian's kernel, systemd, ifupdown and keepalived. Downloads about 150 MiB.
set -euo pipefail

out=$1
[ -e "$out/disk.img" ] && exit 0
suite=bookworm
size=1500M
packages=systemd-sysv,udev,dbus,kmod,ifupdown,iproute2,procps,keepalived,ipvsadm,linux-image-amd64,initramfs-tools
command -v mmdebstrap >/dev/null || { printf 'debian.sh: mmdebstrap is missing (make setup)\n' >&2; exit 1; }
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/etc/network" "$work/etc/keepalived" "$work/etc/sysctl.d"
printf 'debian\n' >"$work/etc/hostname"
printf '/dev/vda / ext4 defaults 0 1\n' >"$work/etc/fstab"
printf 'net.ipv4.ip_forward = 1\n' >"$work/etc/sysctl.d/forward.conf"
cat >"$work/etc/network/interfaces" <<'END'
auto lo eth0 eth1
iface lo inet loopback
iface eth0 inet static
  address 1.2.3.2/24
iface eth1 inet static
  address 192.168.1.1/24
END
# The highest priority, with which keepalived waits for nobody.
{
  instance() { printf 'vrrp_instance %s {\n state MASTER\n interface %s\n virtual_router_id %s\n priority 255\n advert_int 1\n virtual_ipaddress {\n  %s dev %s\n }\n}\n' "$@"; }
  instance outside eth0 51 1.2.3.1/24 eth0
  instance inside eth1 52 192.168.1.254/24 eth1
  printf 'virtual_server 1.2.3.1 80 {\n delay_loop 2\n lvs_sched wlc\n lvs_method NAT\n protocol TCP\n'
  for last in 3 4 5; do
    printf ' real_server 192.168.1.%s 80 {\n  weight 1\n  TCP_CHECK {\n   connect_timeout 2\n  }\n }\n' "$last"
  done
  printf '}\n'
} >"$work/etc/keepalived/keepalived.conf"

mmdebstrap --variant=minbase --include="$packages" \
  --customize-hook="cp -r $work/etc/. \"\$1/etc/\"" \
  --customize-hook="chroot \"\$1\" systemctl enable keepalived networking" \
  --customize-hook="cp -L \"\$1/vmlinuz\" $out/vmlinuz; cp -L \"\$1/initrd.img\" $out/initrd.img" \
  --customize-hook="mkdir $work/root && mount --bind \"\$1\" $work/root" \
  --customize-hook="truncate -s $size $out/disk.new; mke2fs -q -t ext4 -d $work/root $out/disk.new; umount $work/root" \
  "$suite" /dev/null
mv "$out/disk.new" "$out/disk.img"
