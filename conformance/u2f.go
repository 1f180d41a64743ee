package conformance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"time"

	"github.com/fidokey/fidokey/cose"
)

// Instructions and control bytes of U2F.
const (
	u2fRegister     = 0x01
	u2fAuthenticate = 0x02
	u2fVersion      = 0x03

	u2fEnforce   = 0x03
	u2fCheckOnly = 0x07
	u2fDontAsk   = 0x08
)

// message sends a U2F command as it stands.
func (p *probe) message(apdu []byte) (data []byte, sw int) {
	if p.wire == nil || p.viaCard {
		p.useCard()
		if !p.applet {
			p.selectApplet()
		}
		data, sw = p.transmit(apdu)
		return p.rest(data, &sw, 0), sw
	}
	p.wire.send(p.cid, hidMsg, apdu)
	for {
		in := p.next(answerTime * 3)
		if in != nil && in.cid == p.cid && in.cmd == hidKeepalive {
			continue
		}
		p.check(in != nil && in.cmd == hidMsg && len(in.payload) >= 2, "MSG %s: %v", short(apdu), in)
		n := len(in.payload) - 2
		return in.payload[:n], int(in.payload[n])<<8 | int(in.payload[n+1])
	}
}

// u2f sends a command in extended length.
func (p *probe) u2f(ins, p1 byte, data []byte) ([]byte, int) {
	return p.message(extendedAPDU(claISO, ins, p1, 0, data))
}

// u2fPolled asks until the key is touched. One that lies on a reader since it was touched
// is laid on it again.
func (p *probe) u2fPolled(apdu []byte) (data []byte, sw int) {
	for i := range 150 {
		if data, sw = p.message(apdu); sw != swConditions {
			return data, sw
		}
		if i == 0 && p.wire == nil && !p.watched {
			p.field()
			p.selectApplet()
			continue
		}
		p.blinks()
		p.wait(200 * time.Millisecond)
	}
	return data, sw
}

// A handle is a U2F registration, or a credential seen as one.
type handle struct {
	app []byte
	id  []byte
	key *cose.Key
}

// handleOf is a credential over U2F.
func handleOf(c *credential) *handle { return &handle{sum([]byte(c.rp)), c.id, c.key} }

// authentication is the data of AUTHENTICATE.
func (h *handle) authentication(challenge []byte) []byte {
	return bytes.Join([][]byte{challenge, h.app, {byte(len(h.id))}, h.id}, nil)
}

// check asks whether the key knows the handle.
func (h *handle) check(p *probe) int {
	_, sw := p.u2f(u2fAuthenticate, u2fCheckOnly, h.authentication(p.random(32)))
	return sw
}

// app is the application of this case.
func (p *probe) app() []byte { return sum([]byte(p.rp())) }

// u2fRegister makes a registration.
func (p *probe) u2fRegister(app []byte) *handle {
	challenge := p.random(32)
	data, sw := p.u2fPolled(extendedAPDU(claISO, u2fRegister, 0, 0, append(bytes.Clone(challenge), app...)))
	p.sw(sw, swOK)
	return p.registration(data, challenge, app)
}

// registration takes the answer of REGISTER apart and verifies it.
func (p *probe) registration(data, challenge, app []byte) *handle {
	p.check(len(data) > 67 && data[0] == 5, "answer %s", short(data))
	point, rest := data[1:66], data[67:]
	n := int(data[66])
	p.check(n > 0 && len(rest) > n, "handle of %d bytes", n)
	h := &handle{app: app, id: rest[:n]}
	var der asn1.RawValue
	signature, err := asn1.Unmarshal(rest[n:], &der)
	p.check(err == nil, "certificate: %v", err)
	cert, err := x509.ParseCertificate(der.FullBytes)
	p.check(err == nil, "certificate: %v", err)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	p.check(err == nil, "public key %x: %v", point, err)
	h.key = &cose.Key{Algorithm: cose.ES256, Public: public}
	signed := bytes.Join([][]byte{{0}, app, challenge, h.id, point}, nil)
	attestation := cose.Key{Algorithm: cose.ES256, Public: cert.PublicKey}
	err = attestation.Verify(signed, signature)
	p.check(err == nil, "signature %x: %v", signature, err)
	return h
}

