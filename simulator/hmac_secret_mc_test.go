package simulator_test

import (
	"bytes"
	"testing"
)

// withSecretMC asks for hmac-secret and its output at once.
func withSecretMC(params m, input any) m {
	return with(with(params, true, 6, "hmac-secret"), input, 6, "hmac-secret-mc")
}

// TestHMACSecretMC is XHS-022.
func TestHMACSecretMC(t *testing.T) {
	salt1, salt2 := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	k := newKey(t, extended())
	k.setPIN(testPIN)
	for _, protocol := range []int{1, 2} {
		for _, uv := range []bool{false, true} {
			for _, salts := range [][][]byte{{salt1}, {salt1, salt2}} {
				params := creation()
				if uv {
					params = k.token(protocol, permMC, testRP).authorize(params)
				}
				p := k.agree(protocol)
				made := k.create(withSecretMC(params, p.secretParams(salts...)))
				if len(made.extensions) != 2 || made.extensions["hmac-secret"] != true {
					t.Fatalf("outputs %v", made.extensions)
				}
				got := p.decrypt(made.extensions["hmac-secret-mc"].([]byte))
				if !bytes.Equal(got, k.secret(protocol, made, uv, salts...)) {
					t.Errorf("protocol %d, UV %v: another output at the assertion", protocol, uv)
				}
			}
		}
	}
}

func TestHMACSecretMCRefuses(t *testing.T) {
	k := newKey(t, extended())
	p := k.agree(2)
	good := p.secretParams(make([]byte, 32))
	flipped := bytes.Clone(good[3].([]byte))
	flipped[0] ^= 1
	for _, c := range []struct {
		name   string
		params m
		want   byte
	}{
		{"XHS-023 hmac-secret left out", without(withSecretMC(creation(), good), 6, "hmac-secret"), missingParameter},
		{"XHS-023 hmac-secret false", with(withSecretMC(creation(), good), false, 6, "hmac-secret"), missingParameter},
		{"XHS-024 wrong saltAuth", withSecretMC(creation(), with(good, flipped, 3)), pinAuthInvalid},
		{"XHS-025 short salt", withSecretMC(creation(), p.secretParams(make([]byte, 16))), invalidParameter},
		{"XHS-025 empty salt", withSecretMC(creation(), p.secretParams([]byte{})), invalidParameter},
		{"XHS-026 true", withSecretMC(creation(), true), unexpectedType},
		{"saltEnc missing", withSecretMC(creation(), without(good, 2)), missingParameter},
	} {
		if status, _ := k.send(request(makeCredential, c.params)); status != c.want {
			t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
		}
	}
}
