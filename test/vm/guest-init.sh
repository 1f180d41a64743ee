#!/bin/bash
# Process 1 of the guest, as /io/guest-init: loads the HID modules, runs /io/cmd, leaves its exit
# status in /io/rc and powers off.
. /io/env
mkdir -p /dev/shm /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t devpts devpts /dev/pts
ln -sf /proc/self/fd /dev/fd
for i in 0:stdin 1:stdout 2:stderr; do ln -sf "/proc/self/fd/${i%:*}" "/dev/${i#*:}"; done
hostname fidokey-vm
/bin/busybox ip link set lo up
mkdir -p "/lib/modules/$(uname -r)"
mount --bind "$VM_MODULES/lib/modules/$(uname -r)" "/lib/modules/$(uname -r)"
modprobe -a uhid hid-generic usbhid vhci-hcd || echo "guest-init: modprobe failed" >&2
if [ -n "$VM_UDEV" ]; then
  # It runs without systemd. udevd sets the nodes' rights, and libudev's clients need its database.
  /lib/systemd/systemd-udevd --daemon && udevadm trigger --action=add && udevadm settle
fi
echo "guest-init: ready after $(cut -d' ' -f1 /proc/uptime) s" >&2
cd "$VM_CWD" 2> /dev/null || cd /
setsid bash /io/cmd > /io/out 2>&1 < /dev/null
echo $? > /io/rc
dmesg > /io/dmesg
sync
echo o > /proc/sysrq-trigger
sleep 60
