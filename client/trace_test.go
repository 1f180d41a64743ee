package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/trace"
	"github.com/fidokey/fidokey/transport"
)

var update = flag.Bool("update", false, "record testdata/*.trace anew, from the simulator")

// A recording is what one or several flows said to a key.
type recording struct {
	name string
	// play runs the flows on a key, simulated or played back, and checks what
	// they return. The PIN is 1234, and 9999 where it is wrong.
	play func(t *testing.T, dev transport.Device)
}

var recordings = []recording{
	{"info", playInfo},
	{"pin", playPIN},
	{"register-authenticate", playCredential},
	{"list", playList},
}

func playInfo(t *testing.T, dev transport.Device) {
	info, err := client.New(dev, client.Options{}).Info(t.Context())
	if err != nil || !info.HasVersion(ctap2.VersionFIDO21) {
		t.Errorf("%+v, %v", info, err)
	}
}

// playPIN has a wrong PIN among the right ones.
func playPIN(t *testing.T, dev transport.Device) {
	person := &person{pin: "1234", newPIN: "1234"}
	key := client.New(dev, client.Options{Prompt: person.prompt()})
	if err := key.SetPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := key.VerifyPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	person.pin = "9999"
	var wrong *pin.Error
	if err := key.VerifyPIN(t.Context()); !errors.As(err, &wrong) || wrong.Retries.Left != 7 {
		t.Errorf("wrong PIN: %v", err)
	}
	person.pin = "1234"
	if err := key.ChangePIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	state, err := key.PINState(t.Context())
	if err != nil || state.Retries.Left != 8 {
		t.Errorf("%+v, %v", state, err)
	}
}

func playCredential(t *testing.T, dev transport.Device) {
	person := &person{pin: "1234", newPIN: "1234"}
	key := client.New(dev, client.Options{Prompt: person.prompt()})
	if err := key.SetPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	made, err := key.Register(t.Context(), registration())
	if err != nil {
		t.Fatal(err)
	}
	assertions, err := key.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:]})
	if err != nil || len(assertions) != 1 {
		t.Fatalf("%d assertions, %v", len(assertions), err)
	}
	if data := verify(t, made, assertions[0]); data.Flags != ctap2.FlagUP|ctap2.FlagUV {
		t.Errorf("flags %v", data.Flags)
	}
	if len(person.touches) != 2 {
		t.Errorf("touches %v", person.touches)
	}
}

