//go:build !((cgo && (darwin || pcsc)) || windows) || nopcsc

package nfc_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/nfc"
)

// TestNoPCSC: a build without PC/SC says how to get one that has it.
func TestNoPCSC(t *testing.T) {
	if nfc.Supported() {
		t.Error("this build has PC/SC")
	}
	_, err := nfc.Readers(t.Context())
	_, opened := nfc.OpenReader(t.Context(), "reader")
	_, waited := nfc.WaitForCard(t.Context(), "")
	for _, err := range []error{err, opened, waited} {
		if !errors.Is(err, transport.ErrUnsupported) || runtime.GOOS == "linux" && !strings.Contains(err.Error(), "install libpcsclite-dev") {
			t.Errorf("error %v", err)
		}
	}
}
