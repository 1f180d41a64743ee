package main

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/fidokey/fidokey/entra/entratest"
)

const (
	theTenant = "11111111-2222-4333-8444-555555555555"
	theSecret = "secret-of-the-application"
	theToken  = "token-from-elsewhere"
	password  = "password-of-the-file"
)

// application makes a certificate of an application, and writes it and its key to files:
// app.pem, app.pfx and other.pem, which nobody knows.
func application(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	var certificate *x509.Certificate
	for _, name := range []string{"other", "app"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().AddDate(1, 0, 0)}
		der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if certificate, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		put(t, filepath.Join(dir, name+".pem"), text, 0o600)
		for form, encoder := range map[string]*pkcs12.Encoder{"modern": pkcs12.Modern2023, "legacy": pkcs12.LegacyDES} {
			file, err := encoder.Encode(key, certificate, nil, password)
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, name+"-"+form+".pfx"), file, 0o600)
		}
	}
	return certificate
}

func put(t *testing.T, path string, text []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, text, mode); err != nil {
		t.Fatal(err)
	}
}

// signInBench is a tenant over TLS with an authority of its own, a machine in Azure and
// az, all on this machine.
type signInBench struct {
	*testing.T
	tenant *entratest.Tenant
	url    string
	dir    string
	asked  []string // of the machine in Azure
	agrees bool     // the person agrees as soon as there is a code

	mu    sync.Mutex
	given map[string]string // what proves an application or a person, and what it is called
}

// ServeHTTP is the tenant, which remembers what nobody else may see of a sign-in.
func (b *signInBench) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		b.Error(err)
	}
	answer := httptest.NewRecorder()
	b.tenant.ServeHTTP(answer, r)
	var said map[string]any
	_ = json.Unmarshal(answer.Body.Bytes(), &said)
	b.mu.Lock()
	for _, name := range []string{"access_token", "refresh_token", "device_code", "client_secret", "client_assertion"} {
		text, _ := said[name].(string)
		for _, value := range []string{text, r.PostForm.Get(name)} {
			if value != "" {
				b.given[value] = name
			}
		}
	}
	b.mu.Unlock()
	if said["device_code"] != nil && b.agrees {
		b.tenant.Agree()
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = answer.Body.WriteTo(w)
}

// secrets are those that were on the wire, and those that were not.
func (b *signInBench) secrets() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := maps.Clone(b.given)
	all[theSecret], all[theToken], all[password] = "the application's secret", "the token from elsewhere", "the password of the certificate"
	return all
}

func newSignInBench(t *testing.T, agrees bool) *signInBench {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only here a program can be told whom to trust: $SSL_CERT_FILE")
	}
	b := &signInBench{T: t, dir: t.TempDir(), agrees: agrees, given: map[string]string{}}
	config := entratest.Config{
		Tenant: theTenant, Client: "application", Secret: theSecret, Certificates: []*x509.Certificate{application(t, b.dir)},
		TokenScopes: entratest.Everything, Tokens: []entratest.Token{{Value: theToken, Scopes: entratest.Everything}}, Users: entratest.MakeUsers(1),
	}
	var err error
	if b.tenant, err = entratest.New(config); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(b)
	t.Cleanup(server.Close)
	b.url = server.URL
	put(t, filepath.Join(b.dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600)
	put(t, filepath.Join(b.dir, "secret"), []byte(theSecret+"\n"), 0o600)
	put(t, filepath.Join(b.dir, "wrong"), []byte("wrong-"+theSecret+"\n"), 0o600)
	put(t, filepath.Join(b.dir, "token"), []byte(theToken+"\n"), 0o600)
	put(t, filepath.Join(b.dir, "az"), fmt.Appendf(nil, "#!/bin/sh\necho \"$@\" > %s/az.args\necho '{\"accessToken\":\"%s\",\"expiresOn\":\"2099-01-01 00:00:00.000000\",\"expires_on\":4070908800}'\n", b.dir, theToken), 0o700)
	return b
}

// machine answers as one in Azure does, App Service or a virtual machine. That of the
// latter has one address everywhere, which a proxy stands in for.
func (b *signInBench) machine(w http.ResponseWriter, r *http.Request) {
	b.asked = append(b.asked, r.URL.Path+"?"+r.URL.RawQuery)
	if r.Header.Get("X-IDENTITY-HEADER") != "header-of-the-machine" && r.Header.Get("Metadata") != "true" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	fmt.Fprintf(w, `{"access_token":%q,"expires_on":"4070908800","expires_in":"3600","resource":"x","token_type":"Bearer"}`, theToken)
}

func (b *signInBench) call(way string) *exec.Cmd {
	call := exec.Command("fidokey", append([]string{"entra", "list", "--user", "user1@example.onmicrosoft.com"}, strings.Fields(way)...)...)
	call.Dir, call.Env = b.dir, append(os.Environ(), b.environ()...)
	return call
}

// environ leads the program to the tenant, with everything in its log.
func (b *signInBench) environ() []string {
	return []string{"SSL_CERT_FILE=" + b.dir + "/ca.pem", "FIDOKEY_GRAPH=" + b.url, "AZURE_AUTHORITY_HOST=" + b.url, "AZURE_TENANT_ID=" + theTenant, "AZURE_CLIENT_ID=application",
		"AZURE_SDK_GO_LOGGING=all", "SECRET=" + theSecret, "PASSWORD=" + password, "PATH=" + b.dir + ":" + os.Getenv("PATH")}
}

// hides looks for what nobody may see: secrets, tokens, what proves the application.
func (b *signInBench) hides(name, said string) {
	b.Helper()
	for _, secret := range slices.AppendSeq([]string{"stand-in.", "eyJ", "header-of-the-machine", "PRIVATE KEY"}, maps.Keys(b.secrets())) {
		if strings.Contains(said, secret) {
			b.Errorf("%s shows %s:\n%s", name, secret, said)
		}
	}
}

