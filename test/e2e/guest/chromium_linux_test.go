package guest

import (
	"bufio"
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// TestChromium has Debian's Chromium register and sign in with keys of several
// kinds, one process with all of them, and go-webauthn judge the answers.
func TestChromium(t *testing.T) {
	b := startChromium(t)
	b.runCommon(t)
	b.run(t, "PIN", chromiumPIN)
	b.run(t, "AppID", chromiumAppID)
	b.run(t, "rp serve", chromiumAtRelyingParty) // takes the page's place
}

// display is the screen of Chromium.
const display = ":7"

// startChromium starts Chromium on a screen that nobody sees: without one it asks
// no questions, and waits for the answers.
func startChromium(t *testing.T) *browser {
	t.Helper()
	x := exec.Command("Xvfb", display, "-screen", "0", "800x600x24", "-nolisten", "tcp")
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Process.Kill(); x.Wait() })
	waitFor(t, "the screen", func() bool { _, err := os.Stat("/tmp/.X11-unix/X7"); return err == nil })

	b := newBrowser(t, httptest.NewTLSServer) // an AppID is for pages with TLS
	cmd := exec.Command("/usr/lib/chromium/chromium", "--app="+b.url,
		"--user-data-dir="+filepath.Join(t.TempDir(), "profile"), "--password-store=basic", "--no-first-run", "--ignore-certificate-errors",
		"--no-sandbox", "--disable-gpu", "--in-process-gpu", "--enable-features=NetworkServiceInProcess2", // for root, and lighter
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
		"--webauthn-permit-enterprise-attestation="+b.url,
		"--enable-logging=stderr", "--vmodule=*fido*=2,device_event_log*=2")
	b.door, b.enterprise, b.blobs = vhci, true, true
	cmd.Env = append(os.Environ(), "DISPLAY="+display)
	b.start(t, cmd)
	go b.watchDialog(t)
	return b
}

// chromiumKeys are what is typed when Chromium's dialog comes to a step.
var chromiumKeys = map[string]string{
	"kClientPinEntry":            "ctrl+a 1 2 3 4 5 6 Return", // somePIN
	"kSelectAccount":             "Return",                    // the first
	"kKeyAlreadyRegistered":      "Escape",
	"kKeyNotRegistered":          "Escape",
	"kTimedOut":                  "Escape",
	"kErrorInternalUnrecognized": "Escape",
}

var chromiumStep = regexp.MustCompile(`UI step: (\w+)`)

// watchDialog types into Chromium's dialog, for the length of the test. What is
// typed before the dialog is drawn is lost, so it is typed again.
func (b *browser) watchDialog(t *testing.T) {
	var step string
	var since time.Time
	for read := 0; t.Context().Err() == nil; time.Sleep(100 * time.Millisecond) {
		log, err := os.ReadFile(b.log)
		if err != nil {
			return // the test has ended
		}
		for _, m := range chromiumStep.FindAllSubmatch(log[read:], -1) {
			step, since = string(m[1]), time.Now()
		}
		read = bytes.LastIndexByte(log, '\n') + 1
		if keys := chromiumKeys[step]; keys != "" && time.Since(since) > time.Second {
			cmd := exec.CommandContext(t.Context(), "xdotool", "-")
			cmd.Env = append(os.Environ(), "DISPLAY="+display)
			cmd.Stdin = strings.NewReader("key --delay 20 " + keys + "\n")
			cmd.Run()
			since = time.Now().Add(4 * time.Second)
		}
	}
}

// chromiumPIN types the PIN, and picks one of two accounts.
func chromiumPIN(t *testing.T, b *browser) {
	b.door.plug(t, "--state", ":memory:", "--profile", "ctap-2.1").setPIN(somePIN)
	alice, bob := &person{name: "alice"}, &person{name: "bob"}
	for _, p := range []*person{alice, bob} {
		made := b.registers(t, p, selection(protocol.ResidentKeyRequirementRequired, protocol.VerificationRequired), webauthn.WithExtensions(webauthn.WithExtensionCredProps()))
		if !made.Response.AttestationObject.AuthData.Flags.HasUserVerified() || !isTrue(p.credentials[0].Extensions.RK) {
			t.Errorf("%s: %+v", p.name, p.credentials[0])
		}
	}
	b.signsIn(t, alice, false, uvRequired)
	b.signsIn(t, bob, true, uvRequired) // the last one made comes first
}

// chromiumAppID signs in to an account of the U2F age.
func chromiumAppID(t *testing.T, b *browser) {
	b.door.plug(t, "--state", ":memory:", "--profile", "u2f")
	alice := &person{name: "alice"}
	const appID = "https://localhost/app-id.json"
	old := result[struct{ KeyHandle, PublicKey base64URL }](t, run(t, "", fidokey, "u2f", "register", "--app-id", appID, "--json"))
	alice.credentials = []webauthn.Credential{{ID: old.KeyHandle, PublicKey: old.PublicKey, AttestationFormat: "fido-u2f"}}
	signed := b.signsIn(t, alice, false, uvDiscouraged, webauthn.WithAssertionExtensions(webauthn.WithExtensionAppID(appID)))
	if !isTrue(signed.ClientExtensionResults.AppID) {
		t.Errorf("extensions: %+v", signed.ClientExtensionResults)
	}
}

// chromiumAtRelyingParty registers and signs in at the page of "fidokey rp serve",
// by its keys: Alt+R and Alt+S.
func chromiumAtRelyingParty(t *testing.T, b *browser) {
	b.door.plug(t, "--state", ":memory:", "--profile", "u2f")
	rp := exec.Command(fidokey, "rp", "serve", "--json")
	stdout, err := rp.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := rp.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rp.Process.Signal(os.Interrupt); rp.Wait() })
	said := make(chan string)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			said <- lines.Text()
		}
		close(said)
	}()
	ready := result[struct{ URL string }](t, <-said)
	if _, err := b.do(browserTask{Ceremony: "open", Options: ready.URL}); err != nil {
		t.Fatal(err)
	}
	type ceremony struct {
		Type     string
		Verified bool
	}
	before := ""
	for _, step := range []struct{ keys, ceremony string }{{"alt+r", "registration"}, {"alt+s", "assertion"}} {
		done := result[ceremony](t, b.typeUntil(t, step.keys, said))
		for done.Type == before { // where the page is slow, the keys that began it came twice
			done = result[ceremony](t, b.typeUntil(t, step.keys, said))
		}
		before = step.ceremony
		if done.Type != step.ceremony || !done.Verified {
			t.Errorf("%s: %+v", step.ceremony, done)
		}
	}
}

// typeUntil types into the page, again and again, for it may not be there yet, until
// a line is said.
func (b *browser) typeUntil(t *testing.T, keys string, said <-chan string) string {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < startPatience; {
		cmd := exec.CommandContext(t.Context(), "xdotool", "key", "--delay", "20", keys)
		cmd.Env = append(os.Environ(), "DISPLAY="+display)
		cmd.Run()
		select {
		case line := <-said:
			return line
		case <-time.After(10 * time.Second):
		}
	}
	t.Fatalf("%s: nothing came of it", keys)
	return ""
}
