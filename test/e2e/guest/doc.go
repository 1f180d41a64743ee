// Package guest has the tests that run inside the VM of test/vm, on a Linux whose
// kernel has /dev/uhid and a virtual USB host: there the simulator is a HID device
// or a USB key like any other, and programs that know nothing of this project judge
// it.
//
// The test of package e2e builds them, boots the VM and runs them. Elsewhere they
// do nothing.
package guest
