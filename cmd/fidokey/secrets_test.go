package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/fidokey/fidokey/entra/entratest"
	"github.com/fidokey/fidokey/simulator"
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
	// As fmt prints bytes.
	s.forms = append(s.forms, []byte(strings.Trim(fmt.Sprint(value), "[]")), []byte(fmt.Sprintf("% x", value)))
	return s
}

// A leakTest runs the program and keeps all that it writes.
type leakTest struct {
	*testing.T
	dir string

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
	call.Dir = l.dir
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
	for name, content := range places {
		for _, s := range l.secrets {
			for _, form := range s.forms {
				if bytes.Contains(content, form) {
					leaks = append(leaks, fmt.Sprintf("%s is in %s as %q", s.what, name, form))
				}
			}
		}
	}
	slices.Sort(leaks)
	return leaks
}

// keyRandom is the source of randomness of a simulated key. What it is drawn for
// tells which of it is a secret.
type keyRandom struct{ l *leakTest }

func (r keyRandom) Read(b []byte) (int, error) {
	n, err := rand.Read(b)
	callers := make([]uintptr, 12)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for {
		frame, more := frames.Next()
		what := map[string]string{
			"pin_session.go": "a PIN/UV auth token", "identity.go": "a persistent token",
			"hmac_secret.go": "the CredRandom of a credential", "state.go": "the key's master key",
		}[filepath.Base(frame.File)]
		if what != "" && n == 32 {
			r.l.keep(what, b)
			break
		}
		if !more {
			break
		}
	}
	return n, err
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

	device := l.plug()
	l.everyCommand(device)
	l.secretsByName(device)
	l.tenant(device)
	l.bench()
	l.crash()
	ofLedger := l.ledger()

	// What is stored on purpose: the key itself, and the read-only token of --remember.
	stored := slices.Concat(laid, ofLedger, l.modes())
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

func (l *leakTest) size() (n int) {
	for _, said := range l.said {
		n += len(said)
	}
	return n
}

// plug plugs in a key whose randomness is watched, and sets its PIN.
func (l *leakTest) plug() (device string) {
	l.Helper()
	profile := simulator.Full23()
	key, err := simulator.New(simulator.Config{Profile: profile, Random: keyRandom{l}})
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { key.Close() })
	s := &station{key: key, pin: tourPIN}
	address, stop, err := s.serve(func(ctx context.Context, ready func(net.Addr)) error {
		return simulator.ServeTCP(ctx, key, simulator.DoorConfig{Address: "127.0.0.1:0", Ready: ready})
	})
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(stop)
	return "tcp:" + address
}

// everyCommand calls all commands that open a key, with the right PIN in three ways,
// and with a wrong one.
func (l *leakTest) everyCommand(device string) {
	l.standIn()
	if _, code := l.run("pin", "set", "--pin-file", "pin", "--device", device); code != exitOK {
		l.Fatalf("pin set: exit code %d", code)
	}
	forms := [][]string{{}, {"--json"}, {"--events", "jsonl", "--json"}}
	for n, command := range slices.Sorted(maps.Keys(callsOnAKey)) {
		if strings.HasPrefix(command, "conformance") && n%2 == 1 {
			continue
		}
		form := forms[n%len(forms)]
		call := strings.NewReplacer("--key-handle pin", "--key-handle ci.yaml", "example.com pin", "example.com ci.yaml").Replace(callsOnAKey[command])
		args := slices.Concat(strings.Fields(command), strings.Fields(call), []string{"--device", device, "--timeout", "5s"}, form)
		l.run(args...)
		if slices.Contains(args, "--pin-file") && n%8 == 0 {
			wrong := slices.Clone(args)
			wrong[slices.Index(args, "--pin-file")+1] = "wrong"
			l.run(wrong...)
			l.run("pin", "verify", "--pin-file", "pin", "--device", device) // brings the tries back
		}
	}
	l.run("pin", "change", "--pin-file", "pin", "--new-pin-file", "new", "--device", device, "--events", "jsonl")
	l.run("pin", "change", "--pin-file", "new", "--new-pin-file", "pin", "--device", device, "--json")
	l.run("credentials", "list", "--remember", "--pin-file", "pin", "--device", device, "--json")
	l.run("credentials", "list", "--remember", "--device", device)
	l.run("conformance", "run", "INF-0*", "PIN-0*", "--device", "simulator", "--report", "report.jsonl", "--junit", "report.xml", "--html", "report.html")
	l.run("ci", "ci.yaml", "--pin-file", "pin", "--device", device, "--json")
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

// standIn starts a tenant that wants the bearer token.
func (l *leakTest) standIn() {
	tenant, err := entratest.New(entratest.Config{
		Users: entratest.MakeUsers(4), Tokens: []entratest.Token{{Value: tourBearer, Scopes: entratest.Everything}},
	})
	if err != nil {
		l.Fatal(err)
	}
	server := httptest.NewServer(tenant)
	l.Cleanup(server.Close)
	l.Setenv(graphRootVariable, server.URL)
	l.Setenv(graphTokenVariable, tourBearer)
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
	l.run("pin", "set", "--pin-file", "pin", "--device", "simulator")
	for _, args := range []string{
		"register --rp example.com --user alice --pin-file pin --device simulator --simulator-touch never",
		"authenticate --rp example.com --pin-file pin --device simulator --simulator-touch never",
	} {
		if strings.HasPrefix(args, "authenticate") {
			l.run("register", "--rp", "example.com", "--user", "bob", "--pin-file", "pin", "--device", "simulator")
		}
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
	key, err := simulator.New(simulator.Config{Profile: simulator.Full23(), Random: keyRandom{l}})
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { key.Close() })
	s := &station{key: key}
	address, stop, err := s.serve(func(ctx context.Context, ready func(net.Addr)) error {
		return simulator.ServeTCP(ctx, key, simulator.DoorConfig{Address: "127.0.0.1:0", Ready: ready})
	})
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(stop)
	l.run("entra", "register", "--csv", "users.csv", "--pin-random", "--recipient", identity.Recipient().String(), "--no-wait", "--device", "tcp:"+address, "--json", "--events", "jsonl")
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
