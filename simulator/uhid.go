package simulator

// UHIDConfig is how the key presents itself to the system. The zero value will do.
type UHIDConfig struct {
	Device string // "" is /dev/uhid
	// The name has at most 127 bytes, the serial number at most 63; there is no
	// place for the maker.
	USBIdentity
	// Ready, if set, is called once, when the kernel has taken the device: its
	// node /dev/hidrawN is there, or will be within milliseconds.
	Ready func()
}
