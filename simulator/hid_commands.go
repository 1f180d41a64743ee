package simulator

import "time"

// Sizes in bytes, times and limits of CTAPHID (CTAP 2.1, section 11.2).
const (
	hidReportSize = 64
	hidFirstData  = hidReportSize - 7              // data in an initialization packet
	hidNextData   = hidReportSize - 5              // data in a continuation packet
	hidMaxMessage = hidFirstData + 128*hidNextData // 7609: sequence numbers end at 7F

	hidTimeout   = 500 * time.Millisecond // for the next packet of a message
	hidKeepalive = 75 * time.Millisecond  // between two keepalives; the limit is 100 ms
	hidMaxLock   = 10                     // seconds
	hidChannels  = 256                    // open at a time; past that the longest unused is forgotten

	hidBroadcast = uint32(0xffffffff) // the channel on which INIT asks for a channel
	hidInitBit   = byte(0x80)         // tells initialization from continuation packets
)

// A hidCommand is a CTAPHID command without the initialization bit (section
// 11.2.9).
type hidCommand byte

const (
	hidPing      hidCommand = 0x01
	hidMsg       hidCommand = 0x03
	hidLock      hidCommand = 0x04
	hidInit      hidCommand = 0x06
	hidWink      hidCommand = 0x08
	hidCBOR      hidCommand = 0x10
	hidCancel    hidCommand = 0x11
	hidKeepAlive hidCommand = 0x3b
	hidError     hidCommand = 0x3f
)

// A hidFault is the payload of an ERROR message (section 11.2.9.1.6).
type hidFault byte

const (
	hidNoFault        hidFault = 0x00
	hidInvalidCommand hidFault = 0x01
	hidInvalidPar     hidFault = 0x02
	hidInvalidLength  hidFault = 0x03
	hidInvalidSeq     hidFault = 0x04
	hidMessageTimeout hidFault = 0x05
	hidChannelBusy    hidFault = 0x06
	hidInvalidChannel hidFault = 0x0b
	hidOther          hidFault = 0x7f
)

// What INIT answers about the device (section 11.2.9.1.3).
const (
	hidProtocol = 2

	capabilityWink = 0x01
	capabilityCBOR = 0x04
	capabilityNMSG = 0x08 // no MSG: no U2F
)

var hidFirmware = [3]byte{1, 0, 0} // major, minor, build

// check says whether a key takes a message of this command with size bytes.
func (c hidCommand) check(size int, traits hidTraits) hidFault {
	known, ok, capabilities := true, false, traits.capabilities
	switch c {
	case hidPing:
		ok = true
	case hidMsg:
		known, ok = capabilities&capabilityNMSG == 0, size > 0
	case hidCBOR:
		known, ok = capabilities&capabilityCBOR != 0, size > 0
	case hidLock:
		ok = size == 1
	case hidWink:
		known, ok = capabilities&capabilityWink != 0, size == 0
	default:
		known = false
	}
	if !known {
		return hidInvalidCommand
	}
	if !ok || size > traits.maxMessage() {
		return hidInvalidLength
	}
	return hidNoFault
}
