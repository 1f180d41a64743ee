package guest

import (
	_ "embed"
	"testing"
)

//go:embed python_fido2.py
var pythonFIDO2 string

// TestPythonFIDO2 has Debian's python3-fido2 drive the simulator, a feature at a
// time, each on a key of its own.
func TestPythonFIDO2(t *testing.T) {
	script := write(t, "python_fido2.py", pythonFIDO2)
	for _, feature := range []string{"pin", "webauthn", "hmac_secret", "credentials"} {
		t.Run(feature, func(t *testing.T) {
			k := plug(t, "auto")
			run(t, "", "/usr/bin/python3", script, k.node, feature)
		})
	}
}
