package conformance

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// entries is a map encoded by hand, its entries in the order given: key, value,
// key, value. What is raw goes in as it is.
func entries(kv ...any) []byte {
	b := []byte{0xa0 | byte(len(kv)/2)}
	for _, v := range kv {
		if r, ok := v.(raw); ok {
			b = append(b, r...)
			continue
		}
		b = append(b, encode(v)...)
	}
	return b
}

// raw is CBOR, or something like it.
type raw []byte

// quietly is a getAssertion without a touch that succeeds, as the values of its
// members 1, 2, 3 and 5.
func (p *probe) quietly() (rp string, hash []byte, allow []any, options m) {
	c := p.register()
	return c.rp, p.random(32), descriptors(c.id), m{"up": false}
}

// badCBOR sends a getAssertion that is made from good members and judges the
// answer.
func badCBOR(build func(rp string, hash []byte, allow []any, options m) []byte) func(*probe) {
	return func(p *probe) {
		r := p.judged(cmdGetAssertion, build(p.quietly()))
		p.check(r.status != success || len(blob(r.body[2])) >= 37, "OK without an assertion")
		p.getInfo()
	}
}

// nested is an array in an array, n deep.
func nested(n int) raw { return append(bytes.Repeat([]byte{0x81}, n), 0x01) }

// wrongTypes has a value of each major type, by its name.
var wrongTypes = []struct {
	name  string
	value any
}{
	{"int", 7}, {"bytes", []byte("bytes")}, {"text", "text"}, {"array", []any{}}, {"map", m{}}, {"bool", true},
}

// typeOf names the type of a value of a request.
func typeOf(v any) string {
	switch v.(type) {
	case int, int64:
		return "int"
	case []byte:
		return "bytes"
	case string:
		return "text"
	case []any:
		return "array"
	case m:
		return "map"
	}
	return "bool"
}

// A sample is a request in which every member is of the right type.
type sample struct {
	name    string
	command byte
	params  m
	offered bool
	// names are those of the members that are looked at.
	names map[string][]any
	// sign makes the request from sub-command parameters that are looked at.
	sign func(subParams m) m
}

var descriptorSample = []any{m{"id": make([]byte, 32), "type": "public-key"}}