// playList lists what playCredential has made, by the commands themselves.
func playList(t *testing.T, dev transport.Device) {
	playCredential(t, dev)
	info, err := ctap2.Do(t.Context(), dev, ctap2.GetInfo{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := pin.GetToken(t.Context(), dev, info, pin.One, []byte("1234"), pin.Grant{Permissions: ctap2.PermissionCM})
	if err != nil {
		t.Fatal(err)
	}
	rps := manage(t, dev, token, ctap2.CredentialManagement{SubCommand: ctap2.EnumerateRPsBegin})
	if rps.RP == nil || rps.RP.ID != "example.com" {
		t.Fatalf("%+v", rps)
	}
	made := manage(t, dev, token, ctap2.CredentialManagement{
		SubCommand: ctap2.EnumerateCredentialsBegin, Params: &ctap2.CredentialManagementParams{RPIDHash: rps.RPIDHash},
	})
	if made.User == nil || made.User.Name != "alice" {
		t.Fatalf("%+v", made)
	}
}

func manage(t *testing.T, dev transport.Device, token *pin.Token, req ctap2.CredentialManagement) *ctap2.CredentialManagementResponse {
	t.Helper()
	message, err := req.AuthMessage()
	if err != nil {
		t.Fatal(err)
	}
	req.PINUVAuthParam, req.PINUVAuthProtocol = token.Authenticate(message), uint(token.Protocol())
	resp, err := ctap2.Do(t.Context(), dev, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// TestRecordings plays the recordings in testdata to the client: today's client
// says what that of the recording said.
func TestRecordings(t *testing.T) {
	for _, r := range recordings {
		t.Run(r.name, func(t *testing.T) {
			path := filepath.Join("testdata", r.name+".trace")
			if *update {
				record(t, path, r)
			}
			played := readTrace(t, path)
			p := simulator.NewPlayback(played, simulator.PlaybackOptions{})
			r.play(t, p)
			if left := p.Left(); left != 0 {
				t.Errorf("%d of %d exchanges were not asked for", left, len(played.Exchanges))
			}
		})
	}
}

func record(t *testing.T, path string, r recording) {
	t.Helper()
	var text bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, simulator.Config{})
		w := trace.NewWriter(&text, trace.Header{Tool: "go test ./client -update", Device: "simulator, default profile"})
		r.play(t, trace.Record(b.wire.Device, w))
		if err := w.Err(); err != nil {
			t.Fatal(err)
		}
	})
	if err := os.WriteFile(path, text.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

func readTrace(t *testing.T, path string) *trace.Trace {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	read, err := trace.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// TestPlaybackOfAnother plays what another implementation has made up, and looks
// at the attestation: its bytes have come through.
func TestPlaybackOfAnother(t *testing.T) {
	data, err := os.ReadFile("testdata/passkey-registration.json")
	if err != nil {
		t.Fatal(err)
	}
	var worked struct {
		ClientDataJSON             string
		AttestationRootCertificate []byte
	}
	if err := json.Unmarshal(data, &worked); err != nil {
		t.Fatal(err)
	}
	clientData, err := base64.RawURLEncoding.DecodeString(worked.ClientDataJSON)
	if err != nil {
		t.Fatal(err)
	}
	clientDataHash := sha256.Sum256(clientData)

	recorded := readTrace(t, "testdata/passkey-registration.trace")
	var asked struct {
		RP      ctap2.RP           `cbor:"2,keyasint"`
		User    ctap2.User         `cbor:"3,keyasint"`
		Exclude []ctap2.Descriptor `cbor:"5,keyasint"`
	}
	if err := ctapcbor.Unmarshal(recorded.Exchanges[1].Request[1:], &asked); err != nil {
		t.Fatal(err)
	}
	p := simulator.NewPlayback(recorded, simulator.PlaybackOptions{})
	touches := 0
	key := client.New(p, client.Options{Prompt: client.Prompt{Touch: func(client.Touch) { touches++ }}})
	if info, err := key.Info(t.Context()); err != nil || !info.HasVersion(ctap2.VersionFIDO20) {
		t.Fatal(err)
	}
	yes := true
	var extensions ctap2.Extensions
	if err := errors.Join(extensions.Set(ctap2.ExtensionCredProtect, 1), extensions.Set(ctap2.ExtensionHMACSecret, true)); err != nil {
		t.Fatal(err)
	}
	made, err := client.Do(t.Context(), key, ctap2.MakeCredential{
		ClientDataHash: clientDataHash[:], RP: asked.RP, User: asked.User,
		PubKeyCredParams: []ctap2.CredentialParameters{
			{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}, {Algorithm: cose.RS256, Type: ctap2.PublicKeyType},
		},
		ExcludeList: asked.Exclude, Extensions: extensions, Options: &ctap2.Options{RK: &yes, UV: &yes},
	})
	if err != nil {
		t.Fatal(err)
	}
	if touches != 1 || p.Left() != 0 {
		t.Errorf("%d touches, %d exchanges left", touches, p.Left())
	}
	var statement struct {
		Signature []byte   `cbor:"sig"`
		X5C       [][]byte `cbor:"x5c"`
	}
	if err := ctapcbor.Unmarshal(made.AttStmt, &statement); err != nil || len(statement.X5C) == 0 {
		t.Fatalf("%+v, %v", statement, err)
	}
	certificate, err := x509.ParseCertificate(statement.X5C[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := certificate.CheckSignature(x509.ECDSAWithSHA256, append(made.AuthData, clientDataHash[:]...), statement.Signature); err != nil {
		t.Errorf("attestation: %v", err)
	}
	root, err := x509.ParseCertificate(worked.AttestationRootCertificate)
	if err != nil {
		t.Fatal(err)
	}
	if err := certificate.CheckSignatureFrom(root); err != nil {
		t.Errorf("attestation certificate: %v", err)
	}
}

// TestTraceOption: a Key writes down each exchange, and goes on where it cannot.
func TestTraceOption(t *testing.T) {
	var text bytes.Buffer
	b := newBench(t, simulator.Config{})
	b.options.Trace = trace.NewWriter(&text, trace.Header{})
	b.open(t)
	b.mustSetPIN(t)
	if _, err := b.Register(t.Context(), registration()); err != nil {
		t.Fatal(err)
	}
	read, err := trace.Read(&text)
	if err != nil || len(read.Exchanges) != 3+5 {
		t.Errorf("%d exchanges, %v", len(read.Exchanges), err)
	}
	broken := trace.NewWriter(brokenDisk{}, trace.Header{})
	b.options.Trace = broken
	b.open(t)
	if _, err := b.Register(t.Context(), registration()); err != nil || !errors.Is(broken.Err(), errDisk) {
		t.Errorf("registered: %v; written: %v", err, broken.Err())
	}
}

type brokenDisk struct{}

var errDisk = errors.New("disk full")

func (brokenDisk) Write([]byte) (int, error) { return 0, errDisk }

// overheard keeps what is said, before anything is taken out.
type overheard struct {
	transport.Device
	said bytes.Buffer
	// secrets are the byte strings in requests of clientPIN, keys in COSE form
	// among them, and the tokens in the answers.
	secrets [][]byte
}

func (o *overheard) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	answer, err := o.Device.Exchange(ctx, msg)
	o.said.Write(msg)
	o.said.Write(answer)
	if msg[0] == byte(ctap2.CommandClientPIN) {
		o.collect(msg[1:], 0)
		if len(answer) > 1 {
			o.collect(answer[1:], 2)
		}
	}
	return answer, err
}

// collect notes the byte strings of a map, or of one member.
func (o *overheard) collect(body []byte, only uint64) {
	var members map[uint64]any
	if ctapcbor.Unmarshal(body, &members) != nil {
		return
	}
	for number, value := range members {
		if only != 0 && number != only {
			continue
		}
		switch value := value.(type) {
		case []byte:
			o.secrets = append(o.secrets, value)
		case map[any]any:
			for _, v := range value {
				if coordinate, ok := v.([]byte); ok {
					o.secrets = append(o.secrets, coordinate)
				}
			}
		}
	}
}

// TestTraceHasNoSecrets runs everything that has to do with secrets, and looks
// for each of them in the trace.
func TestTraceHasNoSecrets(t *testing.T) {
	profile, err := simulator.LoadProfile("ctap-2.3")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, simulator.Config{Profile: profile})
	wire := &overheard{Device: b.wire.Device}
	var text bytes.Buffer
	w := trace.NewWriter(&text, trace.Header{})
	secrets := secretFlows(t, trace.Record(wire, w))
	if err := w.Err(); err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, wire.secrets...)

	open, onWire := 0, wire.said.Bytes()
	for _, secret := range secrets {
		if len(secret) < 8 {
			t.Fatalf("%x is too short to look for", secret)
		}
		if bytes.Contains(onWire, secret) {
			open++
		}
		for encoding, s := range map[string]string{
			"bytes": string(secret), "hex": hex.EncodeToString(secret), "HEX": strings.ToUpper(hex.EncodeToString(secret)),
			"base64": base64.RawStdEncoding.EncodeToString(secret)[:len(secret)], "base64url": base64.RawURLEncoding.EncodeToString(secret)[:len(secret)],
			"hex of hex": hex.EncodeToString([]byte(hex.EncodeToString(secret))),
		} {
			if strings.Contains(text.String(), s) {
				t.Errorf("%x is in the trace, as %s", secret, encoding)
			}
		}
	}
	if len(secrets) < 40 || open < 30 {
		t.Errorf("%d secrets, %d of them on the wire: too few to prove anything", len(secrets), open)
	}
	notDecryptable(t, &text)
}

// notDecryptable shows that the shared secrets cannot be had even with the key's
// private key: of ours there is no public one.
func notDecryptable(t *testing.T, text *bytes.Buffer) {
	t.Helper()
	read, err := trace.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	agreements := 0
	for _, e := range read.Exchanges {
		if e.Request[0] != byte(ctap2.CommandClientPIN) {
			continue
		}
		var request struct {
			KeyAgreement map[int]any `cbor:"3,keyasint"`
		}
		if err := ctapcbor.Unmarshal(e.Request[1:], &request); err != nil {
			t.Fatal(err)
		}
		if request.KeyAgreement == nil {
			continue
		}
		agreements++
		zero := make([]byte, 32)
		for _, coordinate := range []int{-2, -3} {
			if got, _ := request.KeyAgreement[coordinate].([]byte); !bytes.Equal(got, zero) {
				t.Errorf("coordinate %d is %x", coordinate, got)
			}
		}
	}
	if agreements < 4 {
		t.Errorf("only %d key agreements", agreements)
	}
}

// secretFlows sets, tries and changes a PIN, and uses each extension that has a
// secret. It returns the secrets, some of which are never on the wire.
func secretFlows(t *testing.T, dev transport.Device) (secrets [][]byte) {
	t.Helper()
	ctx := t.Context()
	person := &person{pin: "first secret", newPIN: "first secret"}
	key := client.New(dev, client.Options{Prompt: person.prompt()})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(key.SetPIN(ctx))
	person.pin = "wrong secret"
	if err := key.VerifyPIN(ctx); !errors.Is(err, ctap2.ErrPINInvalid) {
		t.Fatal(err)
	}
	person.pin, person.newPIN = "first secret", "second secret"
	must(key.ChangePIN(ctx))
	for _, p := range []string{"first secret", "wrong secret", "second secret"} {
		sum := sha256.Sum256([]byte(p))
		secrets = append(secrets, []byte(p), sum[:16], sum[16:])
	}

	info, err := key.Info(ctx)
	must(err)
	for _, protocol := range []pin.Protocol{pin.One, pin.Two} {
		platform, shared, err := pin.Agree(ctx, dev, protocol)
		must(err)
		salts := bytes.Repeat([]byte{0x5a, byte(protocol)}, 32)
		saltEnc, err := shared.Encrypt(salts)
		must(err)
		saltAuth := shared.Authenticate(saltEnc)
		input := ctap2.HMACSecretInput{KeyAgreement: platform, SaltEnc: saltEnc, SaltAuth: saltAuth, PINUVAuthProtocol: uint(protocol)}
		blob := slices.Concat([]byte("a credBlob"), []byte{byte(protocol)})
		ours, err := platform.ECDH()
		must(err)
		secrets = append(secrets, salts, saltEnc, saltAuth, blob, ours.Bytes()[1:33], ours.Bytes()[33:])

		token, err := pin.GetToken(ctx, dev, info, protocol, []byte("second secret"), pin.Grant{Permissions: ctap2.PermissionMC | ctap2.PermissionCM | ctap2.PermissionLBW | ctap2.PermissionBE | ctap2.PermissionACFG, RPID: "example.com"})
		must(err)
		yes := true
		var extensions ctap2.Extensions
		must(extensions.Set(ctap2.ExtensionHMACSecret, true))
		must(extensions.Set(ctap2.ExtensionHMACSecretMC, input))
		must(extensions.Set(ctap2.ExtensionCredBlob, blob))
		must(extensions.Set(ctap2.ExtensionLargeBlobKey, true))
		made, err := ctap2.Do(ctx, dev, ctap2.MakeCredential{
			ClientDataHash: hash[:], RP: ctap2.RP{ID: "example.com"}, User: ctap2.User{ID: []byte{byte(protocol)}, Name: "alice"},
			PubKeyCredParams: registration().Parameters, Extensions: extensions, Options: &ctap2.Options{RK: &yes},
			PINUVAuthParam: token.Authenticate(hash[:]), PINUVAuthProtocol: uint(protocol),
		})
		must(err)
		secrets = append(secrets, token.Bytes(), token.Authenticate(hash[:]), made.LargeBlobKey)
		secrets = append(secrets, opened(t, shared, made.AuthData, ctap2.ExtensionHMACSecretMC))

		token, err = pin.GetToken(ctx, dev, info, protocol, []byte("second secret"), pin.Grant{Permissions: ctap2.PermissionCM | ctap2.PermissionLBW})
		must(err)
		secrets = append(secrets, token.Bytes())
		rpIDHash := sha256.Sum256([]byte("example.com"))
		listed := manage(t, dev, token, ctap2.CredentialManagement{
			SubCommand: ctap2.EnumerateCredentialsBegin, Params: &ctap2.CredentialManagementParams{RPIDHash: rpIDHash[:]},
		})
		secrets = append(secrets, listed.LargeBlobKey)

		token, err = pin.GetToken(ctx, dev, info, protocol, []byte("second secret"), pin.Grant{Permissions: ctap2.PermissionGA, RPID: "example.com"})
		must(err)
		extensions = nil
		must(extensions.Set(ctap2.ExtensionHMACSecret, input))
		must(extensions.Set(ctap2.ExtensionCredBlob, true))
		must(extensions.Set(ctap2.ExtensionLargeBlobKey, true))
		asserted, err := ctap2.Do(ctx, dev, ctap2.GetAssertion{
			RPID: "example.com", ClientDataHash: hash[:], Extensions: extensions,
			PINUVAuthParam: token.Authenticate(hash[:]), PINUVAuthProtocol: uint(protocol),
		})
		must(err)
		secrets = append(secrets, token.Bytes(), asserted.LargeBlobKey, opened(t, shared, asserted.AuthData, ctap2.ExtensionHMACSecret))
	}
	return secrets
}

// opened decrypts an output of hmac-secret.
func opened(t *testing.T, shared *pin.Secret, authData []byte, id string) []byte {
	t.Helper()
	data, err := ctap2.ParseAuthenticatorData(authData)
	if err != nil {
		t.Fatal(err)
	}
	var output []byte
	if ok, err := data.Extensions.Get(id, &output); !ok || err != nil {
		t.Fatalf("%s: %v, %v", id, ok, err)
	}
	plain, err := shared.Decrypt(output)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
