package hid

// NewTestSlot returns a Slot with keys and ports of the test's making.
func NewTestSlot(key Info, devices func() ([]Info, error), open func(path string) (Port, error)) *Slot {
	return &Slot{key: key, devices: devices, open: open}
}
