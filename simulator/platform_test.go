package simulator_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// A platform is the other side of a PIN/UV auth protocol, written for these
// tests.
type platform struct {
	protocol int
	cose     m      // its key agreement key
	secret   []byte // shared with the key
}

// platformKey is a fixed private key, so that runs can be compared.
const platformKey = "1cb4e0f8ff0501277128f3af3df4a04a84cd0dbbfd9cd666e2494dc7bb9290e2"

// platformIV is what protocol two puts before its ciphertexts here.
var platformIV = bytes.Repeat([]byte{0x5a}, 16)

// agree asks the key for its key agreement key.
func (k *key) agree(protocol int) *platform {
	k.Helper()
	reply := k.ok(clientPIN, m{1: protocol, 2: 2})
	peer := reply[1].(m)
	x, y := peer[int64(-2)].([]byte), peer[int64(-3)].([]byte)
	public, err := ecdh.P256().NewPublicKey(append(append([]byte{4}, x...), y...))
	if err != nil {
		k.Fatal(err)
	}
	scalar, _ := hex.DecodeString(platformKey)
	private, err := ecdh.P256().NewPrivateKey(scalar)
	if err != nil {
		k.Fatal(err)
	}
	z, err := private.ECDH(public)
	if err != nil {
		k.Fatal(err)
	}
	own := private.PublicKey().Bytes()
	p := &platform{
		protocol: protocol,
		cose:     m{1: 2, 3: -25, -1: 1, -2: own[1:33], -3: own[33:]},
	}
	if protocol == 1 {
		sum := sha256.Sum256(z)
		p.secret = sum[:]
		return p
	}
	for _, info := range []string{"CTAP2 HMAC key", "CTAP2 AES key"} {
		part, err := hkdf.Key(sha256.New, z, make([]byte, 32), info, 32)
		if err != nil {
			k.Fatal(err)
		}
		p.secret = append(p.secret, part...)
	}
	return p
}

func (p *platform) block() cipher.Block {
	b, err := aes.NewCipher(p.secret[len(p.secret)-32:])
	if err != nil {
		panic(err)
	}
	return b
}

func (p *platform) encrypt(plaintext []byte) []byte {
	iv := make([]byte, 16)
	if p.protocol == 2 {
		iv = platformIV
	}
	out := make([]byte, len(plaintext))
	cipher.NewCBCEncrypter(p.block(), iv).CryptBlocks(out, plaintext)
	if p.protocol == 2 {
		out = append(bytes.Clone(iv), out...)
	}
	return out
}

func (p *platform) decrypt(ciphertext []byte) []byte {
	iv := make([]byte, 16)
	if p.protocol == 2 {
		iv, ciphertext = ciphertext[:16], ciphertext[16:]
	}
	out := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(p.block(), iv).CryptBlocks(out, ciphertext)
	return out
}

// mac authenticates a message with the shared secret.
func (p *platform) mac(message []byte) []byte { return mac(p.protocol, p.secret[:32], message) }

// mac is a pinUvAuthParam.
func mac(protocol int, key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	if protocol == 1 {
		return h.Sum(nil)[:16]
	}
	return h.Sum(nil)
}

func padded(pin string) []byte { return append([]byte(pin), make([]byte, 64-len(pin))...) }

func pinHash(pin string) []byte {
	sum := sha256.Sum256([]byte(pin))
	return sum[:16]
}

// setPINParams asks to set a first PIN from its padded form.
func (p *platform) setPINParams(padded []byte) m {
	enc := p.encrypt(padded)
	return m{1: p.protocol, 2: 3, 3: p.cose, 4: p.mac(enc), 5: enc}
}

func (p *platform) changePINParams(old, pin string) m {
	enc, hash := p.encrypt(padded(pin)), p.encrypt(pinHash(old))
	return m{1: p.protocol, 2: 4, 3: p.cose, 4: p.mac(append(bytes.Clone(enc), hash...)), 5: enc, 6: hash}
}

// tokenParams asks for a token of CTAP 2.0.
func (p *platform) tokenParams(pin string) m {
	return m{1: p.protocol, 2: 5, 3: p.cose, 6: p.encrypt(pinHash(pin))}
}

// setPIN sets the first PIN.
func (k *key) setPIN(pin string) {
	k.Helper()
	k.ok(clientPIN, k.agree(2).setPINParams(padded(pin)))
}

// enterPIN asks for a token in the way of CTAP 2.0 and returns the status.
func (k *key) enterPIN(pin string) byte {
	k.Helper()
	status, _ := k.send(request(clientPIN, k.agree(2).tokenParams(pin)))
	return status
}

func (k *key) retries() uint64 {
	k.Helper()
	return k.ok(clientPIN, m{2: 1})[3].(uint64)
}

// A token is a pinUvAuthToken with its protocol.
type token struct {
	protocol int
	value    []byte
}

// The bits of permissions.
const (
	permMC = 0x01
	permGA = 0x02
	permCM = 0x04
	permBE = 0x08
	permLB = 0x10

	permACFG = 0x20
	permPCMR = 0x40
)

const testPIN = "1234"

// token gets a token with permissions; an empty rpID is left out.
func (k *key) token(protocol, permissions int, rpID string) token {
	k.Helper()
	p := k.agree(protocol)
	params := m{1: protocol, 2: 9, 3: p.cose, 6: p.encrypt(pinHash(testPIN)), 9: permissions}
	if rpID != "" {
		params[10] = rpID
	}
	return token{protocol, p.decrypt(k.ok(clientPIN, params)[2].([]byte))}
}

// oldToken gets a token in the way of CTAP 2.0.
func (k *key) oldToken(protocol int) token {
	k.Helper()
	p := k.agree(protocol)
	return token{protocol, p.decrypt(k.ok(clientPIN, p.tokenParams(testPIN))[2].([]byte))}
}

func (t token) param(message []byte) []byte { return mac(t.protocol, t.value, message) }

// authorize adds pinUvAuthParam to a makeCredential.
func (t token) authorize(params m) m {
	return with(with(params, t.param(params[1].([]byte)), 8), t.protocol, 9)
}

// authorizeGA adds pinUvAuthParam to a getAssertion.
func (t token) authorizeGA(params m) m {
	return with(with(params, t.param(params[2].([]byte)), 6), t.protocol, 7)
}

// manage is an authorized credentialManagement; nil subParams are left out.
func (t token) manage(sub int, subParams any) m {
	message := []byte{byte(sub)}
	params := m{1: sub, 3: t.protocol}
	if subParams != nil {
		message = append(message, encode(subParams)...)
		params[2] = subParams
	}
	params[4] = t.param(message)
	return params
}

// configure is an authorized config; nil subParams are left out.
func (t token) configure(sub int, subParams any) m {
	message := append(bytes.Repeat([]byte{0xff}, 32), 0x0d, byte(sub))
	params := m{1: sub, 3: t.protocol}
	if subParams != nil {
		message = append(message, encode(subParams)...)
		params[2] = subParams
	}
	params[4] = t.param(message)
	return params
}

// enroll is an authorized bioEnrollment; nil subParams are left out.
func (t token) enroll(sub int, subParams any) m {
	message := []byte{1, byte(sub)}
	params := m{1: 1, 2: sub, 4: t.protocol}
	if subParams != nil {
		message = append(message, encode(subParams)...)
		params[3] = subParams
	}
	params[5] = t.param(message)
	return params
}
