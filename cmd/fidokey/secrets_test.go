package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
)

// A secret is something that must be nowhere but where it belongs.
type secret struct {
	what  string
	forms [][]byte
}

// newSecret has a secret in the forms in which it would be written.
func newSecret(what string, value []byte) secret {
	sum := sha256.Sum256(value)
	s := secret{what: what}
	for _, b := range [][]byte{value, sum[:16]} { // the second is what PIN protocols send of a PIN
		lower := hex.EncodeToString(b)
		s.forms = append(s.forms, b, []byte(lower), []byte(strings.ToUpper(lower)),
			[]byte(strings.TrimRight(base64.StdEncoding.EncodeToString(b), "=")), []byte(base64.RawURLEncoding.EncodeToString(b)))
	}
	// As fmt prints bytes, and private keys.
	s.forms = append(s.forms, []byte(strings.Trim(fmt.Sprint(value), "[]")), []byte(fmt.Sprintf("% x", value)), []byte(new(big.Int).SetBytes(value).String()))
	return s
}

// A leakTest runs the program and keeps all that it writes.
type leakTest struct {
	*testing.T
	dir string
	env []string // of the program, besides that of the test

	mu      sync.Mutex
	secrets []secret
	said    map[string][]byte // by what was called
	runs    int
}

func (l *leakTest) keep(what string, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets = append(l.secrets, newSecret(what, bytes.Clone(value)))
}

// file lays a file with a secret, which is not searched itself.
func (l *leakTest) file(name, content string) {
	l.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(content), 0o600); err != nil {
		l.Fatal(err)
	}
}

// run runs the program, and returns what it answered.
func (l *leakTest) run(args ...string) (stdout []byte, code int) {
	l.Helper()
	l.runs++
	traced := slices.Concat(args, []string{"--trace", fmt.Sprintf("%03d.trace", l.runs)})
	call := exec.Command("fidokey", traced...)
	call.Dir, call.Env = l.dir, append(os.Environ(), l.env...)
	var out, errs bytes.Buffer
	call.Stdout, call.Stderr = &out, &errs
	_ = call.Run()
	name := fmt.Sprintf("%03d %s", l.runs, strings.Join(args, " "))
	l.said[name+": answer"], l.said[name+": standard error"] = out.Bytes(), errs.Bytes()
	return out.Bytes(), call.ProcessState.ExitCode()
}

