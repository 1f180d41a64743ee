package simulator_test

import (
	"slices"
	"testing"
)

// TestVariants: each variant of the 2.3 profile differs in what it is for.
func TestVariants(t *testing.T) {
	const bioPreview = 0x40
	for name, show := range map[string]func(k *key){
		"no-u2f":    func(k *key) { k.wantVersion("U2F_V2", false) },
		"preview":   func(k *key) { k.wantVersion("FIDO_2_1_PRE", true); k.ok(bioPreview, m{6: true}) },
		"nomcga":    func(k *key) { k.wantOption("noMcGaPermissionsWithClientPin", true) },
		"no-minpin": func(k *key) { k.wantExtension("minPinLength", false) },
		"largeblob": func(k *key) {
			k.wantExtension("largeBlob", true)
			k.refuses(invalidCommand, largeBlobArray, m{1: 17, 3: 0})
		},
		"no-largeblobs": func(k *key) { k.refuses(invalidCommand, largeBlobArray, m{1: 17, 3: 0}) },
		"no-credmgmt":   func(k *key) { k.refuses(invalidCommand, credentialManagement, m{1: 1}) },
		"no-config":     func(k *key) { k.refuses(invalidCommand, config, m{1: 2}) },
		"no-uv":         func(k *key) { k.refuses(invalidCommand, bioEnrollment, m{6: true}) },
		"no-rk":         func(k *key) { k.refuses(unsupportedOption, makeCredential, resident(testRP, "alice")) },
		"no-ep-support": func(k *key) { k.refuses(invalidParameter, makeCredential, with(creation(), 1, 10)) },
		"no-uvnotrqd": func(k *key) {
			k.setPIN(testPIN)
			k.refuses(puatRequired, makeCredential, creation())
		},
	} {
		t.Run(name, func(t *testing.T) { show(newKey(t, playing(t, "variant-"+name))) })
	}
}

func (k *key) wantVersion(version string, want bool) {
	k.Helper()
	if slices.Contains(k.ok(getInfo, nil)[1].([]any), any(version)) != want {
		k.Errorf("version %s: want %v", version, want)
	}
}

func (k *key) wantExtension(name string, want bool) {
	k.Helper()
	if slices.Contains(k.listed(), any(name)) != want {
		k.Errorf("extension %s: want %v", name, want)
	}
}

func (k *key) wantOption(name string, want bool) {
	k.Helper()
	if k.options()[name] != want {
		k.Errorf("option %s: want %v", name, want)
	}
}
