package guest

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

//go:embed browser.html
var browserPage string

const (
	// ceremonyPatience is how long a ceremony may take. The page gives up sooner.
	ceremonyPatience = 2 * patience
	// startPatience is how long a browser may take until it shows the page.
	startPatience = 4 * patience
)

// A browser has the page of a relying party open.
type browser struct {
	tasks   chan browserTask
	answers chan browserAnswer
	url     string
	rp      *webauthn.WebAuthn
	door    door   // of the keys that it is given
	log     string // the file that the program logs to

	enterprise, blobs bool // it lets these through to the key: enterprise attestation, credBlob and largeBlob

	giveUpAfter time.Duration // when the page gives up a ceremony; 0: patience
	ceremonies  int           // done
}

// A browserTask is what the page shall do: "create", "get", or "open" a page in its
// place.
type browserTask struct {
	Ceremony   string `json:"ceremony"`
	Options    any    `json:"options"`
	AbortAfter int64  `json:"abortAfter"` // milliseconds
}

type browserAnswer struct {
	Credential json.RawMessage
	Error      *domException
}

// A domException is what a ceremony rejects with.
type domException struct{ Name, Message string }

func (e *domException) Error() string { return e.Name + ": " + e.Message }

// newBrowser serves the page; who calls it starts a program that opens its URL.
func newBrowser(t *testing.T, serve func(http.Handler) *httptest.Server) *browser {
	t.Helper()
	b := &browser{tasks: make(chan browserTask), answers: make(chan browserAnswer)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, browserPage)
	})
	mux.HandleFunc("GET /task", func(w http.ResponseWriter, r *http.Request) {
		select {
		case task := <-b.tasks:
			json.NewEncoder(w).Encode(task)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /answer", func(_ http.ResponseWriter, r *http.Request) {
		var answer browserAnswer
		if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
			answer.Error = &domException{"no answer", err.Error()}
		}
		select {
		case b.answers <- answer:
		case <-r.Context().Done():
		}
	})
	server := serve(mux)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	b.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	var err error
	if b.rp, err = webauthn.New(&webauthn.Config{RPID: "localhost", RPDisplayName: "Relying party", RPOrigins: []string{b.url}}); err != nil {
		t.Fatal(err)
	}
	return b
}

// start runs the browser for the length of the test and waits for its page.
func (b *browser) start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	begin := time.Now()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	b.log = log.Name()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		log.Close()
	})
	// It is ready when a ceremony that cannot be is refused.
	_, err = b.do(browserTask{Ceremony: "create", Options: struct{}{}})
	if _, refused := err.(*domException); !refused {
		text, _ := os.ReadFile(b.log)
		t.Fatalf("%v\n%s\n%s", err, cmd, text)
	}
	t.Logf("%s: page after %.1f s", filepath.Base(cmd.Path), time.Since(begin).Seconds())
}

// run is t.Run for ceremonies. What the browser logs meanwhile is shown if they
// fail.
func (b *browser) run(t *testing.T, name string, test func(*testing.T, *browser)) {
	t.Run(name, func(t *testing.T) {
		begin, done := time.Now(), b.ceremonies
		before, _ := os.ReadFile(b.log)
		t.Cleanup(func() {
			t.Logf("%d ceremonies in %.1f s", b.ceremonies-done, time.Since(begin).Seconds())
			if log, _ := os.ReadFile(b.log); t.Failed() {
				t.Logf("the browser's log:\n%s", log[len(before):])
			}
		})
		test(t, b)
	})
}

// do has the page do a ceremony and returns the credential.
func (b *browser) do(task browserTask) (json.RawMessage, error) {
	task.AbortAfter = cmp.Or(b.giveUpAfter, patience).Milliseconds()
	select {
	case b.tasks <- task:
	case <-time.After(startPatience):
		return nil, fmt.Errorf("the page did not ask for a task within %v", startPatience)
	}
	select {
	case answer := <-b.answers:
		b.ceremonies++
		if answer.Error != nil {
			return nil, answer.Error
		}
		return answer.Credential, nil
	case <-time.After(ceremonyPatience):
		return nil, fmt.Errorf("the page did not answer within %v", ceremonyPatience)
	}
}

// A person has an account with the relying party.
type person struct {
	name        string
	credentials []webauthn.Credential
}

func (p *person) WebAuthnID() []byte                         { return []byte("id of " + p.name) }
func (p *person) WebAuthnName() string                       { return p.name + "@example.com" }
func (p *person) WebAuthnDisplayName() string                { return p.name }
func (p *person) WebAuthnCredentials() []webauthn.Credential { return p.credentials }

// register makes a credential, which the relying party verifies.
func (b *browser) register(p *person, o ...webauthn.RegistrationOption) (*protocol.ParsedCredentialCreationData, error) {
	options, session, err := b.rp.BeginRegistration(p, o...)
	if err != nil {
		return nil, err
	}
	answer, err := b.do(browserTask{Ceremony: "create", Options: options.Response})
	if err != nil {
		return nil, err
	}
	made, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, answer)
	}
	credential, err := b.rp.CreateCredential(p, *session, made)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, answer)
	}
	p.credentials = append(p.credentials, *credential)
	return made, nil
}

// signIn signs in with one of the person's credentials, which the relying party
// names, or with a discoverable one.
func (b *browser) signIn(p *person, discover bool, o ...webauthn.LoginOption) (*protocol.ParsedCredentialAssertionData, error) {
	begin := func() (*protocol.CredentialAssertion, *webauthn.SessionData, error) { return b.rp.BeginLogin(p, o...) }
	if discover {
		begin = func() (*protocol.CredentialAssertion, *webauthn.SessionData, error) {
			return b.rp.BeginDiscoverableLogin(o...)
		}
	}
	options, session, err := begin()
	if err != nil {
		return nil, err
	}
	answer, err := b.do(browserTask{Ceremony: "get", Options: options.Response})
	if err != nil {
		return nil, err
	}
	signed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, answer)
	}
	var credential *webauthn.Credential
	if discover {
		credential, err = b.rp.ValidateDiscoverableLogin(func(_, handle []byte) (webauthn.User, error) {
			if string(handle) != string(p.WebAuthnID()) {
				return nil, fmt.Errorf("user handle %q", handle)
			}
			return p, nil
		}, *session, signed)
	} else {
		credential, err = b.rp.ValidateLogin(p, *session, signed)
	}
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, answer)
	}
	if credential.Authenticator.CloneWarning {
		return nil, fmt.Errorf("the counter went from %d to %d", credential.Authenticator.SignCount, signed.Response.AuthenticatorData.Counter)
	}
	for i := range p.credentials {
		if string(p.credentials[i].ID) == string(credential.ID) {
			p.credentials[i] = *credential
		}
	}
	return signed, nil
}

// registers is register for what has to succeed.
func (b *browser) registers(t *testing.T, p *person, o ...webauthn.RegistrationOption) *protocol.ParsedCredentialCreationData {
	t.Helper()
	made, err := b.register(p, o...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// signsIn is signIn for what has to succeed.
func (b *browser) signsIn(t *testing.T, p *person, discover bool, o ...webauthn.LoginOption) *protocol.ParsedCredentialAssertionData {
	t.Helper()
	signed, err := b.signIn(p, discover, o...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
