package conformance

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strings"
)

// An agreement is the platform's side of a PIN/UV auth protocol after the two
// have exchanged keys.
type agreement struct {
	dice
	protocol int
	cose     m      // the platform's public key
	secret   []byte // 32 bytes for protocol one; HMAC key and AES key for two
	open     bool   // the seed tells the secret: not for the PIN of a key's owner
}

// keyAgreement asks for the key's public key and returns it.
func (p *probe) keyAgreement(protocol int) m {
	return asMap(p.ok(cmdClientPIN, m{1: protocol, 2: 2})[1])
}

// agree makes a shared secret.
func (p *probe) agree() *agreement { return p.agreeBy(p.protocol) }

func (p *probe) agreeBy(protocol int) *agreement {
	return p.agreeWith(protocol, p.keyAgreement(protocol))
}

// agreeWith has a private key that the seed of the run does not tell where a PIN
// may go out that is not the suite's own.
func (p *probe) agreeWith(protocol int, peer m) *agreement {
	private := p.privateKey()
	if p.ownersPIN() {
		private, _ = ecdh.P256().GenerateKey(rand.Reader)
	}
	return p.agreed(protocol, peer, private)
}

// agreeOpenly is for what is no secret of anybody, as the salts of the suite are:
// who knows the seed can read it.
func (p *probe) agreeOpenly(protocol int) *agreement {
	a := p.agreed(protocol, p.keyAgreement(protocol), p.privateKey())
	a.open = p.ownersPIN()
	return a
}

// ownersPIN says whether the PIN is that of a key in use.
func (r *runner) ownersPIN() bool { return !r.bench.Release && r.bench.PIN != "" }

func (p *probe) agreed(protocol int, peer m, private *ecdh.PrivateKey) *agreement {
	public, err := ecdh.P256().NewPublicKey(append(append([]byte{4}, blob(peer[int64(-2)])...), blob(peer[int64(-3)])...))
	if err != nil {
		p.fail("key agreement key %v: %v", peer, err)
	}
	z, err := private.ECDH(public)
	if err != nil {
		panic(err)
	}
	own := private.PublicKey().Bytes()
	a := &agreement{p.dice, protocol, m{1: 2, 3: -25, -1: 1, -2: own[1:33], -3: own[33:]}, nil, false}
	if protocol == 1 {
		a.secret = sum(z)
		return a
	}
	for _, info := range []string{"CTAP2 HMAC key", "CTAP2 AES key"} {
		part, err := hkdf.Key(sha256.New, z, make([]byte, 32), info, 32)
		if err != nil {
			panic(err)
		}
		a.secret = append(a.secret, part...)
	}
	return a
}

func (a *agreement) block() cipher.Block {
	b, err := aes.NewCipher(a.secret[len(a.secret)-32:])
	if err != nil {
		panic(err)
	}
	return b
}

// encrypt takes whole blocks.
func (a *agreement) encrypt(plaintext []byte) []byte {
	iv := make([]byte, 16)
	if a.protocol == 2 {
		iv = a.random(16)
	}
	out := make([]byte, len(plaintext))
	cipher.NewCBCEncrypter(a.block(), iv).CryptBlocks(out, plaintext)
	if a.protocol == 2 {
		out = append(iv, out...)
	}
	return out
}

// decrypt returns nil for what cannot be a ciphertext.
func (a *agreement) decrypt(ciphertext []byte) []byte {
	iv := make([]byte, 16)
	if a.protocol == 2 {
		if len(ciphertext) < 16 {
			return nil
		}
		iv, ciphertext = ciphertext[:16], ciphertext[16:]
	}
	if len(ciphertext)%16 != 0 {
		return nil
	}
	out := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(a.block(), iv).CryptBlocks(out, ciphertext)
	return out
}

func (a *agreement) mac(message []byte) []byte { return macOf(a.protocol, a.secret[:32], message) }

// macOf is a pinUvAuthParam.
func macOf(protocol int, key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	if protocol == 1 {
		return h.Sum(nil)[:16]
	}
	return h.Sum(nil)
}

// padded is a PIN in its block of 64 bytes.
func padded(pin string) []byte { return append([]byte(pin), make([]byte, max(0, 64-len(pin)))...) }

// hides ends the program where a PIN would go out that the seed tells.
func (a *agreement) hides(pin string) string {
	if a.open && pin != "" {
		panic("conformance: the PIN of a key in use, under a secret that the seed tells")
	}
	return pin
}

func pinHash(pin string) []byte { return sum([]byte(pin))[:16] }

// setPINParams sets a first PIN from its padded form.
func (a *agreement) setPINParams(block []byte) m {
	enc := a.encrypt(block)
	return m{1: a.protocol, 2: 3, 3: a.cose, 4: a.mac(enc), 5: enc}
}

func (a *agreement) changePINParams(old, pin string) m {
	enc, hash := a.encrypt(padded(pin)), a.encrypt(pinHash(old))
	return m{1: a.protocol, 2: 4, 3: a.cose, 4: a.mac(append(bytes.Clone(enc), hash...)), 5: enc, 6: hash}
}

// tokenParams asks for a token in the way of CTAP 2.0.
func (a *agreement) tokenParams(pin string) m {
	return m{1: a.protocol, 2: 5, 3: a.cose, 6: a.encrypt(pinHash(a.hides(pin)))}
}

