package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A readyLine is what the simulator says of a door.
type readyLine struct {
	Result struct{ Door, Address, Status string }
}

// startSimulator runs "fidokey simulator run" and waits until as many doors are
// ready; the simulator is stopped, and must end well, with the test.
func startSimulator(t *testing.T, doors int, args ...string) map[string]string {
	t.Helper()
	cmd := exec.Command("fidokey", append([]string{"simulator", "run", "--json", "--state", ":memory:"}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if runtime.GOOS == "windows" { // has no signal that asks
			cmd.Process.Kill()
			cmd.Wait()
			return
		}
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("simulator after SIGTERM: %v", err)
		}
	})
	addresses := map[string]string{}
	lines := bufio.NewScanner(stdout)
	for len(addresses) < doors && lines.Scan() {
		var line readyLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Result.Status != "ready" {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		addresses[line.Result.Door] = line.Result.Address
	}
	if len(addresses) < doors {
		t.Fatalf("only %v are ready", addresses)
	}
	return addresses
}

// TestSimulatorDoors: what is registered through one door is there in another.
func TestSimulatorDoors(t *testing.T) {
	short, err := os.MkdirTemp("", "fidokey") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	doors := startSimulator(t, 3, "--tcp", "127.0.0.1:0", "--udp=0", "--unix", filepath.Join(short, "key"), "--touch", "0")

	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("fidokey", args...)
		cmd.Dir = short
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("register", "--device", "tcp:"+doors["tcp"], "--rp", "example.com", "--user", "alice", "--credential", "alice.json")
	run("authenticate", "--device", "unix:"+doors["unix"], "--rp", "example.com", "--credential", "alice.json")
	if out := run("info", "--device", "udp:"+doors["udp"]); !strings.Contains(out, "FIDO_2_1") {
		t.Errorf("info over UDP:\n%s", out)
	}
}

// TestSimulatorSeed: with one seed two keys make the same credential.
func TestSimulatorSeed(t *testing.T) {
	var made []string
	for range 2 {
		doors := startSimulator(t, 1, "--tcp", "127.0.0.1:0", "--seed", "5eed", "--touch", "0", "--profile", "no-pin")
		file := filepath.Join(t.TempDir(), "alice.json")
		out, err := exec.Command("fidokey", "register", "--device", "tcp:"+doors["tcp"],
			"--rp", "example.com", "--user", "alice", "--credential", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var credential struct {
			ID       string `json:"id"`
			Response struct {
				PublicKey string `json:"publicKey"`
			} `json:"response"`
		}
		if err := json.Unmarshal(data, &credential); err != nil || credential.ID == "" || credential.Response.PublicKey == "" {
			t.Fatalf("%v in %s", err, data)
		}
		made = append(made, credential.ID+" "+credential.Response.PublicKey) // the challenge is another
	}
	if made[0] != made[1] {
		t.Errorf("two credentials:\n%s\n%s", made[0], made[1])
	}
}

// TestSimulatorControl: the key does as the control interface says.
func TestSimulatorControl(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	doors := startSimulator(t, 2, "--tcp", "127.0.0.1:0", "--control", "127.0.0.1:0", "--control-token-file", token,
		"--touch", "never", "--control-bench")
	call := func(method, path, body, token string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+doors["control"]+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := call("PUT", "/v1/touch", `{"usual": "decline"}`, "wrong"); status != http.StatusUnauthorized {
		t.Errorf("wrong token: %d", status)
	}
	if status := call("PUT", "/v1/touch", `{"usual": "decline"}`, "secret"); status != http.StatusNoContent {
		t.Errorf("touch: %d", status)
	}
	register := exec.Command("fidokey", "register", "--device", "tcp:"+doors["tcp"], "--rp", "example.com", "--user", "alice")
	if out, _ := register.CombinedOutput(); register.ProcessState.ExitCode() != exitNoTouch {
		t.Errorf("declined: exit code %d\n%s", register.ProcessState.ExitCode(), out)
	}
	call("GET", "/usb1/power/off", "", "")
	info := exec.Command("fidokey", "info", "--device", "tcp:"+doors["tcp"])
	if out, _ := info.CombinedOutput(); info.ProcessState.ExitCode() == exitOK {
		t.Errorf("unplugged:\n%s", out)
	}
}

// TestSimulatorAttestation: a key from a file vouches for a credential.
func TestSimulatorAttestation(t *testing.T) {
	dir, err := os.MkdirTemp("", "fidokey") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{
			Country: []string{"SE"}, Organization: []string{"Acme"},
			OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: "Acme Key",
		},
		BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	both := slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	file, socket := filepath.Join(dir, "attestation.pem"), filepath.Join(dir, "key")
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}

	startSimulator(t, 1, "--unix", socket, "--attestation", file)
	out, err := exec.Command("fidokey", "register", "--device", "unix:"+socket, "--rp", "example.com", "--user", "alice", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Result struct {
			Response struct{ AttestationObject string }
		}
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	object, err := base64.RawURLEncoding.DecodeString(answer.Result.Response.AttestationObject)
	if err != nil || !bytes.Contains(object, certificate) {
		t.Errorf("%v: the certificate is not in %x", err, object)
	}

	out, err = exec.Command("fidokey", "simulator", "run", "--unix", socket+"2", "--state", ":memory:", "--attestation", os.Args[0]).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "attestation key and certificates in ") {
		t.Errorf("not a PEM file: %v, %s", err, out)
	}
}
