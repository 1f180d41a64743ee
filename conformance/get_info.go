package conformance

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// texts checks that a member is a list of texts without duplicates.
func (p *probe) texts(v any, what string) []string {
	l, ok := v.([]any)
	p.check(ok, "%s is not an array: %v", what, v)
	var out []string
	for _, e := range l {
		s, ok := e.(string)
		p.check(ok, "%s has an element that is not text: %v", what, e)
		p.check(!slices.Contains(out, s), "%s has %q twice", what, s)
		out = append(out, s)
	}
	return out
}

// present ends the case when getInfo lacks a member.
func (p *probe) present(member int) any {
	v := p.info[member]
	p.need(v != nil, "getInfo has no member %02x", member)
	return v
}

// implied checks that one thing comes with another.
func implied(when func(p *probe) bool, then func(p *probe) bool, what string) func(*probe) {
	return func(p *probe) {
		p.need(when(p), "not so on this key")
		p.check(then(p), "%s", what)
	}
}

func has(option string) func(*probe) bool {
	return func(p *probe) bool { return p.option(option) != nil }
}

func is(option string) func(*probe) bool {
	return func(p *probe) bool { return p.option(option) == true }
}

func lists(extension string) func(*probe) bool {
	return func(p *probe) bool { return p.extension(extension) }
}

func tells(member int) func(*probe) bool {
	return func(p *probe) bool { return p.info[member] != nil }
}

func either(a, b func(*probe) bool) func(*probe) bool {
	return func(p *probe) bool { return a(p) || b(p) }
}

func both(a, b func(*probe) bool) func(*probe) bool {
	return func(p *probe) bool { return a(p) && b(p) }
}

func always(*probe) bool { return true }

// verifies says whether the key can verify a user.
var verifies = either(has("clientPin"), has("uv"))

var knownTransports = []string{"usb", "nfc", "ble", "smart-card", "hybrid", "internal"}

// certificationLevels are the highest by name.
var certificationLevels = map[string]int64{"FIPS-CMVP-2": 4, "FIPS-CMVP-3": 4, "FIPS-CMVP-2-PHY": 4, "FIPS-CMVP-3-PHY": 4, "CC-EAL": 7, "FIDO": 6}

// persistentToken gets a token for pcmr alone.
func (p *probe) persistentToken() token {
	p.need(p.option("perCredMgmtRO") == true, "the key has no persistent token")
	return p.token(permPCMR, "")
}

// opened decrypts encIdentifier or encCredStoreState.
func (p *probe) opened(t token, member int) []byte {
	name := map[int]string{infoEncIdentifier: "encIdentifier", infoEncCredStoreState: "encCredStoreState"}[member]
	v := blob(p.getInfo()[member])
	p.need(v != nil, "getInfo has no %s", name)
	p.check(len(v) == 32, "%s has %d bytes", name, len(v))
	return p.bench.concluded(func() []byte {
		key, err := hkdf.Key(sha256.New, t.value, make([]byte, 32), name, 16)
		if err != nil {
			panic(err)
		}
		block, _ := aes.NewCipher(key)
		out := make([]byte, 16)
		cipher.NewCBCDecrypter(block, v[:16]).CryptBlocks(out, v[16:])
		return out
	})
}

// same says whether two answers of getInfo agree but for the encrypted members.
func same(a, b map[int]any) bool {
	strip := func(v map[int]any) map[int]any {
		v = maps.Clone(v)
		delete(v, infoEncIdentifier)
		delete(v, infoEncCredStoreState)
		return v
	}
	return reflect.DeepEqual(strip(a), strip(b))
}

// asked has each case ask the key itself, so that what it judges is among what it
// sent and got.
func asked(group cases) cases {
	for id, f := range group {
		group[id] = func(p *probe) {
			p.info = p.getInfo()
			f(p)
		}
	}
	return group
}

