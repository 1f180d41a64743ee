package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestFido2TokenLines compares with texts that were checked against libfido2's
// fido2-token by hand; in the virtual machine it is asked itself.
func TestFido2TokenLines(t *testing.T) {
	for _, profile := range []string{"default", "ctap-2.3", "u2f"} {
		t.Run(profile, func(t *testing.T) {
			doors := startSimulator(t, 1, "--tcp", "127.0.0.1:0", "--profile", profile)
			got, err := exec.Command("fidokey", "info", "--device", "tcp:"+doors["tcp"], "--format", "fido2-token").Output()
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "fido2-token", profile+".txt")
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s:\n%s", golden, got)
			}
		})
	}
}

func TestModalities(t *testing.T) {
	got := modalities(1<<1 | 1<<12 | 1<<13)
	if want := []string{"fingerprint check", "external drawn pattern check", "unknown 0x2000"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
