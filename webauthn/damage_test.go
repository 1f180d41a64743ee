package webauthn_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/webauthn"
)

// ourOwn are what go-webauthn leaves to others: it compares with no getInfo, looks
// at neither backup flags, counters nor user handles. own are more of them.
var ourOwn = []string{webauthn.CheckAAGUID, webauthn.CheckBackup, webauthn.CheckCounter, webauthn.CheckUserHandle}

// agree holds the explanation and the library's verdict together: what the library
// refuses has a reason with a name, and what fails by a name that the library looks
// at too it refuses.
func agree(t *testing.T, checks []webauthn.Check, own ...string) {
	t.Helper()
	var refused, explained, made bool
	for _, c := range checks {
		switch {
		case c.Name == webauthn.CheckLibrary:
			made = c.Outcome() != webauthn.NotApplicable
			refused = c.Err != nil
		case c.Err != nil && !slices.Contains(ourOwn, c.Name) && !slices.Contains(own, c.Name):
			explained = true
		}
	}
	if made && refused != explained {
		t.Errorf("go-webauthn refuses: %v, explained: %v: %v", refused, explained, webauthn.Failed(checks))
	}
}

// object is an attestation object in parts.
type object struct {
	Format   string                     `cbor:"fmt"`
	AttStmt  map[string]cbor.RawMessage `cbor:"attStmt"`
	AuthData []byte                     `cbor:"authData"`
}

// open takes a response apart, and returns what puts it together again.
func open(t *testing.T, r *webauthn.RegistrationResponse) (*object, func()) {
	o := new(object)
	if err := ctapcbor.Unmarshal(r.Response.AttestationObject, o); err != nil {
		t.Fatal(err)
	}
	return o, func() {
		packed, err := ctapcbor.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		r.Response.AttestationObject = packed
	}
}

// put sets a member of the statement.
func (o *object) put(t *testing.T, name string, v any) {
	raw, err := ctapcbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if o.AttStmt == nil {
		o.AttStmt = map[string]cbor.RawMessage{}
	}
	o.AttStmt[name] = raw
}

// flip changes the byte at i of a member that is a byte string; of x5c, of its
// first certificate. i may count from the end.
func (o *object) flip(t *testing.T, name string, i int) {
	flip := func(b []byte) {
		if i < 0 {
			i += len(b)
		}
		b[i] ^= 1
	}
	if name == "x5c" {
		var all [][]byte
		if err := ctapcbor.Unmarshal(o.AttStmt[name], &all); err != nil {
			t.Fatal(err)
		}
		flip(all[0])
		o.put(t, name, all)
		return
	}
	var b []byte
	if err := ctapcbor.Unmarshal(o.AttStmt[name], &b); err != nil {
		t.Fatal(err)
	}
	flip(b)
	o.put(t, name, b)
}

// sealed is the check that notices when something changes that a format vouches for.
func sealed(format, what string) []string {
	signature := []string{webauthn.CheckAttestationSignature}
	switch {
	case what == "" || format == "none" || format == "fido-u2f" && what == "flags":
		return nil
	case format == "android-key" && what == "client data":
		return append(signature, webauthn.CheckAttestedData)
	case format == "tpm" || format == "apple":
		return []string{webauthn.CheckAttestedData}
	}
	return signature
}

// A damage is one change, and the check that must notice it.
type damage struct {
	name string
	do   func(t *testing.T, o *object, k *known)
	// seal is what else is changed by it: "flags", "client data", "rpIdHash" or nothing.
	seal  string
	check string
	also  []string
}

