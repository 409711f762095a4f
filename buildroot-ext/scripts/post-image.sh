#!/bin/sh
# Packs the initramfs and assembles the disk image, with the tool of the quick build and the same board files.
# Buildroot sets BINARIES_DIR, TARGET_DIR, HOST_DIR and BUILD_DIR.
set -eu

tree=$(cd "$(dirname "$0")/../.." && pwd)
board=$tree/board/x86_64
tool=${DIRECTOR_IMAGE_TOOL:-$HOST_DIR/bin/director-image}
out=$BINARIES_DIR

# A symbol that another kernel version drops silently must not go unnoticed.
for config in "$BUILD_DIR"/linux-*/.config; do
  case $config in *headers*) continue ;; esac
  [ -e "$config" ] && "$tool" symbols --fragment "$board/kernel.fragment" --config "$config"
done

# Buildroot's own GRUB modules, in the two folders that the tool looks for.
if [ -z "${DIRECTOR_GRUB:-}" ]; then
  DIRECTOR_GRUB=$BUILD_DIR/director-grub
  mkdir -p "$DIRECTOR_GRUB"
  for kind in i386-pc x86_64-efi; do
    for core in "$BUILD_DIR"/grub2-*/build-$kind/grub-core; do
      [ -d "$core" ] && ln -sfn "$core" "$DIRECTOR_GRUB/$kind"
    done
  done
fi
export DIRECTOR_GRUB
PATH=$HOST_DIR/bin:$PATH
export PATH

"$tool" initramfs --program "$TARGET_DIR/init" --keep "$out/director" --out "$out/initramfs.cpio.zst"
"$tool" ls "$out/initramfs.cpio.zst"
"$tool" disk --kernel "$out/bzImage" --initramfs "$out/initramfs.cpio.zst" --board "$board" \
  --out "$out/director-x86_64.img"
"$tool" report --program "$out/director" --kernel "$out/bzImage" --initramfs "$out/initramfs.cpio.zst" \
  --out "$out/sizes.md"
