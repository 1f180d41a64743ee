package metadata_test

import (
	"slices"
	"testing"

	"github.com/fidokey/fidokey/metadata"
)

func TestLookup(t *testing.T) {
	for aaguid, want := range map[string]metadata.Model{
		"005b20e1-f146-4b87-8f3a-36848ff60ea6": {Name: "SECORA ID V2 by Infineon Pay Edition M", Source: "entra-docs", EntraAttestable: true},
		"09591fc6-9811-48f7-8f57-b9f23df6413f": {Name: "Pone Biometrics OFFPAD Authenticator", Source: "aaguids-json"},
		"f1d0ce1f-5e1f-4b1d-8a2c-6b0d1e9a7c35": {Name: "fidokey simulator", Source: "fidokey"},
	} {
		if got, ok := metadata.Lookup(aaguid); !ok || got != want {
			t.Errorf("%s: %+v, %v", aaguid, got, ok)
		}
	}
	if m, ok := metadata.Lookup("00000000-0000-0000-0000-000000000000"); ok {
		t.Errorf("the zero AAGUID is %+v", m)
	}
	if got := metadata.Named("FIDOKEY Simul"); !slices.Equal(got, []string{"f1d0ce1f-5e1f-4b1d-8a2c-6b0d1e9a7c35"}) {
		t.Errorf("by name: %v", got)
	}
	if n := metadata.Count(); n < 370 {
		t.Errorf("%d models", n)
	}
}
