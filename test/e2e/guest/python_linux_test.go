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
	for _, tt := range []struct{ feature, profile string }{
		{"pin", "default"}, {"webauthn", "default"}, {"hmac_secret", "default"}, {"credentials", "default"},
		{"webauthn", "ctap-2.0"}, {"webauthn", "ctap-2.1"}, {"credentials", "ctap-2.1"},
		{"pin", "ctap-2.3"}, {"credentials", "ctap-2.3"}, {"hmac_secret", "ctap-2.3"},
		{"cred_protect", "ctap-2.3"}, {"cred_blob", "ctap-2.3"}, {"large_blobs", "ctap-2.3"},
		{"config", "ctap-2.3"}, {"fingerprints", "ctap-2.3"}, {"u2f", "ctap-2.3"},
	} {
		t.Run(tt.profile+"/"+tt.feature, func(t *testing.T) {
			k := plugProfile(t, tt.profile)
			run(t, "", "/usr/bin/python3", script, k.node, tt.feature)
		})
	}
}