// search returns where the secrets are: in what was said, and in the files of the
// folder but for those of excepted.
func (l *leakTest) search(excepted ...string) (leaks []string) {
	l.Helper()
	places := map[string][]byte{}
	for name, said := range l.said {
		places[name] = said
	}
	err := filepath.WalkDir(l.dir, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(l.dir, path)
		if err != nil || !entry.Type().IsRegular() || slices.Contains(excepted, name) {
			return err
		}
		places["file "+name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		l.Fatal(err)
	}
	starts := l.starts()
	for name, content := range places {
		for i := range max(0, len(content)-len(start{})+1) {
			for _, f := range starts[start(content[i:])] {
				if bytes.HasPrefix(content[i:], f.form) {
					leaks = append(leaks, fmt.Sprintf("%s is in %s as %q", f.what, name, f.form))
				}
			}
		}
	}
	slices.Sort(leaks)
	return slices.Compact(leaks)
}

// start is what a form of a secret begins with, so that one pass over a text finds all.
type start [6]byte

type form struct {
	what string
	form []byte
}

func (l *leakTest) starts() map[start][]form {
	l.Helper()
	all := map[start][]form{}
	for _, s := range l.secrets {
		for _, f := range s.forms {
			if len(f) < len(start{}) {
				l.Fatalf("%s is too short to be looked for: %q", s.what, f)
			}
			all[start(f)] = append(all[start(f)], form{s.what, f})
		}
	}
	return all
}

const (
	tourPIN    = "Kq7#zW9x-tour"
	tourNewPIN = "Jd8&xC2m-tour"
	tourWrong  = "Vn3$yB5t-tour"
	tourBearer = "eyJ0eXAiOiJKV1QifQ.dG91ci1iZWFyZXI.c2lnbmF0dXJl"
)

// TestSecrets has the program do everything that it does with a PIN, a token or
// another secret, as people, as a program with --json and with --events, with a trace
// of each, and looks for the secrets in all that was written: answers, errors, events,
// traces, reports, ledgers, the dump of a crash. What was asked for by name is
// excepted, and named here.
func TestSecrets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has neither modes of files nor SIGQUIT")
	}
	l := &leakTest{T: t, dir: t.TempDir(), said: map[string][]byte{}}
	t.Setenv("XDG_STATE_HOME", filepath.Join(l.dir, "state"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(l.dir, "cache"))
	t.Setenv("FIDOKEY_SIMULATOR_STATE", filepath.Join(l.dir, "simulator.db"))
	for what, value := range map[string]string{"the PIN": tourPIN, "the new PIN": tourNewPIN, "the wrong PIN": tourWrong, "the bearer token": tourBearer} {
		l.keep(what, []byte(value))
	}
	l.file("pin", tourPIN+"\n")
	l.file("new", tourNewPIN+"\n")
	l.file("wrong", tourWrong+"\n")
	l.file("token", tourBearer+"\n")
	l.file("ci.yaml", "register: [{rp: example.com, userVerification: discouraged}]")
	laid := []string{"pin", "new", "wrong", "token"}

	device := l.plugWatched()
	l.everyCommand(device)
	l.secretsByName(device)
	l.tenant(device)
	l.bench()
	l.crash()
	ofLedger := l.ledger()
	l.signIn(device)

	// What is stored on purpose: the key itself, and the read-only token of --remember.
	stored := slices.Concat(laid, ofLedger, l.modes())
	for _, file := range []string{"simulator.db", "run.db"} {
		l.stored(file)
	}
	l.hasAllKinds()
	leaks := l.search(stored...)
	t.Logf("%d calls, %d secrets, %d bytes said", l.runs, len(l.secrets), l.size())
	for _, leak := range leaks {
		t.Error(leak)
	}
	// The search finds what is there: each form of a secret in each kind of place.
	for _, form := range newSecret("", []byte(tourPIN)).forms {
		l.said["planted"] = slices.Concat([]byte("before "), form, []byte(" behind"))
		if n := len(l.search(stored...)); n <= len(leaks) {
			t.Errorf("%q was planted and is not found", form)
		}
	}
	delete(l.said, "planted")
	l.file("planted.trace", hex.EncodeToString([]byte(tourBearer)))
	if n := len(l.search(stored...)); n != len(leaks)+1 {
		t.Errorf("%d leaks with one more in a file, and %d without", n, len(leaks))
	}
}

// hasAllKinds: the search is for all that there is to be found, of each kind.
func (l *leakTest) hasAllKinds() {
	l.Helper()
	kinds := map[string]int{}
	for _, s := range l.secrets {
		kinds[s.what]++
	}
	wanted := slices.AppendSeq([]string{
		"a point of key agreement", "a shared secret of protocol two", "the hmac secret", "a PIN of the ledger", "the age identity",
		"master key in simulator.db", "hash of the PIN in simulator.db", "persistent token in simulator.db", "private key of a credential in simulator.db",
		"CredRandom in simulator.db", "large-blob key in simulator.db", "master key in run.db", "hash of the PIN in run.db",
	}, maps.Values(drawn))
	if runtime.GOOS == "linux" {
		wanted = append(wanted, "access_token", "refresh_token", "device_code", "client_secret", "client_assertion")
	}
	for _, what := range wanted {
		if kinds[what] == 0 {
			l.Errorf("the tour has not met %s: %v", what, kinds)
		}
	}
}

func (l *leakTest) size() (n int) {
	for _, said := range l.said {
		n += len(said)
	}
	return n
}

