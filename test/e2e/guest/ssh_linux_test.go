package guest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// These tests have OpenSSH make keys in the security key and log in with them.

// An askpass answers the questions of OpenSSH for the length of a test.
type askpass struct {
	*testing.T
	pin, asked string // files: what is answered, and all questions
}

func newAskpass(t *testing.T, pin string) *askpass {
	t.Helper()
	dir := t.TempDir()
	a := &askpass{t, write(t, "pin", pin+"\n"), filepath.Join(dir, "asked")}
	script := filepath.Join(dir, "askpass")
	// One with the prompt "none" only tells that a touch is waited for.
	text := fmt.Sprintf("#!/bin/sh\necho \"$1\" >> %s\n[ \"$SSH_ASKPASS_PROMPT\" = none ] || cat %s\n", a.asked, a.pin)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSH_ASKPASS", script)
	t.Setenv("SSH_ASKPASS_REQUIRE", "force")
	return a
}

// answers is what the next questions get.
func (a *askpass) answers(pin string) {
	a.Helper()
	if err := os.WriteFile(a.pin, []byte(pin+"\n"), 0o600); err != nil {
		a.Fatal(err)
	}
}

// questions are those since the last call.
func (a *askpass) questions() string {
	b, _ := os.ReadFile(a.asked)
	os.Remove(a.asked)
	return string(b)
}

// generate has ssh-keygen make a key of a kind, with options of -O, and returns
// its file and the public key.
func generate(t *testing.T, kind string, options ...string) (file, public string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "id")
	args := []string{"-q", "-t", kind, "-N", "", "-C", "", "-f", file}
	for _, o := range options {
		args = append(args, "-O", o)
	}
	run(t, "", "ssh-keygen", args...)
	b, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return file, strings.TrimSpace(string(b))
}

// An sshServer is sshd on the loopback interface.
type sshServer struct {
	*testing.T
	keys, known, log string // files
	port             string
}

func startSSHD(t *testing.T) *sshServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	addUser(t)
	host := filepath.Join(t.TempDir(), "host")
	run(t, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host)
	public, err := os.ReadFile(host + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	s := &sshServer{T: t, keys: write(t, "keys", ""), port: port, log: filepath.Join(t.TempDir(), "log")}
	s.known = write(t, "known", fmt.Sprintf("[127.0.0.1]:%s %s", port, public))
	config := write(t, "sshd_config", param("ListenAddress 127.0.0.1:"+port, "HostKey "+host, "AuthorizedKeysFile "+s.keys,
		"StrictModes no", "PidFile none", "PermitRootLogin prohibit-password", "KbdInteractiveAuthentication no", "LogLevel VERBOSE",
		"KexAlgorithms curve25519-sha256"))
	sshd := exec.Command("/usr/sbin/sshd", "-D", "-f", config, "-E", s.log)
	if err := sshd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sshd.Process.Kill(); sshd.Wait() })
	waitFor(t, "sshd", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return s
}

// sshUser is root by another name, whose shell reads no files: root's may take
// seconds.
const sshUser = "fidokey"

