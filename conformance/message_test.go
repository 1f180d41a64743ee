package conformance_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/conformance"
)

func TestMessage(t *testing.T) {
	for _, test := range []struct {
		m          conformance.Message
		data       string
		name, text string // of Name and Diagnostic
	}{
		{conformance.Message{Door: "hid", Command: 0x90}, "04", "CTAPHID_CBOR authenticatorGetInfo", ""},
		{conformance.Message{Door: "hid", Command: 0x90}, "06a201020202", "CTAPHID_CBOR authenticatorClientPIN getKeyAgreement", "{1: 2, 2: 2}"},
		{conformance.Message{Door: "hid", Command: 0x90}, "09a201010207", "CTAPHID_CBOR authenticatorBioEnrollment getFingerprintSensorInfo", "{1: 1, 2: 7}"},
		{conformance.Message{Door: "hid", Command: 0x90}, "0da10102", "CTAPHID_CBOR authenticatorConfig toggleAlwaysUv", "{1: 2}"},
		{conformance.Message{Door: "hid", Command: 0x90, FromKey: true}, "2e", "CTAPHID_CBOR CTAP2_ERR_NO_CREDENTIALS", ""},
		{conformance.Message{Door: "hid", Command: 0x90}, "01a1ff", "CTAPHID_CBOR authenticatorMakeCredential", ""}, // not well-formed
		{conformance.Message{Door: "hid", Command: 0x90}, "", "CTAPHID_CBOR empty", ""},
		{conformance.Message{Door: "hid", Command: 0xbf, FromKey: true}, "06", "CTAPHID_ERROR CHANNEL_BUSY", ""},
		{conformance.Message{Door: "hid", Command: 0xbb, FromKey: true}, "02", "CTAPHID_KEEPALIVE touch needed", ""},
		{conformance.Message{Door: "hid", Command: 0x83}, "00030000000000", "CTAPHID_MSG U2F_VERSION", ""},
		{conformance.Message{Door: "hid", Command: 0x83, FromKey: true}, "6985", "CTAPHID_MSG SW 6985", ""},
		{conformance.Message{Door: "hid", Command: 0xaa}, "", "CTAPHID command 2a", ""},
		{conformance.Message{Door: "report"}, "01020304810000", "HID report", ""},
		{conformance.Message{Door: "nfc"}, "00a4040008a0000006472f000100", "SELECT", ""},
		{conformance.Message{Door: "nfc"}, "801000000104", "NFCCTAP_MSG authenticatorGetInfo", ""},
		{conformance.Message{Door: "nfc"}, "8010800000000406a102010000", "NFCCTAP_MSG authenticatorClientPIN getPINRetries", "{2: 1}"},
		{conformance.Message{Door: "nfc", FromKey: true, About: 6}, "00a103089000", "SW 9000 CTAP2_OK", "{3: 8}"},
		{conformance.Message{Door: "nfc", FromKey: true}, "5532465f56329000", "SW 9000", ""},
		{conformance.Message{Door: "nfc"}, "00c0000010", "GET RESPONSE", ""},
		{conformance.Message{Door: "nfc"}, "80111100", "NFCCTAP_GETRESPONSE", ""},
		{conformance.Message{Door: "nfc", FromKey: true}, "", "nothing", ""},
	} {
		data, err := hex.DecodeString(test.data)
		if err != nil {
			t.Fatal(err)
		}
		test.m.Data = data
		if got := test.m.Name(); got != test.name {
			t.Errorf("%s is called %q, not %q", test.data, got, test.name)
		}
		if got := test.m.Diagnostic(); got != test.text {
			t.Errorf("%s is %q, not %q", test.data, got, test.text)
		}
		if !strings.Contains(test.m.String(), test.data) {
			t.Errorf("%s: %v", test.data, &test.m)
		}
	}
}
