package simulator

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf16"
)

// USBIdentity is how the key presents itself to a system. The zero value will do.
type USBIdentity struct {
	Maker   string // "" is "fidokey"
	Name    string // of the product; "" is "fidokey simulator"
	Serial  string // may be empty
	Vendor  uint16 // 0 is 0x1209, which is for free projects
	Product uint16 // 0 is 0xf1d0
}

// complete fills in what was left out.
func (id USBIdentity) complete() USBIdentity {
	return USBIdentity{
		Maker:   cmp.Or(id.Maker, "fidokey"),
		Name:    cmp.Or(id.Name, "fidokey simulator"),
		Serial:  id.Serial,
		Vendor:  cmp.Or(id.Vendor, 0x1209),
		Product: cmp.Or(id.Product, 0xf1d0),
	}
}

// Types of descriptors (USB 2.0, table 9-5; HID 1.11, section 7.1).
const (
	usbDevice        = 0x01
	usbConfiguration = 0x02
	usbString        = 0x03
	usbInterface     = 0x04
	usbEndpoint      = 0x05
	usbHID           = 0x21
	usbHIDReport     = 0x22
)

const (
	usbVersion       = 0x0200
	usbDeviceVersion = 0x0100
	usbHIDVersion    = 0x0111
	usbClassHID      = 3
	usbEnglish       = 0x0409 // the language of the strings
	usbStringMax     = 126    // UTF-16 units in a string descriptor
	usbControlPacket = 64     // bytes

	usbEndpointIn   = 0x81
	usbEndpointOut  = 0x01
	usbInterrupt    = 3 // type of both endpoints
	usbPollInterval = 5 // milliseconds
)

// Numbers of the strings in the device descriptor; 0 is the list of languages.
const (
	usbMaker = 1 + iota
	usbName
	usbSerial
)

// usbDescriptors are what the key says of itself.
type usbDescriptors struct {
	device, configuration, hid, report []byte
	strings                            [4][]byte // empty: there is none
}

func newUSBDescriptors(id USBIdentity, reportSize int) (*usbDescriptors, error) {
	id = id.complete()
	d := &usbDescriptors{report: hidReportDescriptor(reportSize)}
	d.strings[0] = usbDescriptor(usbString, binary.LittleEndian.AppendUint16(nil, usbEnglish)...)
	var number [4]byte // of each string, 0 if there is none
	for i, s := range map[byte]string{usbMaker: id.Maker, usbName: id.Name, usbSerial: id.Serial} {
		units := utf16.Encode([]rune(s))
		if len(units) > usbStringMax {
			return nil, fmt.Errorf("%q is longer than %d characters", s, usbStringMax)
		}
		if len(units) == 0 {
			continue
		}
		var text []byte
		for _, unit := range units {
			text = binary.LittleEndian.AppendUint16(text, unit)
		}
		number[i], d.strings[i] = i, usbDescriptor(usbString, text...)
	}

	device := binary.LittleEndian.AppendUint16(nil, usbVersion)
	device = append(device, 0, 0, 0, usbControlPacket) // the interface has the class
	device = binary.LittleEndian.AppendUint16(device, id.Vendor)
	device = binary.LittleEndian.AppendUint16(device, id.Product)
	device = binary.LittleEndian.AppendUint16(device, usbDeviceVersion)
	device = append(device, number[usbMaker], number[usbName], number[usbSerial], 1)
	d.device = usbDescriptor(usbDevice, device...)

	hid := binary.LittleEndian.AppendUint16(nil, usbHIDVersion)
	hid = append(hid, 0, 1, usbHIDReport) // no country, one descriptor
	d.hid = usbDescriptor(usbHID, binary.LittleEndian.AppendUint16(hid, uint16(len(d.report)))...)
	d.configuration = usbConfigurationOf(slices.Concat(
		usbDescriptor(usbInterface, 0, 0, 2, usbClassHID, 0, 0, 0), // no subclass: no boot protocol
		d.hid,
		usbDescriptor(usbEndpoint, usbEndpointIn, usbInterrupt, byte(reportSize), 0, usbPollInterval),
		usbDescriptor(usbEndpoint, usbEndpointOut, usbInterrupt, byte(reportSize), 0, usbPollInterval),
	))
	return d, nil
}

// usbConfigurationOf puts the descriptor of the only configuration before the
// others: powered by the bus, with up to 100 mA.
func usbConfigurationOf(others []byte) []byte {
	const head, busPowered, milliamperes = 9, 0x80, 100
	size := binary.LittleEndian.AppendUint16(nil, uint16(head+len(others)))
	return append(usbDescriptor(usbConfiguration, append(size, 1, 1, 0, busPowered, milliamperes/2)...), others...)
}

// usbDescriptor puts length and type before what a descriptor says.
func usbDescriptor(kind byte, data ...byte) []byte {
	return append([]byte{byte(2 + len(data)), kind}, data...)
}

// find returns a descriptor, nil if there is none. There is no device qualifier,
// for the key has one speed.
func (d *usbDescriptors) find(kind, index byte, language uint16) []byte {
	switch {
	case kind == usbDevice && index == 0:
		return d.device
	case kind == usbConfiguration && index == 0:
		return d.configuration
	case kind == usbString && index == 0, kind == usbString && int(index) < len(d.strings) && language == usbEnglish:
		return d.strings[index]
	}
	return nil
}