// addUser adds it to the VM's users, for as long as that runs.
func addUser(t *testing.T) {
	t.Helper()
	if _, err := user.Lookup(sshUser); err == nil {
		return
	}
	users, err := os.OpenFile("/etc/passwd", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	if _, err := users.WriteString(sshUser + ":*:0:0::/:/bin/sh\n"); err != nil {
		t.Fatal(err)
	}
}

// authorize makes these lines the keys that may log in.
func (s *sshServer) authorize(lines ...string) {
	s.Helper()
	if err := os.WriteFile(s.keys, []byte(param(lines...)), 0o600); err != nil {
		s.Fatal(err)
	}
}

// login runs a command through ssh with the key in a file, or with more options.
func (s *sshServer) login(file string, more ...string) error {
	s.Helper()
	args := append([]string{"-F", "none", "-p", s.port, "-i", file, "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=" + s.known,
		"-o", "StrictHostKeyChecking=yes", "-o", "PreferredAuthentications=publickey"}, more...)
	out, err := try(s.T, "", "ssh", append(args, sshUser+"@127.0.0.1", "echo logged in as $USER")...)
	if err == nil && out != "logged in as "+sshUser+"\n" {
		err = fmt.Errorf("ssh printed %q", out)
	}
	return err
}

// admits and rejects are login with one outcome. The server says why it rejects.
func (s *sshServer) admits(file string, more ...string) {
	s.Helper()
	if err := s.login(file, more...); err != nil {
		log, _ := os.ReadFile(s.log)
		s.Errorf("no login: %v\n%s", err, log)
	}
}

func (s *sshServer) rejects(why, file string) {
	s.Helper()
	before, _ := os.ReadFile(s.log)
	if err := s.login(file); err == nil || !strings.Contains(err.Error(), "Permission denied") {
		s.Errorf("login: %v, want permission denied", err)
	}
	waitFor(s.T, fmt.Sprintf("%q in the log of sshd", why), func() bool { // which may write it later
		after, _ := os.ReadFile(s.log)
		return strings.Contains(string(after[len(before):]), why)
	})
}

// TestSSHLogin logs in with keys of both kinds, by touch and without, on a
// security key that has no PIN.
func TestSSHLogin(t *testing.T) {
	forEachDoor(t, func(t *testing.T, d door) {
		drives(t, "ssh-keygen, ssh and sshd without a PIN")
		d.plug(t, "--state", ":memory:", "--profile", "default")
		asked := newAskpass(t, "")
		server := startSSHD(t)
		for _, kind := range []string{"ecdsa-sk", "ed25519-sk"} {
			file, public := generate(t, kind)
			asked.questions()
			server.authorize(public)
			server.admits(file)
			wantLines(t, asked.questions(), "Confirm user presence for key "+strings.ToUpper(kind))
			server.authorize("verify-required " + public)
			server.rejects("user verification requirement not met", file)
		}
		file, public := generate(t, "ed25519-sk", "no-touch-required")
		asked.questions()
		server.authorize(public)
		server.rejects("user presence (authenticator touch) requirement not met", file)
		server.authorize("no-touch-required " + public)
		server.admits(file)
		if q := asked.questions(); q != "" {
			t.Errorf("asked for a touch: %s", q)
		}
		_, stranger := generate(t, "ecdsa-sk")
		server.authorize(stranger)
		server.rejects("Connection closed by authenticating user", file)
	})
}

// TestSSHVerifyRequired logs in with a key that takes the PIN each time, by ssh
// and by ssh-agent.
func TestSSHVerifyRequired(t *testing.T) {
	drives(t, "ssh-keygen -O verify-required, ssh, ssh-agent and sshd")
	k := uhid.plug(t, "--state", ":memory:", "--profile", "ctap-2.1")
	k.token(newPIN(somePIN), "-S")
	asked := newAskpass(t, somePIN)
	server := startSSHD(t)
	file, public := generate(t, "ed25519-sk", "verify-required")
	asked.questions()
	server.authorize("verify-required " + public)
	server.admits(file)
	wantLines(t, asked.questions(), "Enter PIN for ED25519-SK key")

	asked.answers("wrong1")
	if err := server.login(file); err == nil {
		t.Error("a wrong PIN logged in")
	}
	wantLines(t, k.info(), "pin retries: 7")

	asked.answers(somePIN)
	socket := filepath.Join(t.TempDir(), "agent")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Process.Kill(); agent.Wait() })
	waitFor(t, "ssh-agent", func() bool { _, err := os.Stat(socket); return err == nil })
	t.Setenv("SSH_AUTH_SOCK", socket)
	run(t, "", "ssh-add", "-q", file)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	asked.questions()
	server.admits(file + ".pub")
	wantLines(t, asked.questions(), "Enter PIN and confirm user presence for ED25519-SK key")
}