// samples are requests for every parameter of every command.
func (p *probe) samples() []sample {
	has := func(option string) bool { return p.option(option) != nil }
	on := func(option string) bool { return p.option(option) == true }
	hash, auth := p.random(32), p.random(16)
	key := m{1: 2, 3: -25, -1: 1, -2: make([]byte, 32), -3: make([]byte, 32)}
	mc := p.mc(set(descriptorSample, 5), set(m{}, 6), set(m{"rk": false, "uv": false}, 7))
	mcNames := map[string][]any{"clientDataHash": {1}, "rp": {2}, "rp.id": {2, "id"}, "rp.name": {2, "name"}, "user": {3}, "user.id": {3, "id"},
		"user.name": {3, "name"}, "user.displayName": {3, "displayName"}, "params": {4}, "param": {4, 0}, "alg": {4, 0, "alg"}, "type": {4, 0, "type"},
		"excludeList": {5}, "exclude": {5, 0}, "exclude.id": {5, 0, "id"}, "exclude.type": {5, 0, "type"}, "extensions": {6}, "options": {7},
		"rk": {7, "rk"}, "uv": {7, "uv"}}
	authNames := func(param, protocol int) map[string][]any {
		return map[string][]any{"pinUvAuthParam": {param}, "pinUvAuthProtocol": {protocol}}
	}
	mcAuth := map[string][]any{"pinUvAuthParam": {8}, "pinUvAuthProtocol": {9}}
	if p.level(21) {
		mcAuth["enterpriseAttestation"] = []any{0x0a}
	}
	if p.level(23) {
		mcAuth["attestationFormatsPreference"] = []any{0x0b}
	}
	return []sample{
		{"mc", cmdMakeCredential, mc, true, mcNames, nil},
		{"mc", cmdMakeCredential, edited(mc, set(auth, 8), set(1, 9), set(1, 0x0a), set([]any{"packed"}, 0x0b)), has("clientPin"), mcAuth, nil},
		{"ga", cmdGetAssertion, m{1: p.rp(), 2: hash, 3: descriptorSample, 4: m{}, 5: m{"up": false, "uv": false}}, true, map[string][]any{
			"rpId": {1}, "clientDataHash": {2}, "allowList": {3}, "allow": {3, 0}, "allow.id": {3, 0, "id"}, "allow.type": {3, 0, "type"},
			"extensions": {4}, "options": {5}, "up": {5, "up"}, "uv": {5, "uv"}}, nil},
		{"ga", cmdGetAssertion, m{1: p.rp(), 2: hash, 5: m{"up": false}, 6: auth, 7: 1}, has("clientPin"), authNames(6, 7), nil},
		{"clientPIN", cmdClientPIN, m{1: p.protocol, 2: 2}, has("clientPin"), map[string][]any{"protocol": {1}, "subCommand": {2}}, nil},
		{"setPIN", cmdClientPIN, m{1: p.protocol, 2: 3, 3: key, 4: auth, 5: make([]byte, 64)}, has("clientPin"), map[string][]any{
			"protocol": {1}, "keyAgreement": {3}, "pinUvAuthParam": {4}, "newPinEnc": {5}}, nil},
		{"token", cmdClientPIN, m{1: p.protocol, 2: 9, 3: key, 6: make([]byte, 16), 9: 2, 10: p.rp()}, on("pinUvAuthToken"), map[string][]any{
			"pinHashEnc": {6}, "permissions": {9}, "rpId": {10}}, nil},
		{"credMgmt", cmdCredentialManagement, m{1: 4, 2: m{1: hash}, 3: p.protocol, 4: auth}, on("credMgmt"), map[string][]any{
			"subCommand": {1}, "subCommandParams": {2}, "pinUvAuthProtocol": {3}, "pinUvAuthParam": {4}}, nil},
		{"bio", cmdBioEnrollment, m{1: 1, 2: 5, 3: m{1: []byte{1}, 2: "x"}, 4: p.protocol, 5: auth}, has("bioEnroll"), map[string][]any{
			"modality": {1}, "subCommand": {2}, "subCommandParams": {3}, "pinUvAuthProtocol": {4}, "pinUvAuthParam": {5}}, nil},
		{"bio", cmdBioEnrollment, m{6: true}, has("bioEnroll"), map[string][]any{"getModality": {6}}, nil},
		{"blobs.get", cmdLargeBlobs, m{1: 17, 3: 0}, on("largeBlobs"), map[string][]any{"get": {1}, "offset": {3}}, nil},
		{"blobs.set", cmdLargeBlobs, m{2: make([]byte, 17), 3: 0, 4: 17, 5: auth, 6: p.protocol}, on("largeBlobs"), map[string][]any{
			"set": {2}, "offset": {3}, "length": {4}, "pinUvAuthParam": {5}, "pinUvAuthProtocol": {6}}, nil},
		{"config", cmdConfig, m{1: 3, 2: m{3: false}, 3: p.protocol, 4: auth}, on("authnrCfg"), map[string][]any{
			"subCommand": {1}, "subCommandParams": {2}, "pinUvAuthProtocol": {3}, "pinUvAuthParam": {4}}, nil},
	}
}

// signedSamples are those whose parameters are read only with a right token.
func (p *probe) signedSamples() []sample {
	cm := func(sub int) func(m) m {
		return func(params m) m { return p.token(permCM, "").manage(sub, params) }
	}
	descriptor := m{"id": make([]byte, 32), "type": "public-key"}
	return []sample{
		{"credMgmt.4", cmdCredentialManagement, m{1: make([]byte, 32)}, p.option("credMgmt") == true, map[string][]any{"rpIDHash": {1}}, cm(4)},
		{"credMgmt.7", cmdCredentialManagement, m{2: descriptor, 3: m{"id": []byte{1}, "name": "x"}}, p.option("credMgmt") == true, map[string][]any{
			"credentialID": {2}, "credentialID.id": {2, "id"}, "user": {3}, "user.id": {3, "id"}, "user.name": {3, "name"}}, cm(7)},
		{"config.3", cmdConfig, m{1: p.minPIN(), 3: false}, p.bench.Release && p.option("setMinPINLength") == true, map[string][]any{
			"newMinPINLength": {1}, "minPinLengthRPIDs": {2}, "forceChangePin": {3}}, func(params m) m {
			return p.token(permACFG, "").config(3, params)
		}},
		{"bio.5", cmdBioEnrollment, m{1: []byte{1}, 2: "x"}, p.option("bioEnroll") != nil, map[string][]any{"templateId": {1}, "friendlyName": {2}}, func(params m) m {
			return p.token(permBE, "").enroll(5, params)
		}},
	}
}

