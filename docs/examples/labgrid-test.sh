#!/bin/bash
# labgrid-test.sh PLACE EXPORTER BUSID: checks the key of a labgrid place. EXPORTER is the
# machine with the hub, where 'usbipd -D' runs; BUSID is the port of the key there, as 1-1.4.2.
# The key comes to this machine by USB/IP, so that nothing of the test runs at the bench.
set -euo pipefail
place=$1 exporter=$2 busid=$3
token=$(labgrid-client reserve --wait --shell "name=$place" | sed -n 's/^export LG_TOKEN=//p')
LG_TOKEN=$token labgrid-client -p + acquire
cleanup() {
  port=$(usbip port 2> /dev/null | awk -v id="/$busid$" '/^Port/ { p = $2 + 0 } $0 ~ "-> usbip:" && $NF ~ id { print p; exit }')
  [ -z "$port" ] || sudo usbip detach -p "$port" || true
  ssh "$exporter" sudo usbip unbind -b "$busid" || true
  labgrid-client -p + release || true
  labgrid-client cancel-reservation "$token" || true
}
trap cleanup EXIT
export LG_TOKEN=$token

labgrid-client -p + power cycle
for _ in {1..50}; do # until the key is there again
  ssh "$exporter" sudo usbip bind -b "$busid" && break
  sleep 0.1
done
sudo modprobe vhci-hcd
sudo usbip attach -r "$exporter" -b "$busid"
for _ in {1..50}; do fidokey list --json | grep -q '"device"' && break; sleep 0.1; done
fidokey ci fidokey-ci.yaml --junit fidokey.xml
