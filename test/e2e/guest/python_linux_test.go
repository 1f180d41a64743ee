package guest

import (
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

//go:embed forks.py
var forksPython string

// forks is the process that Python programs are forked from.
type forks struct {
	asked    *json.Encoder
	answered *os.File
	answers  *json.Decoder
}

var startForks = sync.OnceValues(func() (*forks, error) {
	cmd := exec.Command("/usr/bin/python3", "-c", forksPython)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // it ends with the tests
	if err != nil {
		return nil, err
	}
	answered, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout = out
	return &forks{json.NewEncoder(in), answered, json.NewDecoder(answered)}, cmd.Start()
})

// python runs a program, which has python3-fido2, and returns what it prints.
func python(t *testing.T, script string, args ...string) string {
	t.Helper()
	f, err := startForks()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.answered.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if err := f.asked.Encode(append([]string{script}, args...)); err != nil {
		t.Fatal(err)
	}
	var status int
	var output string
	if err := f.answers.Decode(&[]any{&status, &output}); err != nil {
		t.Fatalf("%s %q: %v", script, args, err)
	}
	if status != 0 {
		t.Fatalf("%s %q: status %d\n%s", script, args, status, output)
	}
	return output
}

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
			python(t, script, k.node, tt.feature)
		})
	}
}
