//go:build cgo && (darwin || freebsd || (linux && libusb))

package hid

// notPermitted is for Windows. Elsewhere the library does not tell a missing right
// from a device in use.
func notPermitted(err error) error { return err }