// everyCommand calls all commands that open a key, with the right PIN in three ways,
// and with a wrong one. They reach what they are about: what fails is named here.
func (l *leakTest) everyCommand(device string) {
	standIn(l.T, tourBearer, 4)
	pin := []string{"--pin-file", "pin", "--device", device}
	if _, code := l.run(slices.Concat([]string{"pin", "set"}, pin)...); code != exitOK {
		l.Fatalf("pin set: exit code %d", code)
	}
	credential := l.passkey(device)
	l.run(slices.Concat([]string{"fingerprints", "add"}, pin)...)
	finger := l.member("id", slices.Concat([]string{"fingerprints", "list"}, pin)...)
	fails := map[string]int{"pin set": exitPIN, "u2f authenticate": exitRefused}
	forms := [][]string{{}, {"--json"}, {"--events", "jsonl", "--json"}}
	commands := slices.Sorted(maps.Keys(callsOnAKey))
	slices.Reverse(commands) // so that what makes something comes before what deletes it
	for n, command := range commands {
		id, rp := credential, "example.com"
		switch command {
		case "fingerprints rename", "fingerprints remove":
			id = finger
		case "register", "secret create":
			rp = "other.example" // else there are two, and the next command asks which
		}
		call := strings.NewReplacer("--key-handle pin", "--key-handle ci.yaml", "example.com pin", "example.com ci.yaml", "example.com", rp, "aaaa", id).Replace(callsOnAKey[command])
		args := slices.Concat(strings.Fields(command), strings.Fields(call), []string{"--device", device, "--timeout", "5s"}, forms[n%len(forms)])
		if out, code := l.run(args...); code != fails[command] {
			l.Errorf("%s: exit code %d: %s", command, code, out)
		}
		if slices.Contains(args, "--pin-file") && n%8 == 0 {
			wrong := slices.Clone(args)
			wrong[slices.Index(args, "--pin-file")+1] = "wrong"
			l.run(wrong...)
			l.run(slices.Concat([]string{"pin", "verify"}, pin)...) // brings the tries back
		}
		switch command {
		case "access force-change", "pin force-change":
			l.changePIN(device)
		case "credentials delete":
			credential = l.passkey(device)
		}
	}
	l.changePIN(device)
	l.run("credentials", "list", "--remember", "--pin-file", "pin", "--device", device, "--json")
	l.run("credentials", "list", "--remember", "--device", device)
	l.run("conformance", "run", "INF-0*", "PIN-0*", "--device", "simulator", "--report", "report.jsonl", "--junit", "report.xml", "--html", "report.html")
	l.run("ci", "ci.yaml", "--pin-file", "pin", "--device", device, "--json")
}

// passkey makes one with all that has a secret, and returns its ID.
func (l *leakTest) passkey(key ...string) (id string) {
	l.Helper()
	key = append([]string{"--pin-file", "pin", "--device"}, key...)
	l.member("id", slices.Concat([]string{"register", "--rp", "example.com", "--user", "carol", "--large-blob", "required", "--prf", "x"}, key)...)
	return l.member("credentialId", slices.Concat([]string{"credentials", "list"}, key)...)
}

// changePIN makes the PIN another one, and back.
func (l *leakTest) changePIN(device string) {
	l.run("pin", "change", "--pin-file", "pin", "--new-pin-file", "new", "--device", device, "--events", "jsonl")
	l.run("pin", "change", "--pin-file", "new", "--new-pin-file", "pin", "--device", device, "--json")
}

// member runs the program and returns the first text of a name in its answer.
func (l *leakTest) member(name string, args ...string) string {
	l.Helper()
	out, code := l.run(append(args, "--json")...)
	found := regexp.MustCompile(`"` + name + `": ?"([^"]+)"`).FindSubmatch(out)
	if code != exitOK || found == nil {
		l.Fatalf("%q: exit code %d: %s", args, code, out)
	}
	return string(found[1])
}

// secretsByName asks for secrets, whose place is the answer and nothing else.
func (l *leakTest) secretsByName(device string) {
	l.Helper()
	if _, code := l.run("secret", "create", "--rp", "disk.example", "--credential", "disk.json", "--pin-file", "pin", "--device", device); code != exitOK {
		l.Fatalf("secret create: exit code %d", code)
	}
	out, code := l.run("secret", "--rp", "disk.example", "--credential", "disk.json", "--prf", "disk", "--pin-file", "pin", "--device", device)
	value, err := hex.DecodeString(strings.TrimSpace(string(out)))
	if code != exitOK || err != nil || len(value) != 32 {
		l.Fatalf("secret: %d, %v, %d bytes", code, err, len(value))
	}
	delete(l.said, fmt.Sprintf("%03d secret --rp disk.example --credential disk.json --prf disk --pin-file pin --device %s: answer", l.runs, device))
	l.keep("the hmac secret", value)
}

