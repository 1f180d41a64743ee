// Package e2e boots the VM of test/vm and runs the tests of package guest in it.
package e2e