// authenticate gets an assertion and returns the presence byte and the counter.
func (p *probe) authenticate(h *handle, control byte) (presence byte, counter uint32) {
	challenge := p.random(32)
	data, sw := p.u2fPolled(extendedAPDU(claISO, u2fAuthenticate, control, 0, h.authentication(challenge)))
	p.sw(sw, swOK)
	return p.authenticated(h, data, challenge)
}

func (p *probe) authenticated(h *handle, data, challenge []byte) (presence byte, counter uint32) {
	p.check(len(data) > 5, "answer %x", data)
	signed := bytes.Join([][]byte{h.app, data[:5], challenge}, nil)
	err := h.key.Verify(signed, data[5:])
	p.check(err == nil, "signature %x: %v", data[5:], err)
	return data[0], be32(data[1:])
}

// u2fRefused sends an AUTHENTICATE and expects status words.
func u2fRefused(control byte, data func(p *probe) []byte, want ...int) func(*probe) {
	return func(p *probe) {
		_, sw := p.u2f(u2fAuthenticate, control, data(p))
		p.sw(sw, want...)
	}
}

// crossed authenticates with a CTAP2 credential where the key allows that.
func (p *probe) crossed(c *credential) {
	p.need(len(c.id) <= 255, "credential ID of %d bytes", len(c.id))
	h := handleOf(c)
	sw := h.check(p)
	p.sw(sw, swConditions, swWrongData)
	p.note("observed: %04x", sw)
	if sw == swConditions {
		p.authenticate(h, u2fEnforce)
	}
}

