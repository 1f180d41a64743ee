package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
)

// TestRawU2F sends APDUs to a key that has U2F.
func TestRawU2F(t *testing.T) {
	doors := startSimulator(t, 1, "--tcp", "127.0.0.1:0", "--profile", "u2f", "--touch", "never")
	for apdu, want := range map[string]struct {
		code   int
		stdout string
	}{
		"00 03 00 00 00 00 00": {exitOK, `(?m)^Status: +SW_NO_ERROR \(0x9000\)$[^$]*^5532465f5632$`}, // "U2F_V2"
		"00010000000000":       {exitRefused, `SW_WRONG_LENGTH \(0x6700\)`},
		"00010300000040" + strings.Repeat("00", 64) + "0000": {exitNoTouch, `SW_CONDITIONS_NOT_SATISFIED \(0x6985\)`},
	} {
		cmd := exec.Command("fidokey", "raw", "--u2f", apdu, "--device", "tcp:"+doors["tcp"])
		out, _ := cmd.Output()
		if code := cmd.ProcessState.ExitCode(); code != want.code || !regexp.MustCompile(want.stdout).Match(out) {
			t.Errorf("%s: exit code %d\n%s", apdu, code, out)
		}
	}
}

func TestMayChange(t *testing.T) {
	for _, tt := range []struct {
		command ctap2.Command
		params  string
		want    bool
	}{
		{ctap2.CommandGetInfo, "", false},
		{ctap2.CommandReset, "", true},
		{ctap2.CommandConfig, "{1: 2}", true},
		{ctap2.CommandCredentialManagement, "{1: 5}", false},
		{ctap2.CommandCredentialManagement, "{1: 6}", true},
		{ctap2.CommandCredentialManagement, "{1: 7}", true},
		{ctap2.CommandCredentialManagement, `{1: "6"}`, true},
		{ctap2.CommandBioEnrollment, "{6: true}", false},
		{ctap2.CommandBioEnrollment, "{1: 1, 2: 7}", false},
		{ctap2.CommandBioEnrollment, "{1: 1, 2: 4}", false},
		{ctap2.CommandBioEnrollment, "{1: 1, 2: 1}", true},
		{ctap2.CommandBioEnrollment, "{1: 1, 2: 6}", true},
		{ctap2.CommandBioEnrollment, `{1: 1, 2: "6"}`, true},
		{ctap2.CommandLargeBlobs, "{1: 100, 3: 0}", false},
		{ctap2.CommandLargeBlobs, "{2: h'00', 3: 0}", true},
		{0x3f, "", false},
		{0x40, "", true},
		{0xbf, "{1: 1}", true},
		{0xc0, "", false},
	} {
		var params []byte
		if tt.params != "" {
			var err error
			if params, err = parseNotation(tt.params); err != nil {
				t.Fatal(err)
			}
		}
		if got := mayChange(tt.command, params); got != tt.want {
			t.Errorf("%v %s: %v", tt.command, tt.params, got)
		}
	}
	if !mayChange(ctap2.CommandLargeBlobs, []byte{0xa1, 0x01}) {
		t.Error("what cannot be read may do anything")
	}
}

// deaf is a device that only carries CTAP2.
type deaf struct{ transport.Device }

// TestRawTransport: over a transport without them there is neither U2F nor ping.
func TestRawTransport(t *testing.T) {
	e := &env{}
	e.global.timeout = listTimeout
	apdu, err := u2fCommand(e, []byte{0, 3, 0, 0})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*rawCommand{apdu, pingCommand(e, 4)} {
		err := c.send(t.Context(), &openedKey{dev: deaf{}}, &c.rawReport)
		if err == nil || c.Code != nil || !regexp.MustCompile("not supported by this transport").MatchString(err.Error()) {
			t.Errorf("%s: %v", c.Command, err)
		}
	}
}
