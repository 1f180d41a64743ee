package simulator

// VHCIConfig is for [ServeVHCI]. The zero value will do.
type VHCIConfig struct {
	USBIdentity
	// Ready, if set, is called when the kernel has taken the device, each time
	// that the key is plugged in. Its node /dev/hidrawN is there half a second
	// later.
	Ready func()
}
