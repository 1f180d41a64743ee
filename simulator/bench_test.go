package simulator_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"path/filepath"
	"testing"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// The floor: what the cryptography of a command costs by itself.

func BenchmarkFloor(b *testing.B) {
	digest := sha256.Sum256([]byte("authenticator data and client data hash"))
	for _, nonces := range []struct {
		name   string
		random io.Reader
	}{{"random nonces", rand.Reader}, {"RFC 6979", nil}} { // the simulator's are the second
		b.Run("P-256 key and signature/"+nonces.name, func(b *testing.B) { // makeCredential with self attestation
			for b.Loop() {
				key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := key.Sign(nonces.random, digest[:], crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("P-256 signature/"+nonces.name, func(b *testing.B) { // getAssertion
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := key.Sign(nonces.random, digest[:], crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Ed25519 signature", func(b *testing.B) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			ed25519.Sign(key, digest[:])
		}
	})
	b.Run("P-256 ECDH", func(b *testing.B) {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := key.ECDH(key.PublicKey()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("HMAC-SHA-256", func(b *testing.B) {
		for b.Loop() {
			mac := hmac.New(sha256.New, digest[:])
			mac.Write(digest[:])
			mac.Sum(nil)
		}
	})
}

// BenchmarkSimulator runs each command directly and through 64-byte reports, in
// memory and on disk.
func BenchmarkSimulator(b *testing.B) {
	for _, storage := range []string{"memory", "disk"} {
		for _, way := range []string{"direct", "reports"} {
			b.Run(storage+"/"+way, func(b *testing.B) { benchmarkCommands(b, storage == "disk", way == "reports") })
		}
	}
}

func benchmarkCommands(b *testing.B, disk, reports bool) {
	config := simulator.Config{}
	if disk {
		var err error
		if config.Storage, err = simulator.OpenFile(filepath.Join(b.TempDir(), "key.db")); err != nil {
			b.Fatal(err)
		}
	}
	a, err := simulator.New(config)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	var dev transport.Device = a
	if reports {
		if dev, err = hid.Open(context.Background(), simulator.NewHID(a).Port()); err != nil {
			b.Fatal(err)
		}
		defer dev.Close()
	}
	send := func(b *testing.B, msg []byte) []byte {
		answer, err := dev.Exchange(context.Background(), msg)
		if err != nil || answer[0] != ok {
			b.Fatalf("answer %x, %v", answer, err)
		}
		return answer
	}
	send(b, request(makeCredential, resident(testRP, "alice")))
	for name, msg := range map[string][]byte{
		"getInfo":        {getInfo},
		"makeCredential": request(makeCredential, creation()),
		"getAssertion":   request(getAssertion, sign(testRP)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				send(b, msg)
			}
		})
	}
	if d, ok := dev.(*hid.Device); ok {
		b.Run("ping 57 bytes", func(b *testing.B) {
			data := make([]byte, 57)
			for b.Loop() {
				if _, err := d.Ping(context.Background(), data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
