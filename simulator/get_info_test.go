package simulator_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"reflect"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

func TestGetInfo(t *testing.T) {
	k := newKey(t)
	aaguid, _ := hex.DecodeString("f1d0ce1f5e1f4b1d8a2c6b0d1e9a7c35")
	want := map[int]any{
		1: []any{"FIDO_2_0", "FIDO_2_1"},
		2: []any{"credProtect", "hmac-secret"},
		3: aaguid,
		4: m{"rk": true, "up": true, "plat": false, "credMgmt": true, "clientPin": false,
			"pinUvAuthToken": true, "makeCredUvNotRqd": true},
		5:  uint64(7609),
		6:  []any{uint64(2), uint64(1)},
		7:  uint64(20),
		8:  uint64(142),
		9:  []any{"usb"},
		10: []any{m{"alg": int64(-7), "type": "public-key"}, m{"alg": int64(-8), "type": "public-key"}},
		13: uint64(4),
		14: uint64(0x00010000),
		20: uint64(100),
		22: []any{"packed"},
		29: uint64(63),
	}
	got := k.ok(getInfo, nil)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("INF-001 to INF-047:\n got %v\nwant %v", got, want)
	}
	if again := k.ok(getInfo, nil); !reflect.DeepEqual(again, got) {
		t.Errorf("INF-049: second answer differs: %v", again)
	}

	k.create(resident(testRP, "alice"))
	if n := k.ok(getInfo, nil)[20]; n != uint64(99) {
		t.Errorf("INF-035: remainingDiscoverableCredentials = %v, want 99", n)
	}
	k.setPIN(testPIN)
	if options := k.ok(getInfo, nil)[4].(m); options["clientPin"] != true {
		t.Error("INF-048: clientPin is not true after a PIN was set")
	}
	if status, _ := k.send([]byte{getInfo, 0xa0}); status != invalidLength {
		t.Errorf("INF-050: trailing bytes: status %#02x, want INVALID_LENGTH", status)
	}
}

// TestGetInfoFull23 has every member of a key with everything.
func TestGetInfoFull23(t *testing.T) {
	k := newKey(t, full23())
	got := k.ok(getInfo, nil)
	want := map[int]any{
		1: []any{"FIDO_2_0", "FIDO_2_1", "FIDO_2_3", "U2F_V2"},
		2: []any{"credBlob", "credProtect", "hmac-secret", "hmac-secret-mc", "largeBlobKey", "minPinLength",
			"pinComplexityPolicy", "thirdPartyPayment", "uvm"},
		4: m{"rk": true, "up": true, "plat": false, "credMgmt": true, "clientPin": false, "pinUvAuthToken": true,
			"makeCredUvNotRqd": true, "uv": false, "ep": false, "bioEnroll": false, "uvBioEnroll": true,
			"authnrCfg": true, "uvAcfg": true, "perCredMgmtRO": true, "setMinPINLength": true, "alwaysUv": false,
			"largeBlobs": true},
		9:    []any{"usb", "nfc", "smart-card"},
		0x0c: false, // INF-030
		0x0d: uint64(4),
		0x0b: uint64(4096),
		0x0f: uint64(64),
		0x10: uint64(8),
		0x11: uint64(3),
		0x12: uint64(2),
		0x15: []any{uint64(0x6669646f6b657900)},
		0x16: []any{"packed", "fido-u2f"},
		0x17: uint64(0),
		0x18: false,
		0x1a: []any{"usb", "nfc", "smart-card"}, // INF-041
		0x1b: false,
		0x1c: []byte("https://fidokey.example/pin"),
		0x1d: uint64(63),
		0x1f: []any{uint64(1), uint64(2), uint64(3), uint64(4), uint64(255)},
	}
	for member, value := range want {
		if !reflect.DeepEqual(got[member], value) {
			t.Errorf("member %#02x is %v, want %v", member, got[member], value)
		}
	}
	for _, member := range []int{0x19, 0x1e} {
		if value, present := got[member]; present {
			t.Errorf("INF-045: member %#02x is %v", member, value)
		}
	}
	if again := k.ok(getInfo, nil); !reflect.DeepEqual(again, got) {
		t.Errorf("INF-049: second answer differs: %v", again)
	}
}

func TestGetInfoFollowsConfig(t *testing.T) {
	k := newKey(t, withRoomFor(5), func(c *simulator.Config) { c.MaxMsgSize = 1200 })
	info := k.ok(getInfo, nil)
	if got := fmt.Sprint(info[5], info[20]); got != "1200 5" {
		t.Errorf("maxMsgSize, remainingDiscoverableCredentials = %s", got)
	}
}

func TestNewRefusesConfig(t *testing.T) {
	for name, c := range map[string]simulator.Config{
		"short messages":       {MaxMsgSize: 1023},
		"unknown PIN protocol": {Profile: &simulator.Profile{GetInfo: ctap2.GetInfoResponse{PINUVAuthProtocols: []uint{9}}}},
		"no randomness":        {Random: bytes.NewReader(nil)},
		"stuck at zero":        {Random: zeroes{}},
		"record of a stranger": {Storage: storageWith(map[string][]byte{"device": {0x80}})},
		"no master key":        {Storage: storageWith(map[string][]byte{"device": {0xa0}})},
		"no device record":     {Storage: storageWith(map[string][]byte{"credential/00": {0xa0}})},
	} {
		if _, err := simulator.New(c); err == nil {
			t.Errorf("%s: New succeeded", name)
		}
	}
}

// zeroes is a source of randomness that is broken.
type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func storageWith(records map[string][]byte) simulator.Storage {
	s := simulator.NewMemory()
	if err := s.Commit(records); err != nil {
		panic(err)
	}
	return s
}