// permissionParams asks for a token with permissions; an empty rpID is left out.
func (a *agreement) permissionParams(pin string, permissions int, rpID string) m {
	params := m{1: a.protocol, 2: 9, 3: a.cose, 6: a.encrypt(pinHash(a.hides(pin))), 9: permissions}
	if rpID != "" {
		params[10] = rpID
	}
	return params
}

// uvParams asks for a token through the fingerprint sensor.
func (a *agreement) uvParams(permissions int, rpID string) m {
	params := a.permissionParams("", permissions, rpID)
	delete(params, 6)
	params[2] = 6
	return params
}

// somePIN is a PIN that any policy takes, also when the minimum is raised a
// little.
func (p *probe) somePIN() string { return p.pinOf(max(p.minPIN()+2, 6)) }

// otherPIN is another one of the same length.
func (p *probe) otherPIN() string {
	p.released() // a case that ends half-way would leave it to the owner
	return p.pinOf(len(p.pin) + 1)[1:]
}

const digits = "319742680553861972406918253704682915703948261570392846"

func (p *probe) pinOf(length int) string { return strings.Repeat(digits, 2)[:length] }

func (p *probe) minPIN() int {
	if n := num(p.info[infoMinPINLength]); n > 0 {
		return int(n)
	}
	return 4
}

func (p *probe) maxPIN() int {
	if n := num(p.info[infoMaxPINLength]); n > 0 {
		return int(n)
	}
	return 63
}

// setPIN sets the first PIN; it must succeed.
func (p *probe) setPIN(pin string) {
	if p.protocol == 0 {
		p.protocol = p.bestProtocol()
	}
	p.ok(cmdClientPIN, p.agree().setPINParams(padded(pin)))
	p.pin = pin
}

// tryChangePIN asks for another PIN.
func (p *probe) tryChangePIN(old, pin string) reply {
	p.released()
	r := p.call(cmdClientPIN, p.agree().changePINParams(old, pin))
	if r.status == success && !r.lost && r.fault == 0 {
		p.pin = pin
	}
	return r
}

// enterPIN asks for a token in the way of CTAP 2.0.
func (p *probe) enterPIN(pin string) reply {
	return p.call(cmdClientPIN, p.agree().tokenParams(pin))
}

// wrongPIN is not the PIN.
func (p *probe) wrongPIN() string {
	p.need(p.bench.Release, "would use up a PIN try of a key that is in use")
	return "7" + p.pinOf(len(p.pin) + 1)[2:] + "0"
}

func (p *probe) retries() int64 { return num(p.ok(cmdClientPIN, m{2: 1})[3]) }

// Permissions of a token.
const (
	permMC   = 0x01
	permGA   = 0x02
	permCM   = 0x04
	permBE   = 0x08
	permLBW  = 0x10
	permACFG = 0x20
	permPCMR = 0x40
)

// A token is a pinUvAuthToken with its protocol.
type token struct {
	protocol int
	value    []byte
}

// token gets a token with permissions by PIN. A key without permissions gives
// one for everything.
func (p *probe) token(permissions int, rpID string) token {
	p.need(permissions&(permMC|permGA) == 0 || p.option("noMcGaPermissionsWithClientPin") != true, "a PIN gives no right to mc and ga")
	a := p.agree()
	params := a.permissionParams(p.pin, permissions, rpID)
	if p.option("pinUvAuthToken") != true {
		params = a.tokenParams(p.pin)
	}
	return p.tokenFrom(a, p.ok(cmdClientPIN, params))
}

// oldToken gets a token in the way of CTAP 2.0.
func (p *probe) oldToken() token {
	a := p.agree()
	return p.tokenFrom(a, p.ok(cmdClientPIN, a.tokenParams(p.pin)))
}

func (p *probe) tokenFrom(a *agreement, body map[int]any) token {
	value := a.decrypt(blob(body[2]))
	p.check(len(value) == 32 || a.protocol == 1 && len(value) == 16, "token of %d bytes", len(value))
	return token{a.protocol, value}
}

func (t token) param(message []byte) []byte { return macOf(t.protocol, t.value, message) }

// mc adds pinUvAuthParam to a makeCredential.
func (t token) mc(params m) m {
	return edited(params, set(t.param(blob(params[1])), 8), set(t.protocol, 9))
}

// ga adds pinUvAuthParam to a getAssertion.
func (t token) ga(params m) m {
	return edited(params, set(t.param(blob(params[2])), 6), set(t.protocol, 7))
}

// manage is an authorized credentialManagement; nil subParams are left out.
func (t token) manage(sub int, subParams any) m { return t.authorized(nil, sub, subParams) }

// config is an authorized authenticatorConfig.
func (t token) config(sub int, subParams any) m {
	return t.authorized(append(bytes.Repeat([]byte{0xff}, 32), cmdConfig), sub, subParams)
}

func (t token) authorized(prefix []byte, sub int, subParams any) m {
	message := append(bytes.Clone(prefix), byte(sub))
	params := m{1: sub, 3: t.protocol}
	if subParams != nil {
		message = append(message, encode(subParams)...)
		params[2] = subParams
	}
	params[4] = t.param(message)
	return params
}

// enroll is an authorized bioEnrollment.
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

// configure sends a configuration command that must succeed.
func (p *probe) configure(sub int, subParams any) {
	p.ok(cmdConfig, p.token(permACFG, "").config(sub, subParams))
}
