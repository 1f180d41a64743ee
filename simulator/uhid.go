package simulator

// UHIDConfig is how the key presents itself to the system. The zero value will do.
type UHIDConfig struct {
	Device  string // "" is /dev/uhid
	Name    string // of the product, at most 127 bytes; "" is "fidokey simulator"
	Serial  string // at most 63 bytes; may be empty
	Vendor  uint16 // 0 is 0x1209, which is for free projects
	Product uint16 // 0 is 0xf1d0
	// Ready, if set, is called once, when the kernel has taken the device: its
	// node /dev/hidrawN is there, or will be within milliseconds.
	Ready func()
}
