package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/entra/entratest"
)

// TestLongChallenge: the challenge of the service is a text of 5198 characters. What is
// signed and posted has it as it came, in client data as a browser writes them, and the
// post has the members that the service knows and no others.
func TestLongChallenge(t *testing.T) {
	tenant, err := entratest.New(entratest.Config{Users: entratest.MakeUsers(1), Tokens: []entratest.Token{{Value: "token", Scopes: entratest.Everything}}})
	if err != nil {
		t.Fatal(err)
	}
	var challenge string
	var posted []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if posted, err = io.ReadAll(r.Body); err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(bytes.NewReader(posted))
		}
		answer := httptest.NewRecorder()
		tenant.ServeHTTP(answer, r)
		if strings.HasSuffix(r.URL.Path, "/creationOptions") {
			var options struct{ PublicKey struct{ Challenge string } }
			if err := json.Unmarshal(answer.Body.Bytes(), &options); err != nil {
				t.Error(err)
			}
			challenge = options.PublicKey.Challenge
		}
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	}))
	defer server.Close()
	s := &station{}
	device, stop, err := s.start("default", "12345678")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	pin := filepath.Join(t.TempDir(), "pin")
	put(t, pin, []byte("12345678\n"), 0o600)
	call := exec.Command("fidokey", "entra", "register", "--device", device, "--user", "user1@example.onmicrosoft.com", "--name", "Blue key", "--pin-file", pin, "--json")
	call.Env = append(os.Environ(), "FIDOKEY_GRAPH="+server.URL, "FIDOKEY_GRAPH_TOKEN=token")
	code, said := output(t, call)
	if code != 0 || !strings.Contains(said, `"tenant": "11111111-2222-4333-8444-555555555555"`) {
		t.Fatalf("exit code %d\n%s", code, said)
	}
	text, err := base64.RawURLEncoding.DecodeString(challenge)
	if len(challenge) != 6931 || len(text) != 5198 || err != nil || bytes.Count(text, []byte(".")) != 4 {
		t.Errorf("the challenge has %d characters, of %d: %v", len(challenge), len(text), err)
	}
	var body map[string]any
	if err := json.Unmarshal(posted, &body); err != nil {
		t.Fatal(err)
	}
	credential := body["publicKeyCredential"].(map[string]any)
	response := credential["response"].(map[string]any)
	clientData, err := base64.RawURLEncoding.DecodeString(response["clientDataJSON"].(string))
	if want := `{"type":"webauthn.create","challenge":"` + challenge + `","origin":"https://login.microsoft.com","crossOrigin":false}`; err != nil || string(clientData) != want {
		t.Errorf("%s, %v", clientData, err)
	}
	if len(body) != 2 || body["displayName"] != "Blue key" || len(credential) != 3 || len(response) != 2 || credential["clientExtensionResults"].(map[string]any)["hmacCreateSecret"] != true {
		t.Errorf("%s", posted)
	}
	// The key has the user handle of 51 bytes, which names the tenant.
	list := exec.Command("fidokey", "credentials", "list", "--device", device, "--pin-file", pin, "--json")
	if code, said := output(t, list); code != 0 || !strings.Contains(said, `"entraTenant": "11111111-2222-4333-8444-555555555555"`) || !strings.Contains(said, `"userId": "4f463a11111111222233438444555555555555`) {
		t.Errorf("exit code %d\n%s", code, said)
	}
}