func infoCases() cases {
	return asked(cases{
		"INF-001": func(p *probe) {
			r := p.call(cmdGetInfo, nil)
			p.judge(r)
			err := ctapcbor.CheckCanonical(r.raw, 8)
			p.check(err == nil, "%v", err)
		},
		"INF-002": func(p *probe) { p.check(len(p.texts(p.info[infoVersions], "versions")) > 0, "versions is empty") },
		"INF-003": func(p *probe) {
			for _, v := range p.texts(p.info[infoVersions], "versions") {
				p.check(slices.Contains([]string{"FIDO_2_0", "FIDO_2_1", "FIDO_2_3", "U2F_V2", "FIDO_2_1_PRE"}, v), "version %q", v)
			}
		},
		"INF-004": func(p *probe) {
			id := blob(p.info[infoAAGUID])
			p.check(len(id) == 16, "aaguid %v", p.info[infoAAGUID])
			p.check(p.bench.AAGUID == nil || bytes.Equal(id, p.bench.AAGUID), "aaguid %x, metadata says %x", id, p.bench.AAGUID)
		},
		"INF-005": func(p *probe) {
			for id, v := range p.present(infoOptions).(m) {
				_, text := id.(string)
				_, boolean := v.(bool)
				p.check(text && boolean, "option %v is %v", id, v)
			}
		},
		"INF-006": func(p *probe) { p.texts(p.present(infoExtensions), "extensions") },
		"INF-007": func(p *probe) { p.check(p.maxMsgSize() >= 1024, "maxMsgSize %d", p.maxMsgSize()) },
		"INF-008": func(p *probe) {
			l := list(p.present(infoProtocols))
			p.check(len(l) > 0, "pinUvAuthProtocols is empty")
			for i, v := range l {
				p.check(num(v) > 0 && !slices.Contains(l[:i], v), "pinUvAuthProtocols %v", l)
			}
		},
		"INF-009": implied(verifies, func(p *probe) bool { return slices.Contains(p.protocols(), 2) }, "protocol 2 is not listed"),
		"INF-010": implied(verifies, is("pinUvAuthToken"), "pinUvAuthToken is not true"),
		"INF-011": func(p *probe) {
			p.need(p.option("rk") == true, "the key has no rk")
			if p.option("credMgmt") != true {
				p.warn("credMgmt is not true")
			}
		},
		"INF-012": implied(both(is("rk"), verifies), lists("credProtect"), "credProtect is not listed"),
		"INF-013": implied(always, lists("hmac-secret"), "hmac-secret is not listed"),
		"INF-014": implied(is("alwaysUv"), func(p *probe) bool { return p.option("makeCredUvNotRqd") != true }, "makeCredUvNotRqd is true"),
		"INF-015": implied(func(p *probe) bool { return p.option("alwaysUv") == true && p.option("uv") != true },
			func(p *probe) bool { return !p.version("U2F_V2") }, "U2F_V2 is listed"),
		"INF-016": implied(lists("credBlob"), func(p *probe) bool {
			return p.extension("credProtect") && num(p.info[infoMaxCredBlobLength]) >= 32
		}, "credProtect or maxCredBlobLength is missing"),
		"INF-017": implied(tells(infoMaxCredBlobLength), lists("credBlob"), "credBlob is not listed"),
		"INF-018": implied(lists("largeBlobKey"), is("largeBlobs"), "largeBlobs is not true"),
		"INF-019": implied(is("largeBlobs"), func(p *probe) bool { return num(p.info[infoMaxLargeBlobArray]) >= 1024 },
			"maxSerializedLargeBlobArray is missing or small"),
		"INF-020": implied(tells(infoMaxLargeBlobArray), is("largeBlobs"), "largeBlobs is not true"),
		"INF-021": implied(lists("largeBlob"), func(p *probe) bool {
			return !p.extension("largeBlobKey") && p.option("largeBlobs") != true
		}, "largeBlobKey or largeBlobs stands beside it"),
		"INF-022": func(p *probe) {
			usable := p.call(cmdConfig, m{1: 0x7e}).status != eInvalidCommand
			p.need(usable || p.option("authnrCfg") != nil, "the key has no authenticatorConfig")
			p.check(!usable || p.option("authnrCfg") == true, "authenticatorConfig is there, authnrCfg is %v", p.option("authnrCfg"))
		},
		"INF-023": implied(is("setMinPINLength"), both(is("authnrCfg"), has("clientPin")), "authnrCfg or clientPin is missing"),
		"INF-024": implied(has("uvAcfg"), has("authnrCfg"), "authnrCfg is missing"),
		"INF-025": implied(has("uvBioEnroll"), has("bioEnroll"), "bioEnroll is missing"),
		"INF-026": implied(has("noMcGaPermissionsWithClientPin"), has("clientPin"), "clientPin is missing"),
		"INF-027": implied(is("perCredMgmtRO"), both(is("credMgmt"), is("pinUvAuthToken")), "credMgmt or pinUvAuthToken is not true"),
		"INF-028": implied(either(has("clientPin"), tells(infoMinPINLength)), func(p *probe) bool { return num(p.info[infoMinPINLength]) >= 4 },
			"minPINLength is missing or less than 4"),
		"INF-029": func(p *probe) {
			n := num(p.present(infoMaxPINLength))
			p.check(n >= 8 && n <= 63, "maxPINLength %d", n)
		},
		"INF-030": func(p *probe) {
			v := p.info[infoForcePINChange]
			p.check(v == nil || v == false, "forcePINChange %v", v)
		},
		"INF-031": func(p *probe) {
			for _, member := range []int{infoMaxCredentialCount, infoMaxCredentialID} {
				p.check(p.info[member] == nil || num(p.info[member]) > 0, "member %02x is %v", member, p.info[member])
			}
		},
		"INF-032": func(p *probe) {
			l := p.texts(p.present(infoTransports), "transports")
			p.check(len(l) > 0, "transports is empty")
			for _, t := range l {
				p.check(slices.Contains(knownTransports, t), "transport %q", t)
			}
		},
		"INF-033": func(p *probe) {
			l := list(p.present(infoAlgorithms))
			p.check(len(l) > 0, "algorithms is empty")
			for i, v := range l {
				_, integer := asMap(v)["alg"].(int64)
				p.check(integer && asMap(v)["type"] == "public-key", "algorithm %v", v)
				for _, w := range l[:i] {
					p.check(!reflect.DeepEqual(v, w), "algorithm %v twice", v)
				}
			}
		},
		"INF-034": func(p *probe) {
			v := num(p.present(infoFirmwareVersion))
			p.check(v >= 0, "firmwareVersion %v", p.info[infoFirmwareVersion])
			p.note("firmwareVersion %d", v)
		},
		"INF-035": func(p *probe) {
			before := num(p.present(infoRemaining))
			p.register(discoverable())
			after := num(p.getInfo()[infoRemaining])
			p.check(before >= 0 && after >= 0 && after <= before, "remainingDiscoverableCredentials %d, then %d", before, after)
			if after != before-1 {
				p.note("observed: %d, then %d", before, after)
			}
		},
		"INF-036": func(p *probe) {
			for _, member := range []int{infoUVAttempts, infoUVModality} {
				p.check(p.info[member] == nil || num(p.info[member]) >= 0, "member %02x is %v", member, p.info[member])
			}
			if n := num(p.info[infoUVModality]); n >= 0 {
				p.check(n&^0x1fff == 0, "uvModality %x", n)
			}
		},
		"INF-037": func(p *probe) {
			for name, level := range p.present(infoCertifications).(m) {
				highest, known := certificationLevels[fmt.Sprint(name)]
				p.check(known && num(level) >= 1 && num(level) <= highest, "certification %v level %v", name, level)
			}
		},
		"INF-038": func(p *probe) {
			l := p.texts(p.present(infoAttestationFormats), "attestationFormats")
			p.check(len(l) > 0 && !slices.Contains(l, "none"), "attestationFormats %v", l)
		},
		"INF-039": func(p *probe) {
			p.present(infoUVCount)
			p.want(p.enterPIN(p.pin), success)
			p.check(num(p.getInfo()[infoUVCount]) == 0, "uvCountSinceLastPinEntry %v after a PIN entry", p.getInfo()[infoUVCount])
		},
		"INF-040": func(p *probe) {
			_, boolean := p.present(infoLongTouchForReset).(bool)
			p.check(boolean, "longTouchForReset %v", p.info[infoLongTouchForReset])
		},
		"INF-041": func(p *probe) {
			l := p.texts(p.present(infoTransportsForReset), "transportsForReset")
			p.check(len(l) > 0, "transportsForReset is empty")
			for _, t := range l {
				p.check(slices.Contains(list(p.info[infoTransports]), any(t)), "%q is not in transports", t)
			}
		},
		"INF-042": func(p *probe) {
			t := p.persistentToken()
			a := blob(p.getInfo()[infoEncIdentifier])
			first, second := p.opened(t, infoEncIdentifier), p.opened(t, infoEncIdentifier)
			p.check(!bytes.Equal(a, blob(p.getInfo()[infoEncIdentifier])), "encIdentifier twice the same: %x", a)
			p.check(bytes.Equal(first, second), "identifiers %x and %x", first, second)
		},
		"INF-043": func(p *probe) {
			first := p.opened(p.persistentToken(), infoEncIdentifier)
			p.factoryReset(p)
			p.setPIN(p.somePIN())
			second := p.opened(p.persistentToken(), infoEncIdentifier)
			if bytes.Equal(first, second) {
				p.note("observed: the identifier stays")
			}
		},
		"INF-044": func(p *probe) {
			t := p.persistentToken()
			last := p.opened(t, infoEncCredStoreState)
			differs := func(after string) {
				now := p.opened(t, infoEncCredStoreState)
				p.check(!bytes.Equal(last, now), "the same store state after a credential was %s", after)
				last = now
			}
			c := p.register(discoverable())
			differs("added")
			p.ok(cmdCredentialManagement, p.token(permCM, "").manage(7, m{2: descriptor(c.id), 3: m{"id": c.userID, "name": "eve"}}))
			differs("changed")
			p.ok(cmdCredentialManagement, p.token(permCM, "").manage(6, m{2: descriptor(c.id)}))
			differs("deleted")
		},
		"INF-045": func(p *probe) {
			for _, member := range []int{infoEncIdentifier, infoEncCredStoreState} {
				v := p.info[member]
				p.check(v == nil || len(blob(v)) == 32, "member %02x is %v", member, v)
			}
		},
		"INF-046": func(p *probe) {
			_, boolean := p.present(infoPINComplexityPolicy).(bool)
			p.check(boolean, "pinComplexityPolicy %v", p.info[infoPINComplexityPolicy])
			if v := p.info[infoPINComplexityURL]; v != nil {
				url, isBytes := v.([]byte)
				p.check(isBytes && utf8.Valid(url) && strings.Contains(string(url), ":"), "pinComplexityPolicyURL %v", v)
			}
			p.check(p.option("clientPin") != nil, "clientPin is absent")
		},
		"INF-047": func(p *probe) { p.check(p.option("clientPin") != true, "clientPin is true") },
		"INF-048": func(p *probe) { p.check(p.option("clientPin") == true, "clientPin is %v", p.option("clientPin")) },
		"INF-049": func(p *probe) {
			a, b := p.getInfo(), p.getInfo()
			p.check(same(a, b), "%v, then %v", a, b)
		},
		"INF-050": func(p *probe) {
			r := p.call(cmdGetInfo, []byte{0xa0})
			p.want(r, success, eInvalidLength, eInvalidCBOR, eInvalidParameter, eUnexpectedType)
			p.getInfo()
		},
	})
}