// TestWaysToSignIn takes each way to a list of passkeys, with everything in the log.
func TestWaysToSignIn(t *testing.T) {
	b := newSignInBench(t, false)
	machine := httptest.NewServer(http.HandlerFunc(b.machine))
	defer machine.Close()
	for name, c := range map[string]struct {
		way, stdin string
		env        []string
		code       int
		says       string
	}{
		"token in a file":          {way: "--token-file token"},
		"token on stdin":           {way: "--token-stdin", stdin: theToken + "\n"},
		"token in the environment": {way: "", env: []string{"FIDOKEY_GRAPH_TOKEN=" + theToken}},
		"another token":            {way: "--token-file wrong", code: exitFailure, says: "InvalidAuthenticationToken"},
		"secret in a file":         {way: "--sign-in client-secret --client-secret-file secret"},
		"secret in the environment": {
			way: "--client-secret-env SECRET", env: []string{"FIDOKEY_SIGN_IN=client-secret"},
		},
		"wrong secret":            {way: "--sign-in client-secret --client-secret-file wrong", code: exitFailure, says: "the client secret is wrong"},
		"another tenant":          {way: "--sign-in client-secret --client-secret-file secret --tenant-id other", code: exitFailure, says: "unauthorized_client"},
		"another application":     {way: "--sign-in client-secret --client-secret-file secret --client-id other", code: exitFailure, says: "unauthorized_client"},
		"certificate":             {way: "--sign-in certificate --certificate app.pem"},
		"certificate, PKCS #12":   {way: "--sign-in certificate --certificate app-modern.pfx --certificate-password-env PASSWORD"},
		"older PKCS #12":          {way: "--sign-in certificate --certificate app-legacy.pfx --certificate-password-env PASSWORD"},
		"wrong password":          {way: "--sign-in certificate --certificate app-modern.pfx --certificate-password-env SECRET", code: exitFailure, says: "app-modern.pfx: "},
		"another certificate":     {way: "--sign-in certificate --certificate other.pem", code: exitFailure, says: "no certificate of the application"},
		"Azure CLI":               {way: "--sign-in azure-cli"},
		"no Azure CLI":            {way: "--sign-in azure-cli", env: []string{"PATH=/nowhere"}, code: exitFailure, says: "AzureCLICredential: executable not found"},
		"App Service":             {way: "--sign-in managed-identity", env: []string{"IDENTITY_ENDPOINT=" + machine.URL + "/msi", "IDENTITY_HEADER=header-of-the-machine"}},
		"virtual machine":         {way: "--sign-in managed-identity", env: []string{"HTTP_PROXY=" + machine.URL}},
		"App Service, not itself": {way: "--sign-in managed-identity", env: []string{"IDENTITY_ENDPOINT=" + machine.URL + "/msi", "IDENTITY_HEADER=other"}, code: exitFailure, says: "managed identity"},
		"no such way":             {way: "", env: []string{"FIDOKEY_SIGN_IN=" + "nicely"}, code: exitUsage, says: "$FIDOKEY_SIGN_IN is \"nicely\""},
		"a stranger's authority":  {way: "--sign-in client-secret --client-secret-file secret", env: []string{"SSL_CERT_FILE=/nowhere"}, code: exitFailure, says: "certificate"},
	} {
		call := b.call(c.way)
		call.Env, call.Stdin = append(call.Env, c.env...), strings.NewReader(c.stdin)
		code, said := output(t, call)
		if code != c.code || !strings.Contains(said, c.says) || c.code == 0 && !strings.Contains(said, "has no passkeys") {
			t.Errorf("%s: exit code %d\n%s", name, code, said)
		}
		if c.code == 0 && !strings.Contains(said, "==> REQUEST/RESPONSE") {
			t.Errorf("%s: the log is not on:\n%s", name, said)
		}
		b.hides(name, said)
	}
	if args, err := os.ReadFile(filepath.Join(b.dir, "az.args")); err != nil || !strings.Contains(string(args), "get-access-token") || !strings.Contains(string(args), "--tenant "+theTenant) {
		t.Errorf("az was asked %q, %v", args, err)
	}
	if text := strings.Join(b.asked, " "); !strings.Contains(text, "/msi?") || !strings.Contains(text, "/metadata/identity/oauth2/token?") || strings.Count(text, "client_id=application") < 2 {
		t.Errorf("the machine was asked %v", b.asked)
	}
}

// TestDeviceCode signs a person in: the code for the person is shown, and the one that
// gets the token is not.
func TestDeviceCode(t *testing.T) {
	b := newSignInBench(t, false)
	call := b.call("--sign-in device-code")
	stderr, err := call.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stdout strings.Builder
	call.Stdout = &stdout
	if err := call.Start(); err != nil {
		t.Fatal(err)
	}
	defer call.Process.Kill()
	var said strings.Builder
	lines := bufio.NewScanner(io.TeeReader(stderr, &said))
	shown := false
	for lines.Scan() {
		if strings.Contains(lines.Text(), "STANDIN1") && !shown {
			shown = true
			b.tenant.Agree()
		}
	}
	if err := call.Wait(); err != nil || !shown || !strings.Contains(stdout.String(), "has no passkeys") {
		t.Errorf("%v\n%s\n%s", err, &stdout, &said)
	}
	b.hides("device code", stdout.String()+said.String())
	given := map[string]int{}
	for _, what := range b.secrets() {
		given[what]++
	}
	if given["device_code"] != 1 || given["access_token"] != 1 || given["refresh_token"] != 1 {
		t.Errorf("the authority gave %v", given)
	}
}