// TestSSHResident makes resident keys, and has another computer download them
// and log in.
func TestSSHResident(t *testing.T) {
	forEachDoor(t, func(t *testing.T, d door) {
		drives(t, "ssh-keygen -O resident, -O user, -O application and -K, ssh and sshd")
		// OpenSSH takes a downloaded key for one that needs no PIN if the security
		// key has a sensor: this one has none.
		profile := write(t, "preview.yaml", param("name: preview of 2.1", "purpose: for this test", "base: ctap-2.1",
			"getInfo: {versions: [FIDO_2_0, FIDO_2_1_PRE, FIDO_2_1], options: {credentialMgmtPreview: true}}"))
		k := d.plug(t, "--state", ":memory:", "--profile", profile)
		k.token(newPIN(somePIN), "-S")
		asked := newAskpass(t, somePIN)
		_, plain := generate(t, "ecdsa-sk", "resident", "user=alice")
		_, verified := generate(t, "ed25519-sk", "resident", "verify-required", "application=ssh:work", "user=bob")
		wantLines(t, asked.questions(), "Enter PIN for authenticator")
		rps := k.token(param(somePIN), "-L", "-r")
		wantLines(t, rps, " ssh:\n", " ssh:work\n")
		wantLines(t, k.token(param(somePIN), "-L", "-k", "ssh:"), " "+b64.EncodeToString([]byte("alice")[:3]), " es256 uvopt+id\n")
		wantLines(t, k.token(param(somePIN), "-L", "-k", "ssh:work"), " "+b64.EncodeToString([]byte("bob")), " eddsa uvreq\n")

		t.Chdir(t.TempDir())
		run(t, "", "ssh-keygen", "-q", "-K", "-N", "")
		downloaded := map[string]string{"id_ecdsa_sk_rk_alice": plain, "id_ed25519_sk_rk_work_bob": verified}
		for name, public := range downloaded {
			b, err := os.ReadFile(name + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			if want, got := strings.Fields(public), strings.Fields(string(b)); got[0] != want[0] || got[1] != want[1] {
				t.Errorf("%s: downloaded %q, made %q", name, got, want)
			}
		}
		server := startSSHD(t)
		server.authorize(plain, "verify-required "+verified)
		asked.questions()
		for name := range downloaded {
			server.admits(name)
		}
		wantLines(t, asked.questions(), "Confirm user presence for key ECDSA-SK", "Enter PIN for ED25519-SK key")
	})
}

// TestSSHAttestation has ssh-keygen write what the security key attests of a new
// key, and libfido2 verify it.
func TestSSHAttestation(t *testing.T) {
	drives(t, "ssh-keygen -O challenge and -O write-attestation, fido2-cred -V")
	uhid.plug(t, "--state", ":memory:", "--profile", "ctap-2.3")
	newAskpass(t, "")
	challenge := strings.Repeat("of the company ", 3)
	file := filepath.Join(t.TempDir(), "attestation")
	_, public := generate(t, "ecdsa-sk", "challenge="+write(t, "challenge", challenge), "write-attestation="+file)
	attested, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	magic, rest := sshString(t, attested)
	certificate, rest := sshString(t, rest)
	signature, rest := sshString(t, rest)
	authData, _ := sshString(t, rest)
	if string(magic) != "ssh-sk-attest-v01" || len(certificate) == 0 {
		t.Fatalf("%q with a certificate of %d bytes", magic, len(certificate))
	}
	var data []byte
	if err := cbor.Unmarshal(authData, &data); err != nil || len(data) < 55 {
		t.Fatalf("authenticator data %x: %v", authData, err)
	}
	id := data[55:][:binary.BigEndian.Uint16(data[53:])] // CTAP 2.1, section 6.1: attested credential data
	verify := func(challenge string) (pem string, err error) {
		input := param(hash64([]byte(challenge)), "ssh:", "packed", b64.EncodeToString(authData),
			b64.EncodeToString(id), b64.EncodeToString(signature), b64.EncodeToString(certificate))
		return try(t, input, "fido2-cred", "-V", "es256")
	}
	if out, err := verify("another challenge"); err == nil {
		t.Errorf("attested for another challenge:\n%s", out)
	}
	out, err := verify(challenge)
	if err != nil {
		t.Fatal(err)
	}
	_, pem, _ := strings.Cut(out, "\n")
	blob, err := base64.StdEncoding.DecodeString(strings.Fields(public)[1])
	if err != nil {
		t.Fatal(err)
	}
	_, blob = sshString(t, blob) // sk-ecdsa-sha2-nistp256@openssh.com
	_, blob = sshString(t, blob) // nistp256
	point, _ := sshString(t, blob)
	spki := run(t, pem, "openssl", "pkey", "-pubin", "-outform", "DER")
	if len(point) != 65 || !bytes.HasSuffix([]byte(spki), point) {
		t.Errorf("the attested key is %x, the public key %x", spki, point)
	}
}

// sshString reads a string of RFC 4251, section 5.
func sshString(t *testing.T, b []byte) (s, rest []byte) {
	t.Helper()
	if len(b) < 4 || uint32(len(b)-4) < binary.BigEndian.Uint32(b) {
		t.Fatalf("no string: %x", b)
	}
	n := 4 + binary.BigEndian.Uint32(b)
	return b[4:n], b[n:]
}
