package conformance

import (
	"slices"
	"strings"
)

// Members of the answer of getInfo.
const (
	infoVersions              = 0x01
	infoExtensions            = 0x02
	infoAAGUID                = 0x03
	infoOptions               = 0x04
	infoMaxMsgSize            = 0x05
	infoProtocols             = 0x06
	infoMaxCredentialCount    = 0x07
	infoMaxCredentialID       = 0x08
	infoTransports            = 0x09
	infoAlgorithms            = 0x0a
	infoMaxLargeBlobArray     = 0x0b
	infoForcePINChange        = 0x0c
	infoMinPINLength          = 0x0d
	infoFirmwareVersion       = 0x0e
	infoMaxCredBlobLength     = 0x0f
	infoMaxRPIDs              = 0x10
	infoUVAttempts            = 0x11
	infoUVModality            = 0x12
	infoCertifications        = 0x13
	infoRemaining             = 0x14
	infoVendorConfig          = 0x15
	infoAttestationFormats    = 0x16
	infoUVCount               = 0x17
	infoLongTouchForReset     = 0x18
	infoEncIdentifier         = 0x19
	infoTransportsForReset    = 0x1a
	infoPINComplexityPolicy   = 0x1b
	infoPINComplexityURL      = 0x1c
	infoMaxPINLength          = 0x1d
	infoEncCredStoreState     = 0x1e
	infoAuthenticatorCommands = 0x1f
)

func (p *probe) getInfo() map[int]any { return p.ok(cmdGetInfo, nil) }

// option is the value of an option, or nil.
func (p *probe) option(id string) any { return asMap(p.info[infoOptions])[id] }

func (p *probe) extension(id string) bool {
	return slices.Contains(list(p.info[infoExtensions]), any(id))
}

func (p *probe) version(v string) bool { return slices.Contains(list(p.info[infoVersions]), any(v)) }

// level says whether the key claims a protocol level: 20, 21 or 23.
func (p *probe) level(n int) bool {
	switch {
	case p.version("FIDO_2_3"):
		return n <= 23
	case p.version("FIDO_2_1"):
		return n <= 21
	}
	return n <= 20
}

// protocols are those of getInfo that we know.
func (p *probe) protocols() []int {
	var known []int
	for _, v := range list(p.info[infoProtocols]) {
		if n := num(v); n == 1 || n == 2 {
			known = append(known, int(n))
		}
	}
	if known == nil && p.option("clientPin") != nil {
		return []int{1}
	}
	return known
}

func (p *probe) bestProtocol() int {
	if list := p.protocols(); len(list) > 0 {
		return list[0]
	}
	return 1
}

// algorithms are those of getInfo, or ES256.
func (p *probe) algorithms() []int64 {
	var algs []int64
	for _, v := range list(p.info[infoAlgorithms]) {
		algs = append(algs, num(asMap(v)["alg"]))
	}
	if algs == nil {
		return []int64{-7}
	}
	return algs
}

func (p *probe) maxMsgSize() int {
	if n := num(p.info[infoMaxMsgSize]); n > 0 {
		return int(n)
	}
	return 1024
}

// like says whether the key is like a variant.
func (p *probe) like(variant string) bool {
	switch variant {
	case "no-u2f":
		return !p.version("U2F_V2")
	case "no-nfc-reset":
		t := list(p.info[infoTransportsForReset])
		return p.bench.Card != nil && len(t) > 0 && !slices.Contains(t, any("nfc"))
	case "no-rk":
		return p.option("rk") != true
	case "no-uv":
		return p.option("uv") == nil && p.option("bioEnroll") == nil
	case "no-uvnotrqd":
		return p.option("makeCredUvNotRqd") != true && p.option("alwaysUv") != true
	case "nomcga":
		return p.option("noMcGaPermissionsWithClientPin") == true
	case "no-credmgmt":
		return p.option("credMgmt") != true
	case "no-largeblobs":
		return p.option("largeBlobs") != true
	case "no-config":
		return p.option("authnrCfg") != true
	case "no-ep-support":
		return p.option("authnrCfg") == true && p.option("ep") == nil
	case "no-minpin":
		return p.option("setMinPINLength") == true && !p.extension("minPinLength") && !p.extension("pinComplexityPolicy")
	case "largeblob":
		return p.extension("largeBlob")
	case "preview":
		return p.version("FIDO_2_1_PRE")
	}
	return true // no-wink shows in INIT only
}

// features are what a group of cases needs; a group that is not here needs
// nothing.
var features = map[string]func(p *probe) bool{
	"HID": func(p *probe) bool { return p.wire != nil },
	"NFC": func(p *probe) bool { return p.bench.Card != nil },
	"PIN": func(p *probe) bool { return p.option("clientPin") != nil || p.option("pinUvAuthToken") == true },
	"CM":  func(p *probe) bool { return p.option("credMgmt") == true },
	"BIO": func(p *probe) bool { return p.option("bioEnroll") != nil },
	"LB":  func(p *probe) bool { return p.option("largeBlobs") == true },
	"CFG": func(p *probe) bool { return p.option("authnrCfg") == true },
	"XCP": func(p *probe) bool { return p.extension("credProtect") },
	"XHS": func(p *probe) bool {
		return p.extension("hmac-secret") && (p.ID < "XHS-022" || p.extension("hmac-secret-mc"))
	},
	"XCB": func(p *probe) bool { return p.extension("credBlob") },
	"XLB": func(p *probe) bool { return p.extension("largeBlobKey") || p.word("largeblob") },
	"XMP": func(p *probe) bool {
		return p.extension([]string{"minPinLength", "minPinLength", "minPinLength", "minPinLength", "pinComplexityPolicy",
			"pinComplexityPolicy", "thirdPartyPayment", "thirdPartyPayment", "thirdPartyPayment", "uvm", "uvm"}[int(p.ID[6]-'0')+10*int(p.ID[5]-'0')-1])
	},
	"U2F": func(p *probe) bool { return p.version("U2F_V2") },
}

// applicable ends the case when the key does not offer what it is about.
func (p *probe) applicable() {
	w, offered := p.variant(), features[p.Group()]
	switch {
	case p.Group() == "PIN":
		p.need(offered(p), "the key has no PIN")
		p.need(p.Profile != "2.1" || p.option("pinUvAuthToken") == true, "the key has no tokens with permissions")
	case offered != nil && (w == "" || p.Group() == "HID" || p.Group() == "NFC"):
		p.need(offered(p), "the key does not offer what group %s is about", p.Group())
	case p.Profile == "2.1":
		p.need(p.level(21) || w != "", "the key claims no FIDO_2_1")
	}
	p.need(w == "" || p.like(w), "the key is not like variant %s", w)
	for word, ok := range inOrder(map[string]bool{
		"u2f":        p.version("U2F_V2"),
		"largeblobs": p.option("largeBlobs") == true,
		"uvnotrqd":   p.option("makeCredUvNotRqd") == true,
		"ep":         p.option("ep") != nil,
		"no-ep":      p.option("ep") != true,
		"alwaysUv":   p.option("alwaysUv") != nil,
		"bio":        p.option("uv") != nil,
		"complexity": p.info[infoPINComplexityPolicy] != nil,
		"longtouch":  p.info[infoLongTouchForReset] != nil,
		"force":      strings.HasPrefix(p.ID, "RST") || p.option("setMinPINLength") == true,
	}) {
		p.need(ok || !p.word(word), "the key has no %s", word)
	}
}