// everywhere are the damages that each vector can have.
var everywhere = []damage{
	{"challenge", func(_ *testing.T, _ *object, k *known) { k.want.Challenge = []byte("another") }, "", webauthn.CheckChallenge, nil},
	{"origin", func(_ *testing.T, _ *object, k *known) { k.want.Origin = "https://evil.example" }, "", webauthn.CheckOrigin, nil},
	{"RP ID", func(_ *testing.T, _ *object, k *known) { k.want.RPID = "evil.example" }, "", webauthn.CheckRPIDHash, nil},
	{"algorithm", func(_ *testing.T, _ *object, k *known) { k.want.Algorithms = []cose.Algorithm{cose.PS256} }, "", webauthn.CheckAlgorithm, nil},
	{"rpIdHash", func(_ *testing.T, o *object, _ *known) { o.AuthData[3] ^= 1 }, "rpIdHash", webauthn.CheckRPIDHash, nil},
	{"flag UP", func(_ *testing.T, o *object, _ *known) { o.AuthData[32] &^= 1 }, "flags", webauthn.CheckUserPresent, nil},
	{"flag UV", func(_ *testing.T, o *object, k *known) {
		o.AuthData[32] &^= 4
		o.AuthData[36] ^= 0x80 // so that something changes where it was not set
		k.want.UserVerified = true
	}, "flags", webauthn.CheckUserVerified, nil},
	{"flag BS", func(_ *testing.T, o *object, _ *known) { o.AuthData[32] = o.AuthData[32]&^8 | 16 }, "flags", webauthn.CheckBackup, nil},
	{"type", clientDataOf(`"webauthn.create"`, `"webauthn.get"`), "client data", webauthn.CheckType, nil},
	{"crossOrigin", clientDataOf(`"crossOrigin":false`, `"crossOrigin":true`), "client data", webauthn.CheckCrossOrigin, nil},
	{"topOrigin", clientDataOf(`"crossOrigin":false`, `"crossOrigin":false,"topOrigin":"https://evil.example"`), "client data", webauthn.CheckCrossOrigin, nil},
	{"client data", clientDataOf(`"crossOrigin":false`, `"crossOrigin":false,"more":1`), "client data", "", nil},
	{"id", func(_ *testing.T, _ *object, k *known) {
		k.response.ID = webauthn.Base64URL("another")
		k.response.RawID = webauthn.Base64URL("another")
	}, "", webauthn.CheckCredentialID, nil},
	{"format", func(_ *testing.T, o *object, _ *known) { o.Format = "fidokey" }, "", webauthn.CheckFormat, nil},
	{"authenticator data cut off", func(_ *testing.T, o *object, _ *known) { o.AuthData = o.AuthData[:60] }, "", webauthn.CheckEncoding, nil},
}

func clientDataOf(old, replacement string) func(*testing.T, *object, *known) {
	return func(t *testing.T, _ *object, k *known) {
		changed := bytes.Replace(k.response.Response.ClientDataJSON, []byte(old), []byte(replacement), 1)
		if bytes.Equal(changed, k.response.Response.ClientDataJSON) {
			t.Skip("client data without ", old)
		}
		k.response.Response.ClientDataJSON = changed
	}
}