// tenant asks Graph, with the right token, and with one that is refused.
func (l *leakTest) tenant(device string) {
	user := "user1@example.onmicrosoft.com"
	for _, args := range [][]string{
		{"entra", "policy", "show", "--token-file", "token", "--json"},
		{"entra", "list", "--user", user, "--token-file", "token"},
		{"entra", "register", "--user", user, "--token-file", "token", "--pin-file", "pin", "--device", device, "--json"},
		{"entra", "check", "--tenant", "--token-file", "token", "--device", device},
		{"entra", "report", "--token-file", "token", "--html", "usage.html"},
	} {
		l.run(args...)
	}
	l.Setenv(graphTokenVariable, tourBearer+"x")
	l.run("entra", "policy", "show", "--events", "jsonl")
	l.Setenv(graphTokenVariable, tourBearer)
}

// signIn signs in to a tenant in each way that has a secret, with everything in the log.
func (l *leakTest) signIn(device string) {
	if runtime.GOOS != "linux" {
		return // see newSignInBench
	}
	b := newSignInBench(l.T, true)
	l.env = b.environ()
	user := "user1@example.onmicrosoft.com"
	file := func(name string) string { return filepath.Join(b.dir, name) }
	for _, args := range [][]string{
		{"entra", "list", "--user", user, "--sign-in", "device-code"},
		{"entra", "register", "--user", user, "--sign-in", "device-code", "--pin-file", "pin", "--device", device, "--events", "jsonl"},
		{"entra", "list", "--user", user, "--sign-in", "client-secret", "--client-secret-file", file("secret"), "--json"},
		{"entra", "policy", "show", "--sign-in", "certificate", "--certificate", file("app-modern.pfx"), "--certificate-password-env", "PASSWORD"},
	} {
		if out, code := l.run(args...); code != exitOK {
			l.Errorf("%q: exit code %d: %s", args, code, out)
		}
	}
	l.run("entra", "list", "--user", user, "--sign-in", "client-secret", "--client-secret-file", file("wrong"), "--json")
	l.env = nil
	for value, what := range b.secrets() {
		l.keep(what, []byte(value))
	}
}

// bench serves a simulator that is steered with the token, from a bench file too.
func (l *leakTest) bench() {
	l.Helper()
	call := exec.Command("fidokey", "simulator", "run", "--json", "--state", "run.db", "--tcp", "127.0.0.1:0", "--control", "127.0.0.1:0", "--control-token-file", "token")
	call.Dir = l.dir
	var errs bytes.Buffer
	call.Stderr = &errs
	out, err := os.Create(filepath.Join(l.dir, "doors.json"))
	if err != nil {
		l.Fatal(err)
	}
	defer out.Close()
	call.Stdout = out
	if err := call.Start(); err != nil {
		l.Fatal(err)
	}
	addresses := map[string]string{}
	for deadline := time.Now().Add(20 * time.Second); len(addresses) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.Fatalf("the simulator does not say where it is: %s", errs.String())
		}
		said, _ := os.ReadFile(out.Name())
		addresses = doorAddresses(said)
	}
	l.file("bench.yaml", fmt.Sprintf("state: benchstate\nkeys:\n  soft:\n    match: {device: %q, aaguid: 2fc0579f-8113-47ea-b116-bb5a8db9202a}\n"+
		"    power: {driver: simulator, control: %q, tokenFile: token}\n    touch: {driver: simulator, control: %q, tokenFile: token}\n",
		"tcp:"+addresses["tcp"], addresses["control"], addresses["control"]))
	l.run("simulator", "control", addresses["control"], "--token-file", "token", "power", "--json")
	l.run("simulator", "control", addresses["control"], "--token-file", "wrong", "power")
	l.run("pin", "set", "--pin-file", "pin", "--device", "tcp:"+addresses["tcp"])
	for _, args := range []string{"hil list --json", "hil status", "hil power soft cycle --json", "hil touch soft --events jsonl", "hil check"} {
		l.run(append(strings.Fields(args), "--bench", "bench.yaml")...)
	}
	call.Process.Signal(os.Interrupt)
	call.Wait()
	l.said["simulator run: standard error"] = errs.Bytes()
}

// doorAddresses reads what 'simulator run --json' says.
func doorAddresses(said []byte) map[string]string {
	found := map[string]string{}
	for _, door := range []string{"tcp", "control"} {
		_, rest, _ := strings.Cut(string(said), `"`+door+`"`)
		_, rest, ok := strings.Cut(rest, `"address":`)
		parts := strings.SplitN(rest, `"`, 3)
		if ok && len(parts) == 3 {
			found[door] = strings.TrimPrefix(parts[1], "tcp:")
		}
	}
	return found
}

