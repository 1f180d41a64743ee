package client_test

import (
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// plainMap reads CBOR without our structs.
func plainMap(t *testing.T, raw []byte) map[int]any {
	t.Helper()
	var m map[int]any
	if len(raw) == 0 {
		return m
	}
	if err := cbor.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%x: %v", raw, err)
	}
	return m
}

// lastPIN returns the last request of a subcommand of authenticatorClientPIN.
func (d *tap) lastPIN(t *testing.T, subCommand uint64) map[int]any {
	t.Helper()
	for i := len(d.sent) - 1; i >= 0; i-- {
		if d.sent[i][0] == 0x06 {
			if m := plainMap(t, d.sent[i][1:]); m[2] == subCommand {
				return m
			}
		}
	}
	t.Fatalf("no clientPIN %d was sent", subCommand)
	return nil
}
