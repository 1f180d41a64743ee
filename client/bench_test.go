package client_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

// A meter tells what a key takes of the time.
type meter struct {
	transport.Device
	exchanges int
	took      time.Duration
}

func (m *meter) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	start := time.Now()
	defer func() { m.took += time.Since(start); m.exchanges++ }()
	return m.Device.Exchange(ctx, msg)
}

func (m *meter) Close() error { return nil } // the key stays for the next round

// BenchmarkFlows is what the client itself takes for a flow, from a new client on: the
// time of the key is taken off.
func BenchmarkFlows(b *testing.B) {
	a, err := simulator.New(simulator.Config{Profile: must(simulator.LoadProfile("ctap-2.3"))(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	person := &person{pin: rightPIN, newPIN: rightPIN}
	key := client.New(a, client.Options{Prompt: person.prompt()})
	if err := key.SetPIN(b.Context()); err != nil {
		b.Fatal(err)
	}
	if _, err := key.Register(b.Context(), registration()); err != nil {
		b.Fatal(err)
	}
	repeatable := []flow{{name: "info", run: func(ctx context.Context, k *client.Key) error { _, err := k.PINState(ctx); return err }}}
	for _, f := range flows {
		switch f.name {
		case "change", "enroll", "configuration": // the key is another one afterwards
		default:
			repeatable = append(repeatable, f)
		}
	}
	for _, f := range repeatable {
		b.Run(f.name, func(b *testing.B) {
			m := &meter{Device: a}
			b.ReportAllocs()
			for b.Loop() {
				k := client.New(m, client.Options{Prompt: person.prompt()})
				if err := f.run(b.Context(), k); err != nil {
					b.Fatal(err)
				}
				k.Close()
			}
			b.ReportMetric(float64(m.exchanges)/float64(b.N), "exchanges/op")
			b.ReportMetric(float64((b.Elapsed()-m.took).Nanoseconds())/float64(b.N), "client-ns/op")
		})
	}
}

// BenchmarkTokenFloor is the bare cryptography of a flow with a PIN: a key pair, the
// shared secret, the PIN's hash there and the token back, one message authenticated.
func BenchmarkTokenFloor(b *testing.B) {
	theirs, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	var block [32]byte
	for b.Loop() {
		ours, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		shared, err := ours.ECDH(theirs.PublicKey())
		if err != nil {
			b.Fatal(err)
		}
		macKey := must(hkdf.Key(sha256.New, shared, make([]byte, 32), "CTAP2 HMAC key", 32))(b)
		aesKey := must(hkdf.Key(sha256.New, shared, make([]byte, 32), "CTAP2 AES key", 32))(b)
		c := must(aes.NewCipher(aesKey))(b)
		hash := sha256.Sum256([]byte(rightPIN))
		cipher.NewCBCEncrypter(c, block[:16]).CryptBlocks(block[:16], hash[:16])
		cipher.NewCBCDecrypter(c, block[:16]).CryptBlocks(block[:], block[:])
		mac := hmac.New(sha256.New, macKey)
		mac.Write(block[:])
		mac.Sum(nil)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// BenchmarkCredentialList lists all that is on a key, up to nearly as many as the client
// takes for a list that has an end.
func BenchmarkCredentialList(b *testing.B) {
	for _, n := range []int{1_000, 9_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			person := &person{pin: rightPIN, newPIN: rightPIN}
			m := &meter{Device: stuffed(b, n, person)}
			var before, after runtime.MemStats
			var most uint64
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				list, err := client.New(m, client.Options{Prompt: person.prompt()}).Credentials(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				most = max(most, after.HeapAlloc-before.HeapAlloc)
				runtime.KeepAlive(list)
			}
			b.ReportMetric(float64(m.exchanges)/float64(b.N*n), "exchanges/credential")
			b.ReportMetric(float64((b.Elapsed()-m.took).Nanoseconds())/float64(b.N*n), "client-ns/credential")
			b.ReportMetric(float64(m.took.Nanoseconds())/float64(b.N*n), "key-ns/credential")
			b.ReportMetric(float64(most)/float64(n), "B/credential")
		})
	}
}

// stuffed is a key with n credentials, a hundredth of them of each RP, and a PIN.
func stuffed(b *testing.B, n int, person *person) *simulator.Authenticator {
	b.Helper()
	profile := must(simulator.LoadProfile("ctap-2.3"))(b)
	profile.GetInfo.RemainingDiscoverableCredentials = new(uint(n + 1))
	a := must(simulator.New(simulator.Config{Profile: profile}))(b)
	b.Cleanup(func() { a.Close() })
	for i := range n {
		_, err := ctap2.Do(b.Context(), a, ctap2.MakeCredential{
			ClientDataHash: hash[:], RP: ctap2.RP{ID: fmt.Sprintf("%d.example", i%100)},
			User:             ctap2.User{ID: []byte(fmt.Sprint("user ", i)), Name: "alice"},
			PubKeyCredParams: []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}},
			Options:          &ctap2.Options{RK: new(true)},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := client.New(a, client.Options{Prompt: person.prompt()}).SetPIN(b.Context()); err != nil {
		b.Fatal(err)
	}
	return a
}
