package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
)

// countingPort notes the command of every message that is sent.
type countingPort struct {
	hid.Port
	sent []byte
}

func (p *countingPort) Write(report []byte) (int, error) {
	if report[4]&0x80 != 0 { // starts a message
		p.sent = append(p.sent, report[4])
	}
	return p.Port.Write(report)
}

// TestInfoExchanges: one INIT, getInfo, and the retries of a PIN that is set.
func TestInfoExchanges(t *testing.T) {
	const cmdInit, cmdCBOR = 0x86, 0x90
	for name, want := range map[string][]byte{"no PIN": {cmdInit, cmdCBOR}, "PIN": {cmdInit, cmdCBOR, cmdCBOR}} {
		t.Run(name, func(t *testing.T) {
			authenticator, err := simulator.New(simulator.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer authenticator.Close()
			if name == "PIN" {
				setPIN(t, authenticator)
			}
			door := simulator.NewHID(authenticator)
			defer door.Close()
			port := &countingPort{Port: door.Port()}
			var out bytes.Buffer
			e := &env{stdout: &out, stderr: io.Discard, global: globalOptions{timeout: client.DefaultTimeout}}
			key, err := e.openPort(t.Context(), port, deviceInfo{Path: "test"}, client.Prompt{})
			if err != nil {
				t.Fatal(err)
			}
			defer key.Close()
			r, err := e.info(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.say(nil, r); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(port.sent, want) {
				t.Errorf("sent %x, want %x", port.sent, want)
			}
			if !strings.Contains(out.String(), "fidokey simulator") {
				t.Errorf("printed %s", out.String())
			}
		})
	}
}

func setPIN(t *testing.T, authenticator *simulator.Authenticator) {
	t.Helper()
	key := client.New(authenticator, client.Options{Prompt: client.Prompt{
		NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return []byte("1234"), nil },
	}})
	if err := key.SetPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// strangeInfo has members, options and versions that nobody has heard of.
func strangeInfo(t *testing.T) *ctap2.GetInfoResponse {
	t.Helper()
	body, err := cbor.Marshal(map[int]any{
		1: []string{"FIDO_9_9"}, 2: []string{"\x1b[2Jclear"}, 3: make([]byte, 16), 4: map[string]bool{"teleport": true, "clientPin": true},
		10: []any{map[string]any{"alg": -9999, "type": "public-key"}}, 19: map[string]int{"FIDO": 3},
		28: []byte("https://example.com/pin"),
		32: map[any]any{1: []byte{0xca, 0xfe}, "list": []any{true, "x"}}, 77: 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	info := new(ctap2.GetInfoResponse)
	if err := ctap2.Decode(t.Context(), append([]byte{0}, body...), ctap2.CommandGetInfo, info); err != nil {
		t.Fatal(err)
	}
	return info
}

func TestUnknownIsPassedOn(t *testing.T) {
	info := strangeInfo(t)
	text, err := json.Marshal(newInfoReport(deviceInfo{Path: "/dev/hidraw0"}, info, client.PINState{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"name":"unknown model"`, `"FIDO_9_9"`, `"teleport":true`, `"alg":-9999`,
		`"unknown":{"32":{"1":"cafe","list":[true,"x"]},"77":5}`,
		`"pinComplexityPolicyURL":"https://example.com/pin"`,
		`"aaguid":"00000000-0000-0000-0000-000000000000"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	var out bytes.Buffer
	e := &env{stdout: &out}
	if err := e.say(nil, newInfoReport(deviceInfo{Path: "/dev/hidraw0"}, info, client.PINState{})); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"FIDO_9_9", "teleport=true", "COSE algorithm -9999", "FIDO level 3", "0x20", "0x4d = 5"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("the key can steer the terminal: %q", out.String())
	}
}
