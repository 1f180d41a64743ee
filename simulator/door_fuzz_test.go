package simulator

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/fidokey/fidokey/internal/ctaptest"
)

// FuzzUSBIP sends arbitrary bytes to the USB/IP door, from the handshake on. What is
// answered begins as an answer does, and the next host can have the key.
func FuzzUSBIP(f *testing.F) {
	var v usbVectors
	ctaptest.Vectors(f, "usbip", &v)
	f.Add([]byte(v.OpReqDevlist))
	f.Add([]byte(v.OpReqImport))
	f.Add(slices.Concat([]byte(v.OpReqImport), []byte(v.CmdSubmitGetDeviceDescriptor), []byte(v.CmdUnlink)))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte(v.OpReqImport[:20]))
	f.Fuzz(func(t *testing.T, sent []byte) {
		synctest.Test(t, func(t *testing.T) {
			d, err := newUSBDescriptors(USBIdentity{}, 64)
			if err != nil {
				t.Fatal(err)
			}
			h := newHID(&hidKey{touch: make(chan struct{})})
			defer h.Close()
			door := &usbipDoor{hid: h, descriptors: d, powerUp: func() {}}
			answer := ask(door, sent)
			if n := min(4, len(answer)); n > 0 && string(answer[:n]) != "\x01\x11\x00\x05"[:n] && string(answer[:n]) != "\x01\x11\x00\x03"[:n] {
				t.Errorf("%x is answered with %x", sent, answer)
			}
			if again := ask(door, v.OpReqDevlist); len(again) < 12 || again[11] != 1 {
				t.Errorf("after %x the key is listed as %x", sent, again)
			}
		})
	})
}

// ask sends all that a host has to say, and returns what it gets.
func ask(door *usbipDoor, sent []byte) []byte {
	ours, theirs := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		door.host(context.Background(), theirs)
	}()
	var answer []byte
	got := make(chan struct{})
	go func() {
		defer close(got)
		answer, _ = io.ReadAll(ours)
	}()
	ours.Write(sent)
	synctest.Wait()
	ours.Close()
	<-ended
	<-got
	return answer
}

// FuzzStream sends arbitrary bytes to the doors on TCP and Unix sockets; the next client
// is answered.
func FuzzStream(f *testing.F) {
	hello := append([]byte{0, 64, 0xff, 0xff, 0xff, 0xff, wireInit, 0, 8}, make([]byte, 57)...)
	f.Add(hello)
	f.Add(append(hello, hello[:10]...))
	f.Add([]byte{0, 0})
	f.Add([]byte{0, 65, 1})
	f.Add([]byte{0, 1, 0, 0, 4, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, sent []byte) {
		synctest.Test(t, func(t *testing.T) {
			h := newHID(&hidKey{touch: make(chan struct{})})
			defer h.Close()
			door := &streamDoor{hid: h, hub: newHub(h)}
			talk := func(sent []byte) (answer []byte) {
				ours, theirs := net.Pipe()
				ended, got := make(chan struct{}), make(chan struct{})
				go func() { defer close(ended); door.client(t.Context(), theirs) }()
				go func() { defer close(got); answer, _ = io.ReadAll(ours) }()
				ours.Write(sent)
				synctest.Wait()
				ours.Close()
				<-ended
				<-got
				return answer
			}
			for answer := talk(sent); len(answer) > 0; answer = answer[66:] {
				if len(answer) < 66 || binary.BigEndian.Uint16(answer) != 64 {
					t.Fatalf("%x", answer)
				}
			}
			if answer := talk(hello); len(answer) == 0 {
				t.Errorf("after %x nobody is answered", sent)
			}
		})
	})
}