// crash ends the program by SIGQUIT while it holds the PIN and a token: Go prints
// every stack with the arguments of functions.
func (l *leakTest) crash() {
	l.Helper()
	l.run("pin", "set", "--pin-file", "pin", "--device", "simulator", "--simulator-profile", "ctap-2.3")
	simulated := []string{"simulator", "--simulator-profile", "ctap-2.3"}
	l.passkey(simulated...)
	l.run(slices.Concat([]string{"credentials", "list", "--remember", "--pin-file", "pin", "--device"}, simulated)...)
	for _, args := range []string{
		"register --rp example.com --user alice --pin-file pin --device simulator --simulator-profile ctap-2.3 --simulator-touch never",
		"authenticate --rp example.com --pin-file pin --device simulator --simulator-profile ctap-2.3 --simulator-touch never",
	} {
		call := exec.Command("fidokey", strings.Fields(args)...)
		call.Dir = l.dir
		call.Env = append(os.Environ(), "GOTRACEBACK=all")
		errs := &watchedBuffer{}
		call.Stderr = errs
		if err := call.Start(); err != nil {
			l.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); !errs.contains("Touch"); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				call.Process.Kill()
				l.Fatalf("%s does not ask for a touch", args)
			}
		}
		call.Process.Signal(syscall.SIGQUIT)
		call.Wait()
		dump := errs.bytes()
		if !bytes.Contains(dump, []byte("goroutine 1 ")) || !bytes.Contains(dump, []byte("SIGQUIT")) {
			l.Fatalf("no dump: %s", dump)
		}
		l.said["crash of "+args] = dump
	}
}

// watchedBuffer may be read while a program writes to it.
type watchedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *watchedBuffer) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

func (w *watchedBuffer) bytes() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.b.Bytes())
}

func (w *watchedBuffer) contains(s string) bool { return bytes.Contains(w.bytes(), []byte(s)) }

// ledger enrols a user with a PIN that the program makes up and encrypts, and has it
// written. It returns the files in which the secrets belong.
func (l *leakTest) ledger() []string {
	l.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		l.Fatal(err)
	}
	l.keep("the age identity", []byte(identity.String()))
	l.file("identity", identity.String()+"\n")
	l.file("users.csv", "user\nuser2@example.onmicrosoft.com\n")
	l.run("entra", "register", "--csv", "users.csv", "--pin-random", "--recipient", identity.Recipient().String(), "--no-wait", "--device", l.plugWatched(), "--json", "--events", "jsonl")
	if out, code := l.run("entra", "ledger", "users.csv.ledger.jsonl", "--identity", "identity", "--pins", "pins.csv"); code != exitOK {
		l.Fatalf("entra ledger: %d: %s", code, out)
	}
	written, err := os.Open(filepath.Join(l.dir, "pins.csv"))
	if err != nil {
		l.Fatal(err)
	}
	defer written.Close()
	rows, err := csv.NewReader(written).ReadAll()
	if err != nil || len(rows) != 2 {
		l.Fatalf("pins.csv: %q, %v", rows, err)
	}
	l.keep("a PIN of the ledger", []byte(rows[1][slices.Index(rows[0], "pin")]))
	return []string{"identity", "pins.csv"}
}

// modes checks that no file with a secret can be read by others, and returns those
// that store one on purpose. Every file that the program made is looked at.
func (l *leakTest) modes() (stored []string) {
	l.Helper()
	stored = []string{"simulator.db", "run.db"}
	tokens := 0
	err := filepath.WalkDir(l.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(l.dir, path)
		if strings.HasPrefix(name, "state"+string(filepath.Separator)) && strings.Contains(name, "token") {
			tokens++
			stored = append(stored, name)
		}
		// Made to be shown or handed on, without secrets, as the search sees.
		public := slices.Contains([]string{"report.jsonl", "report.xml", "report.html", "usage.html", "doors.json", filepath.Join("benchstate", "soft.lock.guard")}, name)
		if info.Mode().Perm() != 0o600 && !public {
			l.Errorf("%s has mode %v", name, info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		l.Fatal(err)
	}
	for _, name := range []string{"simulator.db", "run.db", "pins.csv", "users.csv.ledger.jsonl", "disk.json", "001.trace"} {
		if _, err := os.Stat(filepath.Join(l.dir, name)); err != nil {
			l.Errorf("the tour made no %s", name)
		}
	}
	if tokens == 0 {
		l.Error("the tour has no token remembered")
	}
	return stored
}
