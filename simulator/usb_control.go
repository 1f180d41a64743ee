package simulator

import "encoding/binary"

// Requests of the control endpoint: bmRequestType and bRequest (USB 2.0,
// section 9.4; HID 1.11, section 7.2).
const (
	usbGetStatusDevice           = 0x8000
	usbGetStatusInterface        = 0x8100
	usbGetStatusEndpoint         = 0x8200
	usbClearFeatureEndpoint      = 0x0201
	usbSetFeatureEndpoint        = 0x0203
	usbSetAddress                = 0x0005
	usbGetDescriptor             = 0x8006
	usbGetDescriptorOfHID        = 0x8106
	usbGetConfiguration          = 0x8008
	usbSetConfiguration          = 0x0009
	usbGetInterface              = 0x810a
	usbSetInterface              = 0x010b
	usbHIDGetIdle                = 0xa102
	usbHIDSetIdle                = 0x210a
	usbPortSetFeature            = 0x2303 // to a hub: some hosts reset the bus with it
	usbFeatureHalt               = 0
	usbFeaturePortReset          = 4
	usbConfigured           byte = 1
)

// A usbFunction is the part of a USB device that answers on the control endpoint.
type usbFunction struct {
	*usbDescriptors
	configuration byte // 0: none is chosen
	idle          byte
	haltedIn      bool
	haltedOut     bool
	reset         func() // called for a bus reset
}

// A usbSetup is the packet that begins a control transfer.
type usbSetup struct {
	request      uint16 // bmRequestType, bRequest
	value, index uint16
}

func parseUSBSetup(b [8]byte) usbSetup {
	return usbSetup{
		request: binary.BigEndian.Uint16(b[:]),
		value:   binary.LittleEndian.Uint16(b[2:]),
		index:   binary.LittleEndian.Uint16(b[4:]),
	}
}

// control answers a control transfer; !ok is a stall. The protocol requests of
// HID are for boot devices. Reports go over the interrupt endpoints only.
func (f *usbFunction) control(s usbSetup) (answer []byte, ok bool) {
	switch s.request {
	case usbGetDescriptor:
		answer = f.find(byte(s.value>>8), byte(s.value), s.index)
		return answer, answer != nil
	case usbGetStatusDevice:
		return []byte{0, 0}, s.index == 0 // powered by the bus, no remote wake-up
	case usbGetConfiguration:
		return []byte{f.configuration}, true
	case usbSetConfiguration:
		return nil, f.configure(s.value)
	case usbSetAddress: // the host's controller has done it
		return nil, true
	case usbGetStatusEndpoint:
		return f.endpointStatus(s.index)
	case usbClearFeatureEndpoint:
		return nil, s.value == usbFeatureHalt && f.halt(s.index, false)
	case usbSetFeatureEndpoint:
		return nil, s.value == usbFeatureHalt && f.halt(s.index, true)
	case usbPortSetFeature:
		if s.value == usbFeaturePortReset {
			f.busReset()
			return nil, true
		}
	}
	if s.index != 0 || f.configuration == 0 {
		return nil, false // no such interface
	}
	return f.controlInterface(s)
}

// controlInterface is control for requests to the only interface.
func (f *usbFunction) controlInterface(s usbSetup) (answer []byte, ok bool) {
	switch s.request {
	case usbGetDescriptorOfHID:
		switch s.value {
		case usbHID << 8:
			return f.hid, true
		case usbHIDReport << 8:
			return f.report, true
		}
	case usbGetStatusInterface:
		return []byte{0, 0}, true
	case usbGetInterface:
		return []byte{0}, true
	case usbSetInterface:
		if s.value != 0 {
			return nil, false // there is one setting
		}
		f.haltedIn, f.haltedOut = false, false
		return nil, true
	case usbHIDGetIdle:
		return []byte{f.idle}, s.value == 0 // report ID 0: all
	case usbHIDSetIdle:
		f.idle = byte(s.value >> 8)
		return nil, byte(s.value) == 0
	}
	return nil, false
}

func (f *usbFunction) configure(value uint16) bool {
	if value > uint16(usbConfigured) {
		return false
	}
	f.configuration = byte(value)
	f.haltedIn, f.haltedOut, f.idle = false, false, 0
	return true
}

// busReset forgets what the host has set. The key keeps its power: the time
// window of authenticatorReset goes on, and so do tokens.
func (f *usbFunction) busReset() {
	f.configure(0)
	f.reset()
}

func (f *usbFunction) endpointStatus(endpoint uint16) ([]byte, bool) {
	halted := false
	switch endpoint {
	case 0x00, 0x80:
	case usbEndpointIn:
		halted = f.haltedIn
	case usbEndpointOut:
		halted = f.haltedOut
	default:
		return nil, false
	}
	if halted {
		return []byte{1, 0}, true
	}
	return []byte{0, 0}, true
}

func (f *usbFunction) halt(endpoint uint16, halted bool) bool {
	switch endpoint {
	case usbEndpointIn:
		f.haltedIn = halted
	case usbEndpointOut:
		f.haltedOut = halted
	default:
		return endpoint&0x7f == 0 && !halted
	}
	return true
}
