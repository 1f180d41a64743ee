package nfc

import "strings"

// pretenders are readers that are interfaces of USB keys. They take the selection
// of the FIDO applet and then refuse everything, or may. The key is to be used over
// HID.
var pretenders = []struct{ name, reason string }{
	{"Nitrokey", "the smart-card interface of a Nitrokey takes the selection of the FIDO applet and then refuses everything"},
	{"SoloKeys", "the smart-card interface of a Solo takes the selection of the FIDO applet and then refuses everything"},
	{"Solo 2", "the smart-card interface of a Solo takes the selection of the FIDO applet and then refuses everything"},
	{"Yubico YubiKey", "the smart-card interface of a YubiKey before 5.8 takes the selection of the FIDO applet and then refuses everything"},
}

// pretender says why the FIDO applet behind a reader is not to be trusted.
func pretender(reader string) string {
	for _, p := range pretenders {
		if strings.Contains(reader, p.name) {
			return p.reason + "; use it over USB"
		}
	}
	return ""
}

const (
	transportNFC       = "nfc"
	transportSmartCard = "smart-card"
)

// cardTransport tells contactless cards from others by the ATR, which readers
// make up for them (PC/SC part 3, section 3.1.3.2.3), else by the reader's name.
func cardTransport(reader string, atr []byte) string {
	switch {
	case contactlessATR(atr):
		return transportNFC
	case namesContactless(reader):
		return transportNFC
	case len(atr) > 0 || pretender(reader) != "":
		return transportSmartCard
	}
	return ""
}

// contactlessATR recognises 3B 8n 80 01, n historical bytes and a checksum. The
// smart-card interface of some USB keys has such an ATR as well.
func contactlessATR(atr []byte) bool {
	return len(atr) > 4 && atr[0] == 0x3b && atr[1]>>4 == 8 && atr[2] == 0x80 && atr[3] == 0x01 &&
		len(atr) == 4+int(atr[1]&0x0f)+1
}

func namesContactless(reader string) bool {
	name := " " + strings.ToUpper(reader) + " "
	for _, word := range []string{"PICC", "CONTACTLESS", " CL ", "NFC", "RFID", "ACR122"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