func u2fCases() cases {
	return cases{
		"U2F-001": func(p *probe) {
			data, sw := p.u2f(u2fVersion, 0, nil)
			p.check(sw == swOK && string(data) == "U2F_V2", "%q %04x", data, sw)
		},
		"U2F-002": func(p *probe) {
			data, sw := p.u2f(u2fVersion, 0, []byte{1, 2, 3})
			p.check(sw == swLength || sw == swOK && string(data) == "U2F_V2", "%q %04x", data, sw)
		},
		"U2F-003": func(p *probe) { p.u2fRegister(p.app()) },
		"U2F-004": func(p *probe) {
			p.withhold()
			_, sw := p.u2f(u2fRegister, 0, p.random(64))
			p.sw(sw, swConditions)
		},
		"U2F-005": func(p *probe) {
			for _, n := range []int{63, 65} {
				_, sw := p.u2f(u2fRegister, 0, p.random(n))
				p.sw(sw, swLength)
			}
		},
		"U2F-006": func(p *probe) {
			presence, _ := p.authenticate(p.u2fRegister(p.app()), u2fEnforce)
			p.check(presence&1 == 1, "presence %02x", presence)
		},
		"U2F-007": func(p *probe) {
			h := p.u2fRegister(p.app())
			p.withhold()
			_, sw := p.u2f(u2fAuthenticate, u2fEnforce, h.authentication(p.random(32)))
			p.sw(sw, swConditions)
		},
		"U2F-008": func(p *probe) { p.sw(p.u2fRegister(p.app()).check(p), swConditions) },
		"U2F-009": func(p *probe) { p.sw((&handle{app: p.app(), id: p.random(64)}).check(p), swWrongData) },
		"U2F-010": func(p *probe) {
			h := p.u2fRegister(p.app())
			challenge := p.random(32)
			p.withhold()
			data, sw := p.u2f(u2fAuthenticate, u2fDontAsk, h.authentication(challenge))
			if sw == swConditions || sw == swWrongP1P2 {
				p.warn("status word %04x where 9000 is right", sw)
				return
			}
			p.sw(sw, swOK)
			presence, _ := p.authenticated(h, data, challenge)
			p.check(presence&1 == 0, "presence %02x", presence)
		},
		"U2F-011": u2fRefused(0x55, func(p *probe) []byte {
			return p.u2fRegister(p.app()).authentication(p.random(32))
		}, swWrongP1P2, swWrongP1P2x, swWrongData),
		"U2F-012": func(p *probe) {
			h := p.u2fRegister(p.app())
			for _, i := range []int{0, len(h.id) / 2, len(h.id) - 1} {
				bad := *h
				bad.id = bytes.Clone(h.id)
				bad.id[i] ^= 1
				p.sw(bad.check(p), swWrongData)
			}
		},
		"U2F-013": func(p *probe) {
			h := p.u2fRegister(p.app())
			for _, id := range [][]byte{h.id[:len(h.id)-1], append(bytes.Clone(h.id), 0), {}} {
				p.sw((&handle{app: h.app, id: id}).check(p), swWrongData, swLength)
			}
		},
		"U2F-014": func(p *probe) {
			h := *p.u2fRegister(p.app())
			h.app = p.random(32)
			p.sw(h.check(p), swWrongData)
		},
		"U2F-015": u2fRefused(u2fEnforce, func(p *probe) []byte {
			data := p.u2fRegister(p.app()).authentication(p.random(32))
			data[64]++
			return data
		}, swLength, swWrongData),
		"U2F-016": func(p *probe) {
			h := p.u2fRegister(p.app())
			var last uint32
			for i := range 5 {
				_, n := p.authenticate(h, u2fEnforce)
				p.check(i == 0 || n > last, "counter %d, then %d", last, n)
				last = n
			}
		},
		"U2F-017": func(p *probe) {
			_, sw := p.u2f(0x55, 0, nil)
			p.sw(sw, swUnknownINS)
		},
		"U2F-018": func(p *probe) {
			_, sw := p.message(extendedAPDU(0x60, u2fVersion, 0, 0, nil))
			p.sw(sw, swClass)
		},
		"U2F-019": func(p *probe) {
			h := p.u2fRegister(p.app())
			p.assert(&credential{dice: p.dice, rp: p.rp(), id: h.id, key: h.key})
		},
		"U2F-020": func(p *probe) { p.crossed(p.register()) },
		"U2F-021": func(p *probe) {
			h := p.u2fRegister(p.app())
			p.touched(cmdMakeCredential, p.mc(exclude(h.id)))
		},
		"U2F-022": func(p *probe) {
			p.needRK()
			edits := []edit{discoverable()}
			if p.extension("credProtect") {
				edits = append(edits, extension("credProtect", 1))
			}
			p.crossed(p.register(edits...))
		},
		"U2F-023": func(p *probe) {
			p.info = p.getInfo()
			p.check(!p.version("U2F_V2"), "U2F_V2 is in getInfo")
			for _, c := range []struct {
				ins  byte
				data []byte
			}{{u2fRegister, p.random(64)}, {u2fAuthenticate, (&handle{app: p.app(), id: p.random(64)}).authentication(p.random(32))}} {
				_, sw := p.u2f(c.ins, u2fEnforce, c.data)
				p.sw(sw, swNotAllowed, swUnknownINS)
				if sw == swUnknownINS {
					p.warn("status word 6d00 where 6986 is right")
				}
			}
		},
		"U2F-024": func(p *probe) {
			p.forceChange()
			_, sw := p.u2fPolled(extendedAPDU(claISO, u2fRegister, 0, 0, append(p.random(32), p.app()...)))
			p.check(sw == swOK || sw == swConditions || sw>>8 == 0x69 || sw == swUnknownINS, "status word %04x", sw)
			p.note("observed: %04x", sw)
		},
		"U2F-025": func(p *probe) {
			p.onCard()
			for _, extended := range []bool{false, true} {
				p.field()
				p.selectApplet()
				challenge := p.random(32)
				params := append(bytes.Clone(challenge), p.app()...)
				apdu := shortAPDU(claISO, u2fRegister, 0, 0, params, 0)
				if extended {
					apdu = extendedAPDU(claISO, u2fRegister, 0, 0, params)
				}
				data, sw := p.u2fPolled(apdu)
				p.sw(sw, swOK)
				p.registration(data, challenge, p.app())
			}
		},
		"U2F-026": func(p *probe) {
			p.need(p.wire != nil, "no HID")
			challenge := p.random(32)
			data, sw := p.u2fPolled(shortAPDU(claISO, u2fRegister, 0, 0, append(bytes.Clone(challenge), p.app()...), 0))
			p.note("observed: %04x", sw)
			p.sw(sw, swOK, swLength)
			if sw == swOK {
				p.registration(data, challenge, p.app())
			}
		},
	}
}
