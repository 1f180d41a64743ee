package conformance_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/simulator"
)

// TestDeviceOfProfile is run by TestTestDevice: it tests a key of the profile that
// the environment names.
func TestDeviceOfProfile(t *testing.T) {
	name := os.Getenv("FIDOKEY_PROFILE")
	if name == "" {
		t.Skip("TestTestDevice runs it")
	}
	profile, err := simulator.LoadProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	bench, _ := newSimulated(t, profile)
	conformance.TestDevice(t, bench)
}

// TestTestDevice looks at what "go test" says of keys that are right and wrong.
func TestTestDevice(t *testing.T) {
	said := func(profile, run string) (text string, failed bool) {
		cmd := exec.Command(os.Args[0], "-test.v", "-test.run", "^TestDeviceOfProfile$/"+run)
		cmd.Env = append(os.Environ(), "FIDOKEY_PROFILE="+profile)
		out, err := cmd.CombinedOutput()
		return string(out), err != nil
	}
	text, failed := said("default", "^(INF-001|GA-00.|NFC-005)$")
	if failed || strings.Count(text, "--- PASS: TestDeviceOfProfile/") < 10 {
		t.Errorf("the default key: %s", text)
	}
	text, failed = said("quirk-unsorted-maps", "^INF-001$")
	if !failed || !strings.Contains(text, "--- FAIL: TestDeviceOfProfile/INF-001") || !strings.Contains(text, "CTAP 2.3, section 6.4") ||
		!strings.Contains(text, "CTAPHID_CBOR authenticatorGetInfo") {
		t.Errorf("the key with unsorted maps: %s", text)
	}
	text, failed = said("no-pin", "^PIN-001$")
	if failed || !strings.Contains(text, "--- SKIP: TestDeviceOfProfile/PIN-001") || !strings.Contains(text, "the key has no PIN") {
		t.Errorf("the key without PIN: %s", text)
	}
}
