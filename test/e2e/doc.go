// Package e2e has strangers judge: in the VM of test/vm, where it runs the tests of
// package guest, and over PC/SC with virtual readers, which need no VM.
package e2e