// everyWrongType sends a sample with each member of each wrong type.
func (p *probe) everyWrongType(s sample) {
	names := []string{}
	for name := range s.names {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		path := s.names[name]
		right := typeOf(at(s.params, path))
		if at(s.params, path) == nil {
			right = "array" // minPinLengthRPIDs, which is the one left out
		}
		for _, w := range wrongTypes {
			if w.name == right {
				continue
			}
			p.each(s.name+"."+name+"."+w.name, func(p *probe) {
				params := edited(s.params, set(w.value, path...))
				if s.sign != nil {
					params = s.sign(params)
				}
				p.want(p.call(s.command, params), eUnexpectedType, eInvalidCBOR)
			})
		}
	}
}

// at is the value at a path, or nil.
func at(v any, path []any) any {
	for _, step := range path {
		switch c := v.(type) {
		case m:
			v = c[step]
		case []any:
			v = c[step.(int)]
		}
	}
	return v
}

// leftOut sends a request without one member.
func (p *probe) leftOut(name string, command byte, params m, key any, right ...status) {
	p.each(name, func(p *probe) { p.want(p.call(command, edited(params, drop(key))), right...) })
}

func cbrCases() cases {
	return cases{
		"CBR-001": func(p *probe) {
			for _, c := range []byte{0x00, 0x3f} {
				p.each(fmt.Sprintf("%02x", c), func(p *probe) { p.judged(c, nil) })
			}
		},
		"CBR-002": func(p *probe) {
			commands := []byte{cmdMakeCredential, cmdGetAssertion}
			for option, c := range inOrder(map[string]byte{"clientPin": cmdClientPIN, "credMgmt": cmdCredentialManagement,
				"largeBlobs": cmdLargeBlobs, "authnrCfg": cmdConfig, "bioEnroll": cmdBioEnrollment}) {
				if p.option(option) != nil {
					commands = append(commands, c)
				}
			}
			for _, c := range commands {
				p.each(fmt.Sprintf("%02x", c), func(p *probe) {
					if c == cmdLargeBlobs { // for which an offset that is absent is wrong
						p.want(p.call(c, nil), eInvalidParameter, eMissing, eInvalidCBOR, eInvalidLength)
						return
					}
					p.judged(c, nil)
				})
			}
		},
		"CBR-003": func(p *probe) { p.judged(cmdGetAssertion, []byte{0x81, 0x01}) },
		"CBR-004": badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
			return entries(2, hash, 1, rp, 3, allow, 5, options)
		}),
		"CBR-005": badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
			return entries(1, rp, 1, rp, 2, hash, 3, allow, 5, options)
		}),
		"CBR-006": badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
			return entries(raw{0x18, 0x01}, rp, 2, hash, 3, allow, 5, options)
		}),
		"CBR-007": func(p *probe) {
			p.each("map", badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
				b := entries(1, rp, 2, hash, 3, allow, 5, options)
				b[0] = 0xbf
				return append(b, 0xff)
			}))
			p.each("string", badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
				return entries(1, rp, 2, append(append(raw{0x5f}, encode(hash)...), 0xff), 3, allow, 5, options)
			}))
		},
		"CBR-008": badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
			b := entries(1, rp, 2, hash, 3, allow, 5, options)
			b[0]++
			return b
		}),
		"CBR-009": badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
			return entries(1, rp, 2, append(raw{0x58, 0x20}, hash[:16]...))
		}),
		"CBR-010": badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
			return entries(1, rp, 2, append(raw{0x5a, 0xff, 0xff, 0xff, 0xff}, hash...))
		}),
		"CBR-011": func(p *probe) {
			rp, hash, allow, options := p.quietly()
			msg := entries(1, rp, 2, hash, 3, allow, 4, append(raw{0xa1, 0x61, 'x'}, nested(3)...), 5, options)
			r := p.call(cmdGetAssertion, msg)
			p.check(r.fault == 0, "expected a status")
			p.note("observed: %v", r.status)
			p.getInfo()
		},
		"CBR-012": badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
			return entries(3, nested(1000))
		}),
		"CBR-013": func(p *probe) {
			p.each("rpId", badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
				return entries(1, append(raw{0xd8, 0x20}, encode(rp)...), 2, hash, 3, allow, 5, options)
			}))
			p.each("extensions", badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
				return entries(1, rp, 2, hash, 3, allow, 4, raw{0xa1, 0x61, 'x', 0xc1, 0x01}, 5, options)
			}))
		},
		"CBR-014": func(p *probe) {
			for name, float := range inOrder(map[string]raw{"half": {0xf9, 0x3c, 0x00}, "double": {0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0}}) {
				if p.option("clientPin") == nil {
					break
				}
				p.each(name, func(p *probe) { p.judged(cmdClientPIN, entries(1, float, 2, 2)) })
			}
			p.each("alg", func(p *probe) {
				alg := append(raw{0x81, 0xa2, 0x63, 'a', 'l', 'g', 0xf9, 0xc7, 0x00}, entries("type", "public-key")[1:]...)
				mc := p.mc()
				p.judged(cmdMakeCredential, entries(1, mc[1], 2, mc[2], 3, mc[3], 4, alg))
			})
		},
		"CBR-015": func(p *probe) {
			for name, v := range inOrder(map[string]raw{"null": {0xf6}, "undefined": {0xf7}}) {
				for i := range 4 {
					p.each(fmt.Sprintf("%d.%s", i+1, name), badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
						values := []any{1, rp, 2, hash, 3, allow, 5, options}
						values[2*i+1] = v
						return entries(values...)
					}))
				}
			}
		},
		"CBR-016": badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
			return append(entries(1, rp, 2, hash, 3, allow, 5, options), 0x00)
		}),
		"CBR-017": badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
			return entries(1, raw{0x64, 0xff, 0xfe, 0xc3, 0x28}, 2, hash, 3, allow, 5, options)
		}),
		"CBR-018": badCBOR(func(rp string, hash []byte, allow []any, options m) []byte {
			return entries(1, rp, 2, hash, 3, allow, 5, options, -1, true)
		}),
		"CBR-019": func(p *probe) {
			size := p.maxMsgSize()
			if p.wire != nil {
				size = min(size, p.wire.longest())
			}
			r := p.exchange(p.padded(size))
			p.judge(r)
			p.check(len(blob(r.body[2])) >= 37, "OK without an assertion")
		},
		"CBR-020": func(p *probe) {
			msg := p.padded(p.maxMsgSize() + 1)
			if p.wire != nil && len(msg) > p.wire.longest() {
				p.wire.write(p.wire.first(p.cid, hidCBOR, len(msg), msg))
				p.fault(p.cid, faultLen)
				return
			}
			r := p.exchange(msg)
			if r.fault != faultLen {
				p.judge(r)
			}
		},
		"CBR-021": func(p *probe) {
			for _, s := range p.samples() {
				if s.offered {
					p.everyWrongType(s)
				}
			}
			if p.bench.Release && p.option("clientPin") != nil {
				p.dirty()
				p.setPIN(p.somePIN())
				for _, s := range p.signedSamples() {
					if s.offered {
						p.everyWrongType(s)
					}
				}
			}
		},
		"CBR-022": func(p *probe) {
			mc, assertion := p.mc(), p.ga(p.rp(), nil)
			for key, name := range []string{1: "clientDataHash", 2: "rp", 3: "user", 4: "pubKeyCredParams"} {
				if name != "" {
					p.leftOut("mc."+name, cmdMakeCredential, mc, key, eMissing)
				}
			}
			p.leftOut("ga.rpId", cmdGetAssertion, assertion, 1, eMissing)
			p.leftOut("ga.clientDataHash", cmdGetAssertion, assertion, 2, eMissing)
			if p.option("clientPin") != nil {
				p.leftOut("clientPIN.subCommand", cmdClientPIN, m{1: p.protocol}, 2, eMissing)
				p.leftOut("getKeyAgreement.protocol", cmdClientPIN, m{1: p.protocol, 2: 2}, 1, eMissing)
				params := p.agree().setPINParams(padded(p.pinOf(6)))
				for _, key := range []int{1, 3, 4, 5} {
					p.leftOut(fmt.Sprintf("setPIN.%d", key), cmdClientPIN, params, key, eMissing)
				}
				params = p.agree().tokenParams(cmp.Or(p.pin, p.pinOf(6)))
				for _, key := range []int{1, 3, 6} {
					p.leftOut(fmt.Sprintf("getPinToken.%d", key), cmdClientPIN, params, key, eMissing)
				}
			}
			if p.option("pinUvAuthToken") == true {
				params := p.agree().permissionParams(cmp.Or(p.pin, p.pinOf(6)), permGA, p.rp())
				for _, key := range []int{1, 3, 6, 9, 10} {
					p.leftOut(fmt.Sprintf("token.%d", key), cmdClientPIN, params, key, eMissing)
				}
			}
			auth := p.random(16 * p.protocol)
			if p.option("credMgmt") == true {
				params := m{1: 1, 3: p.protocol, 4: auth}
				p.leftOut("credMgmt.subCommand", cmdCredentialManagement, params, 1, eMissing)
				p.leftOut("credMgmt.pinUvAuthProtocol", cmdCredentialManagement, params, 3, eMissing)
				p.leftOut("credMgmt.pinUvAuthParam", cmdCredentialManagement, params, 4, ePUATRequired)
			}
			if p.option("bioEnroll") != nil {
				params := m{1: 1, 2: 1, 4: p.protocol, 5: auth}
				p.leftOut("bio.modality", cmdBioEnrollment, params, 1, eMissing)
				p.leftOut("bio.subCommand", cmdBioEnrollment, params, 2, eMissing)
				p.leftOut("bio.pinUvAuthProtocol", cmdBioEnrollment, params, 4, eMissing)
				p.leftOut("bio.pinUvAuthParam", cmdBioEnrollment, params, 5, ePUATRequired)
			}
			if p.option("largeBlobs") == true {
				p.leftOut("blobs.offset", cmdLargeBlobs, m{1: 1, 3: 0}, 3, eInvalidParameter, eMissing)
			}
			if p.option("authnrCfg") == true {
				p.leftOut("config.subCommand", cmdConfig, m{1: 2}, 1, eMissing)
			}
		},
		"CBR-023": func(p *probe) {
			p.released() // nobody knows what a vendor's commands do
			others := 0
			for c := 0x40; c <= 0xbf; c++ {
				if p.version("FIDO_2_1_PRE") && c <= 0x41 {
					continue
				}
				if r := p.call(byte(c), nil); r.status != eInvalidCommand {
					p.note("observed: command %02x answers %v", c, r.status)
					others++
				}
			}
			p.check(others < 64, "so many cannot be implemented")
		},
		"CBR-024": func(p *probe) {
			p.need(p.option("clientPin") != nil, "the key has no PIN")
			for name, x := range inOrder(map[string][]byte{"zero": make([]byte, 32), "prime": bytes.Repeat([]byte{0xff}, 32)}) {
				p.each(name, func(p *probe) {
					y := make([]byte, 32)
					if name == "prime" {
						y = x
					}
					params := p.agree().setPINParams(padded(p.pinOf(6)))
					if p.pin != "" {
						params = p.agree().tokenParams(p.pin)
					}
					p.judged(cmdClientPIN, edited(params, set(x, 3, -2), set(y, 3, -3)))
				})
			}
		},
		"CBR-025": func(p *probe) {
			p.judged(0x03, nil)
			p.judged(0x05, nil)
		},
	}
}

// padded is a getAssertion that succeeds without a touch, of some size.
func (p *probe) padded(size int) []byte {
	rp, hash, allow, options := p.quietly()
	params := m{1: rp, 2: hash, 3: allow, 5: options, 0x7e: make([]byte, 300)}
	missing := size - len(request(cmdGetAssertion, params))
	params[0x7e] = make([]byte, 300+missing)
	return request(cmdGetAssertion, params)
}
