package client_test

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/u2f"
)

// errorOf is the error of what returns something besides.
func errorOf[R any](_ R, err error) error { return err }

func assertion(edit func(a *client.Assertion)) client.Assertion {
	a := client.Assertion{RPID: "example.com", ClientDataHash: hash[:]}
	edit(&a)
	return a
}

func manyDescriptors(n int) (list []ctap2.Descriptor) {
	for i := range n {
		list = append(list, ctap2.Descriptor{ID: append(make([]byte, 40), byte(i)), Type: ctap2.PublicKeyType})
	}
	return list
}

// everyFlow is all that a Key does, by the method and what is special about it.
// TestEveryFlow holds it to the methods that there are.
var everyFlow = map[string]func(ctx context.Context, k *client.Key) error{
	"Info":      func(ctx context.Context, k *client.Key) error { return errorOf(k.Info(ctx)) },
	"PINState":  func(ctx context.Context, k *client.Key) error { return errorOf(k.PINState(ctx)) },
	"SetPIN":    func(ctx context.Context, k *client.Key) error { return k.SetPIN(ctx) },
	"ChangePIN": func(ctx context.Context, k *client.Key) error { return k.ChangePIN(ctx) },
	"VerifyPIN": func(ctx context.Context, k *client.Key) error { return k.VerifyPIN(ctx) },
	"Register":  func(ctx context.Context, k *client.Key) error { return errorOf(k.Register(ctx, registration())) },
	"Register, all extensions": func(ctx context.Context, k *client.Key) error {
		r := registration()
		r.UserVerification = client.Required
		r.Exclude = manyDescriptors(30)
		r.Extensions = client.RegistrationExtensions{
			CredProps: true, CredProtect: client.UserVerificationOptional, LargeBlob: client.LargeBlobPreferred, HMACSecret: true, CredBlob: []byte("blob"), MinPINLength: true, PINComplexityPolicy: true, UVM: true,
			HMACSecretSalts: [][]byte{make([]byte, 32), make([]byte, 32)},
		}
		return errorOf(k.Register(ctx, r))
	},
	"Authenticate": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.Authenticate(ctx, assertion(func(*client.Assertion) {})))
	},
	"Authenticate, no verification": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.Authenticate(ctx, assertion(func(a *client.Assertion) { a.UserVerification = client.Discouraged })))
	},
	"Authenticate, a long list": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.Authenticate(ctx, assertion(func(a *client.Assertion) {
			a.Allow, a.AppID, a.UserVerification = manyDescriptors(200), "https://example.com", client.Required
		})))
	},
	"Authenticate, all extensions": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.Authenticate(ctx, assertion(func(a *client.Assertion) {
			a.Extensions = client.AssertionExtensions{ReadLargeBlob: true, CredBlob: true, UVM: true, ThirdPartyPayment: true, HMACSecretSalts: [][]byte{make([]byte, 32)}}
		})))
	},
	"Authenticate, writing": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.Authenticate(ctx, assertion(func(a *client.Assertion) {
			a.Allow, a.Extensions.WriteLargeBlob = manyDescriptors(2), []byte("blob")
		})))
	},
	"Holds": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.Holds(ctx, "example.com", manyDescriptors(30)))
	},
	"Credentials":          func(ctx context.Context, k *client.Key) error { return errorOf(k.Credentials(ctx)) },
	"CredentialsFor":       func(ctx context.Context, k *client.Key) error { return errorOf(k.CredentialsFor(ctx, "example.com")) },
	"CredentialMetadata":   func(ctx context.Context, k *client.Key) error { return errorOf(k.CredentialMetadata(ctx)) },
	"CredentialStoreState": func(ctx context.Context, k *client.Key) error { _, _, err := k.CredentialStoreState(ctx); return err },
	"Identifier": func(ctx context.Context, k *client.Key) error {
		k.Credentials(ctx) // leaves a token in the store
		_, _, err := k.Identifier(ctx)
		return err
	},
	"DeleteCredential": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.DeleteCredential(ctx, make([]byte, 32)))
	},
	"UpdateUser": func(ctx context.Context, k *client.Key) error {
		return k.UpdateUser(ctx, make([]byte, 32), ctap2.User{ID: []byte{1}, Name: "a"})
	},
	"Fingerprints":      func(ctx context.Context, k *client.Key) error { return errorOf(k.Fingerprints(ctx)) },
	"FingerprintSensor": func(ctx context.Context, k *client.Key) error { return errorOf(k.FingerprintSensor(ctx)) },
	"EnrollFingerprint": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.EnrollFingerprint(ctx, client.Enrollment{Name: "thumb"}))
	},
	"RemoveFingerprint": func(ctx context.Context, k *client.Key) error { return k.RemoveFingerprint(ctx, []byte{1}) },
	"RenameFingerprint": func(ctx context.Context, k *client.Key) error { return k.RenameFingerprint(ctx, []byte{1}, "thumb") },
	"LargeBlob":         func(ctx context.Context, k *client.Key) error { return errorOf(k.LargeBlob(ctx, make([]byte, 32))) },
	"LargeBlobs": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.LargeBlobs(ctx, []client.LargeBlobCredential{{LargeBlobKey: make([]byte, 32)}}))
	},
	"SetLargeBlob": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.SetLargeBlob(ctx, make([]byte, 32), make([]byte, 900), false))
	},
	"DeleteLargeBlob": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.DeleteLargeBlob(ctx, make([]byte, 32), false))
	},
	"CollectLargeBlobs": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.CollectLargeBlobs(ctx, []client.LargeBlobCredential{{LargeBlobKey: make([]byte, 32)}}, true, false))
	},
	"RepairLargeBlobs": func(ctx context.Context, k *client.Key) error { return errorOf(k.RepairLargeBlobs(ctx, false)) },
	"SetAlwaysUV":      func(ctx context.Context, k *client.Key) error { return k.SetAlwaysUV(ctx, true) },
	"SetMinPINLength": func(ctx context.Context, k *client.Key) error {
		return k.SetMinPINLength(ctx, client.MinPINLength{Length: 8})
	},
	"ForcePINChange":              func(ctx context.Context, k *client.Key) error { return k.ForcePINChange(ctx) },
	"EnableEnterpriseAttestation": func(ctx context.Context, k *client.Key) error { return k.EnableEnterpriseAttestation(ctx) },
	"EnableLongTouchForReset":     func(ctx context.Context, k *client.Key) error { return k.EnableLongTouchForReset(ctx) },
	"VendorConfig":                func(ctx context.Context, k *client.Key) error { return k.VendorConfig(ctx, 1, nil) },
	"ResetAllowed":                func(ctx context.Context, k *client.Key) error { return k.ResetAllowed(ctx) },
	"Reset":                       func(ctx context.Context, k *client.Key) error { return k.Reset(ctx) },
	"ResetGuided":                 func(ctx context.Context, k *client.Key) error { return k.ResetGuided(ctx, sameSlot{ctx}) },
	"Select":                      func(ctx context.Context, k *client.Key) error { return k.Select(ctx) },
	"Send":                        func(ctx context.Context, k *client.Key) error { return errorOf(k.Send(ctx, 0x41, []byte{0xa0})) },
	"Wink":                        func(ctx context.Context, k *client.Key) error { return k.Wink(ctx) },
	"U2FVersion":                  func(ctx context.Context, k *client.Key) error { return errorOf(k.U2FVersion(ctx)) },
	"U2FRegister":                 func(ctx context.Context, k *client.Key) error { return errorOf(k.U2FRegister(ctx, u2f.Register{})) },
	"U2FAuthenticate": func(ctx context.Context, k *client.Key) error {
		return errorOf(k.U2FAuthenticate(ctx, u2f.Authenticate{KeyHandle: make([]byte, 64)}))
	},
	"Do": func(ctx context.Context, k *client.Key) error {
		return errorOf(client.Do(ctx, k, ctap2.GetAssertion{RPID: "example.com", ClientDataHash: hash[:]}))
	},
	"SelectByTouch": func(ctx context.Context, k *client.Key) error {
		return errorOf(client.SelectByTouch(ctx, []*client.Key{k}))
	},
	"SelectByCredential": func(ctx context.Context, k *client.Key) error {
		return errorOf(client.SelectByCredential(ctx, []*client.Key{k}, "example.com", manyDescriptors(3)))
	},
}

// TestEveryFlow: no method of a Key is missing among the flows.
func TestEveryFlow(t *testing.T) {
	there := map[string]bool{"Close": true}
	for name := range everyFlow {
		method, _, _ := strings.Cut(name, ",")
		there[method] = true
	}
	key := reflect.TypeFor[*client.Key]()
	for i := range key.NumMethod() {
		if name := key.Method(i).Name; !there[name] {
			t.Errorf("%s is not in everyFlow", name)
		}
	}
}

// sameSlot is where the same key is plugged in again.
type sameSlot struct{ ctx context.Context }

func (sameSlot) Removed(context.Context) error { return nil }

func (s sameSlot) Inserted(context.Context) (transport.Device, error) {
	return s.ctx.Value(replugged{}).(func() (transport.Device, error))()
}

// replugged is where a test leaves what opens the key anew.
type replugged struct{}
