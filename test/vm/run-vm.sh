#!/bin/bash
# run-vm.sh [-t SECONDS] [-m MB] [-o DIR] [-U] [-v] -- COMMAND...
# Boots the VM, runs COMMAND in it as root through bash, prints its output and exits with its
# status: 124 past the time limit, 125 when the guest died.
#   -t  time limit (default 120)
#   -m  memory of the guest in MB (default 1024)
#   -o  directory that the guest shares as /io (default: a temporary one, removed at the end)
#   -U  do not start systemd-udevd, which takes a second and a half
#   -v  print the kernel's console too
# FIDOKEY_VM_ENV names variables to hand on.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
limit=120 memory=1024 io='' udev=1 verbose=''
while getopts t:m:o:Uv flag; do case $flag in
  t) limit=$OPTARG ;; m) memory=$OPTARG ;; o) io=$OPTARG ;; U) udev='' ;; v) verbose=1 ;; *) exit 2 ;;
esac; done
shift $((OPTIND - 1))
dir=${FIDOKEY_VM_DIR:-$HOME/.cache/fidokey-vm}
"$here/build-vm.sh" "$dir"
dir=$(cd "$dir" && pwd)

temporary='' qemu='' follow=''
cleanup() {
  [ -z "$qemu" ] || kill "$qemu" 2> /dev/null || true
  [ -z "$follow" ] || kill "$follow" 2> /dev/null || true
  [ -z "$temporary" ] || rm -rf "$temporary"
}
trap cleanup EXIT
[ -n "$io" ] || io=$(mktemp -d) temporary=$io
mkdir -p "$io"; io=$(cd "$io" && pwd)
rm -f "$io"/{rc,out,console,dmesg}
: > "$io/out"
cp "$here/guest-init.sh" "$io/guest-init"
printf '%s\n' "$*" > "$io/cmd"
{
  printf 'export PATH=%q:/usr/sbin:/sbin HOME=/root LANG=C.UTF-8 TERM=dumb\n' "$PATH"
  printf 'VM_UDEV=%q VM_CWD=%q VM_MODULES=%q\n' "$udev" "$PWD" "$dir/modules"
  for name in ${FIDOKEY_VM_ENV:-}; do printf 'export %s=%q\n' "$name" "${!name-}"; done
} > "$io/env"

# Emulation (tcg) works the same everywhere, also where /dev/kvm is there but of no use. The
# machine is q35: microvm boots half a second faster, but having no HPET and no PM timer to
# calibrate by it hangs now and then on a busy host.
qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max \
  -smp 2 -m "$memory" -nodefaults -no-user-config -display none -no-reboot \
  -serial "file:$io/console" -kernel "$dir/vmlinux" -initrd "$dir/initrd.cpio" \
  -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable" \
  -fsdev local,id=root,path=/,readonly=on,security_model=none,multidevs=remap \
  -device virtio-9p-pci,fsdev=root,mount_tag=root \
  -fsdev "local,id=io,path=$io,security_model=none" \
  -device virtio-9p-pci,fsdev=io,mount_tag=io < /dev/null &
qemu=$!
tail -q -n +1 -s 0.1 -f "$io/out" & follow=$!
end=$((SECONDS + limit)) late=''
while kill -0 "$qemu" 2> /dev/null; do
  [ $SECONDS -lt $end ] || { late=1; kill "$qemu" 2> /dev/null || true; break; }
  sleep 0.1
done
wait "$qemu" 2> /dev/null || true
qemu=''
sleep 0.3 # what tail has not seen yet
kill "$follow" 2> /dev/null || true; wait "$follow" 2> /dev/null || true
follow=''
[ -z "$verbose" ] || cat "$io/console" >&2
if [ -n "$late" ]; then echo "run-vm: past the time limit of $limit s; console:" >&2; tail -20 "$io/console" >&2; exit 124; fi
if [ ! -s "$io/rc" ]; then echo "run-vm: the guest died; console:" >&2; tail -40 "$io/console" >&2; exit 125; fi
exit "$(cat "$io/rc")"
