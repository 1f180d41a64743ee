package simulator

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// hidVariant is a whole key with its HID interface.
func hidVariant(t *testing.T, edit func(p *Profile)) *hidBench {
	t.Helper()
	p := DefaultProfile()
	withExtensions(p)
	edit(p)
	a, err := New(Config{Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	b := &hidBench{T: t, port: NewHID(a).Port()}
	t.Cleanup(func() {
		b.port.Close()
		a.Close()
	})
	return b
}

// capabilities opens a channel.
func (b *hidBench) capabilities() (channel uint32, capabilities byte) {
	b.Helper()
	b.send(0xffffffff, wireInit, []byte("abcdefgh"))
	m, ok := b.read(time.Second)
	if !ok || len(m.data) != 17 {
		b.Fatalf("INIT: %v", m)
	}
	return uint32(m.data[8])<<24 | uint32(m.data[9])<<16 | uint32(m.data[10])<<8 | uint32(m.data[11]), m.data[16]
}

func TestHIDVariants(t *testing.T) {
	version := []byte{0, 3, 0, 0, 0, 0, 0}
	for _, c := range []struct {
		name         string
		edit         func(p *Profile)
		capabilities byte
		u2f, wink    bool
		cbor         bool
	}{
		{"full", func(*Profile) {}, 0x05, true, true, true},
		{"HID-038 no U2F", func(p *Profile) { p.GetInfo.Versions = []string{"FIDO_2_0"} }, 0x0d, false, true, true},
		{"HID-040 no WINK", func(p *Profile) { p.NoWink = true }, 0x04, true, false, true},
		{"U2F only", func(p *Profile) { p.GetInfo.Versions = []string{"U2F_V2"} }, 0x01, true, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := hidVariant(t, c.edit)
				channel, capabilities := b.capabilities()
				if capabilities != c.capabilities {
					t.Errorf("HID-006: capabilities %#02x, want %#02x", capabilities, c.capabilities)
				}
				answer := func(command byte, data []byte, known bool, want []byte) {
					t.Helper()
					b.send(channel, command, data)
					if known {
						b.want(channel, command, want)
					} else {
						b.want(channel, wireError, []byte{1})
					}
				}
				answer(wireMsg, version, c.u2f, append([]byte("U2F_V2"), 0x90, 0)) // U2F-001
				answer(wireWink, nil, c.wink, nil)                                 // HID-039
				if c.cbor {
					b.send(channel, wireCBOR, []byte{4})
					if m, ok := b.read(time.Second); !ok || m.command != wireCBOR {
						t.Errorf("getInfo: %v", m)
					}
				} else {
					answer(wireCBOR, []byte{4}, false, nil)
				}
				if c.u2f { // HID-037
					b.send(channel, wireMsg, nil)
					b.want(channel, wireError, []byte{3})
				}
			})
		})
	}
}

// TestHIDMsgAnswersWhole is U2F-026: over HID there is nothing to fetch the rest
// of a long answer with.
func TestHIDMsgAnswersWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := hidVariant(t, func(*Profile) {})
		channel, _ := b.capabilities()
		b.send(channel, wireMsg, append(append([]byte{0, 1, 3, 0, 64}, make([]byte, 64)...), 0))
		m, ok := b.read(time.Second)
		if !ok || m.command != wireMsg || len(m.data) < 300 || !bytes.HasSuffix(m.data, []byte{0x90, 0}) {
			t.Errorf("REGISTER: %v", m)
		}
	})
}

// slowU2F is a key that takes its time with messages of U2F.
type slowU2F struct {
	hidKey
	capabilities byte
}

func (k *slowU2F) message(context.Context, origin, []byte) []byte {
	time.Sleep(100 * time.Millisecond)
	return []byte{0x90, 0}
}

func (k *slowU2F) hidTraits() hidTraits {
	traits := k.hidKey.hidTraits()
	traits.capabilities, traits.claimed = k.capabilities, k.capabilities
	return traits
}

// TestHIDMsgKeepalive: U2F's own HID protocol has no KEEPALIVE, CTAP's has it
// while a message is processed, one of U2F too.
func TestHIDMsgKeepalive(t *testing.T) {
	for capabilities, want := range map[byte][]byte{
		capabilityWink:                  {wireMsg},
		capabilityWink | capabilityCBOR: {wireKeepalive, wireMsg},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := &hidBench{T: t, port: newHID(&slowU2F{capabilities: capabilities}).Port()}
			defer b.port.Close()
			b.send(b.open(), wireMsg, []byte{0, 3, 0, 0, 0, 0, 0})
			for _, command := range want {
				if m, _ := b.read(time.Second); m.command != command {
					t.Errorf("capabilities %02x: %v, want %02x", capabilities, m, command)
				}
			}
		})
	}
}