// ofOne are the damages of one vector each.
var ofOne = map[string][]damage{
	"none": {
		{"a statement", func(t *testing.T, o *object, _ *known) { o.put(t, "sig", []byte{1}) }, "", webauthn.CheckFormat, nil},
	},
	"packed self": {
		{"sig", flip("sig", -1), "", webauthn.CheckAttestationSignature, nil},
		{"alg", func(t *testing.T, o *object, _ *known) { o.put(t, "alg", cose.EdDSA) }, "", webauthn.CheckAttestationSignature, nil},
		{"no sig", func(_ *testing.T, o *object, _ *known) { delete(o.AttStmt, "sig") }, "", webauthn.CheckFormat, nil},
	},
	"packed Ed25519": {
		{"sig", flip("sig", 3), "", webauthn.CheckAttestationSignature, nil},
	},
	"packed chain": {
		{"sig", flip("sig", -1), "", webauthn.CheckAttestationSignature, nil},
		{"AAGUID", func(_ *testing.T, o *object, k *known) {
			o.AuthData[37] ^= 1
			k.want.AAGUID[0] ^= 1
		}, "flags", webauthn.CheckCertificateAAGUID, nil},
		{"AAGUID of getInfo", func(_ *testing.T, _ *object, k *known) { k.want.AAGUID[0] ^= 1 }, "", webauthn.CheckAAGUID, nil},
		{"the certificate's signature", flip("x5c", -1), "", webauthn.CheckChain, nil},
		{"x5c is no certificate", func(t *testing.T, o *object, _ *known) { o.put(t, "x5c", [][]byte{{1, 2}}) }, "", webauthn.CheckFormat, nil},
		{"another root", func(t *testing.T, _ *object, k *known) { k.want.Roots = []*x509.Certificate{newAuthority(t).root} }, "", webauthn.CheckChain, nil},
		{"later", at("2050-06-01"), "", webauthn.CheckValidity, nil},
		{"earlier", at("2020-06-01"), "", webauthn.CheckValidity, nil},
	},
	"u2f as CTAP2": {
		{"sig", flip("sig", -1), "", webauthn.CheckAttestationSignature, nil},
		{"two certificates", func(t *testing.T, o *object, _ *known) {
			var all [][]byte
			if err := ctapcbor.Unmarshal(o.AttStmt["x5c"], &all); err != nil {
				t.Fatal(err)
			}
			o.put(t, "x5c", append(all, all...))
		}, "", webauthn.CheckFormat, nil},
		{"another root", func(t *testing.T, _ *object, k *known) { k.want.Roots = []*x509.Certificate{newAuthority(t).root} }, "", webauthn.CheckChain, nil},
	},
	"tpm": {
		{"sig", flip("sig", -1), "", webauthn.CheckAttestationSignature, nil},
		{"ver", func(t *testing.T, o *object, _ *known) { o.put(t, "ver", "1.2") }, "", webauthn.CheckFormat, nil},
		{"magic of certInfo", flip("certInfo", 0), "", webauthn.CheckAttestedData, []string{webauthn.CheckAttestationSignature}},
		{"name in certInfo", flip("certInfo", -40), "", webauthn.CheckAttestedData, []string{webauthn.CheckAttestationSignature}},
		{"key in pubArea", flip("pubArea", -1), "", webauthn.CheckAttestedKey, []string{webauthn.CheckAttestedData}},
		{"attributes in pubArea", flip("pubArea", 7), "", webauthn.CheckAttestedData, nil},
		{"the certificate's signature", flip("x5c", -1), "", webauthn.CheckChain, nil},
		{"later", at("2050-06-01"), "", webauthn.CheckValidity, nil},
	},
	"android-key": {
		{"sig", flip("sig", -1), "", webauthn.CheckAttestationSignature, nil},
		{"no root", func(_ *testing.T, _ *object, k *known) { k.want.Roots = nil }, "", webauthn.CheckChain, nil},
		{"the certificate's signature", flip("x5c", -1), "", webauthn.CheckChain, nil},
		{"no x5c", func(_ *testing.T, o *object, _ *known) { delete(o.AttStmt, "x5c") }, "", webauthn.CheckFormat, nil},
	},
	"apple": {
		{"no root", func(_ *testing.T, _ *object, k *known) { k.want.Roots = nil }, "", webauthn.CheckChain, nil},
		{"the certificate's signature", flip("x5c", -1), "", webauthn.CheckChain, nil},
		{"no x5c", func(_ *testing.T, o *object, _ *known) { delete(o.AttStmt, "x5c") }, "", webauthn.CheckFormat, nil},
	},
}

func flip(member string, i int) func(*testing.T, *object, *known) {
	return func(t *testing.T, o *object, _ *known) { o.flip(t, member, i) }
}

func at(day string) func(*testing.T, *object, *known) {
	return func(t *testing.T, _ *object, k *known) {
		var err error
		if k.want.At, err = time.Parse(time.DateOnly, day); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamage changes one thing of each vector at a time. The check that looks at it
// fails, those do that vouch for what was changed, and none besides.
func TestDamage(t *testing.T) {
	vectors := ours(t)
	if len(vectors) != 8 {
		t.Fatalf("%d vectors", len(vectors))
	}
	for _, v := range vectors {
		for _, d := range slices.Concat(everywhere, ofOne[v.name]) {
			t.Run(fmt.Sprintf("%s/%s", v.name, d.name), func(t *testing.T) {
				k := known{v.name, new(*v.response), v.want}
				o, assemble := open(t, k.response)
				format := o.Format
				d.do(t, o, &k)
				assemble()
				checks := webauthn.CheckRegistration(k.response, k.want)
				if k.want.At.IsZero() {
					agree(t, checks)
				}
				want := map[string]bool{}
				for _, name := range slices.Concat([]string{d.check}, d.also, sealed(format, d.seal)) {
					want[name] = name != ""
				}
				delete(want, "")
				got := slices.DeleteFunc(failing(checks), func(name string) bool { return name == webauthn.CheckLibrary })
				slices.Sort(got)
				if expected := slices.Sorted(maps.Keys(want)); !slices.Equal(got, expected) {
					t.Errorf("fails at %q, want %q:\n%v", got, expected, webauthn.Failed(checks))
				}
			})
		}
	}
}
