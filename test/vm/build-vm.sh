#!/bin/bash
# build-vm.sh [DIR]: fetches Debian's kernel package (it is not installed, nothing outside DIR
# is written) and makes what run-vm.sh boots:
#   DIR/vmlinux      kernel, unpacked, which saves the emulated CPU 2 s
#   DIR/initrd.cpio  busybox and the modules needed to mount the root file system over 9p
#   DIR/modules/     the HID modules, which the guest finds at /lib/modules
# Does nothing when DIR is up to date. The last line on stderr says what failed.
set -euo pipefail
guest_modules="uhid hid-generic usbhid vhci-hcd hid-mcp2221 loop dm-crypt xts"
root_modules="virtio_pci 9pnet_virtio 9p overlay"
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:-${FIDOKEY_VM_DIR:-$HOME/.cache/fidokey-vm}}
mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
exec 9> "$dir/lock"; flock 9

package=$(apt-cache depends linux-image-amd64 2> /dev/null | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -1)
version=$(apt-cache policy "$package" | sed -n 's/.*Candidate: //p' | head -1)
scripts=$(cat "$here/build-vm.sh" "$here/init.initramfs" /bin/busybox | sha256sum | cut -c1-16)
# Without package lists what was built earlier is good enough.
if [ -z "$package" ] && [[ $(cat "$dir/stamp" 2> /dev/null) == *" $scripts" ]]; then exit 0; fi
[ -n "$package" ] || { echo "build-vm: no kernel package known: run apt-get update" >&2; exit 1; }
want="$package $version $scripts"
[ "$(cat "$dir/stamp" 2> /dev/null)" != "$want" ] || exit 0
rm -f "$dir/stamp"

tmp=$(mktemp -d "$dir/tmp.XXXXXX"); trap 'rm -rf "$tmp"' EXIT
# apt's own user cannot enter a private folder.
(cd "$tmp" && apt-get download -qq -o APT::Sandbox::User=root "$package") ||
  { echo "build-vm: cannot fetch $package" >&2; exit 1; }
dpkg -x "$tmp"/*.deb "$tmp/x"
kernel=$(ls "$tmp/x/lib/modules")
depmod -b "$tmp/x" "$kernel"
# files MODULE prints the module's file after those it depends on.
files() { modprobe -d "$tmp/x" -S "$kernel" --show-depends "$1" | awk '$1 == "insmod" { print $2 }'; }

# The package has 400 MB of modules.
rm -rf "$dir/modules"; mkdir -p "$dir/modules/lib/modules/$kernel"
cp "$tmp/x/lib/modules/$kernel"/modules.{order,builtin,builtin.modinfo} "$dir/modules/lib/modules/$kernel/"
for module in $guest_modules; do
  for file in $(files "$module"); do
    mkdir -p "$dir/modules$(dirname "${file#"$tmp/x"}")"
    cp "$file" "$dir/modules${file#"$tmp/x"}"
  done
done
depmod -b "$dir/modules" "$kernel"

# The bzImage has the kernel in xz, as Debian 12 makes it; another one is booted as it is.
image=$(ls "$tmp"/x/boot/vmlinuz-*)
cp "$image" "$dir/vmlinux"
for offset in $(LC_ALL=C grep -aboP '\xfd7zXZ\x00' "$image" | cut -d: -f1); do
  tail -c +$((offset + 1)) "$image" | xz -dcq > "$tmp/vmlinux" 2> /dev/null || true # xz dislikes what follows
  [ "$(head -c4 "$tmp/vmlinux" | tail -c3)" != ELF ] || { cp "$tmp/vmlinux" "$dir/vmlinux"; break; }
done

initrd="$tmp/initrd"; mkdir -p "$initrd"/{bin,m,proc,sys,dev,lower,rw,newroot}
cp /bin/busybox "$initrd/bin/busybox"
install -m 755 "$here/init.initramfs" "$initrd/init"
for module in $root_modules; do
  for file in $(files "$module"); do
    name=$(basename "$file" .xz)
    [ ! -e "$initrd/m/$name" ] || continue
    case $file in *.xz) xz -dc "$file" > "$initrd/m/$name" ;; *) cp "$file" "$initrd/m/" ;; esac
    echo "$name" >> "$initrd/m/order"
  done
done
(cd "$initrd" && find . | LC_ALL=C sort | cpio -o -H newc --quiet) > "$dir/initrd.cpio"
echo "$want" > "$dir/stamp"
echo "build-vm: $package $version is in $dir" >&2
