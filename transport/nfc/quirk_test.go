package nfc_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/nfc"
)

// quirkyCard is the card of a shipped profile.
func quirkyCard(t *testing.T, profile string) *simulator.Card {
	t.Helper()
	p, err := simulator.LoadProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := simulator.New(simulator.Config{Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	card := simulator.NewCard(key)
	t.Cleanup(func() { card.Close(); key.Close() })
	return card
}

// TestSelectSaysU2F: the answer to SELECT says that there is U2F, and getInfo that
// there is none. getInfo is right.
func TestSelectSaysU2F(t *testing.T) {
	d, err := nfc.Open(t.Context(), quirkyCard(t, "quirk-select-u2f"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	info, err := ctap2.Do(t.Context(), d, ctap2.GetInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Version() != ctap2.VersionU2F || slices.Contains(info.Versions, ctap2.VersionU2F) || !slices.Contains(info.Versions, ctap2.VersionFIDO20) {
		t.Errorf("SELECT says %q, getInfo %q", d.Version(), info.Versions)
	}
}

// TestUnusableCard: the smart-card interface of some USB keys takes SELECT and
// nothing else.
func TestUnusableCard(t *testing.T) {
	d, err := nfc.Open(t.Context(), quirkyCard(t, "quirk-card-unusable"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 2 {
		if _, err := ctap2.Do(t.Context(), d, ctap2.GetInfo{}); !errors.Is(err, nfc.ErrPretender) || !errors.Is(err, nfc.ErrConditionsNotSatisfied) {
			t.Errorf("error %v, want %v", err, nfc.ErrPretender)
		}
	}
}

// TestDeselectedCard: the applet comes back by itself.
func TestDeselectedCard(t *testing.T) {
	card := quirkyCard(t, "nfc-card")
	d, err := nfc.Open(t.Context(), card)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range 3 {
		ctx, seen := findings(t.Context())
		if _, err := ctap2.Do(ctx, d, ctap2.GetInfo{}); err != nil {
			t.Fatal(err)
		}
		if len(*seen) != min(i, 1) {
			t.Errorf("getInfo %d: findings %q", i, *seen)
		}
		if answer, err := card.Transmit(t.Context(), unhex("80120100")); err != nil || !slices.Equal(answer, unhex("9000")) { // NFCCTAP_CONTROL END
			t.Fatalf("answer %x, error %v", answer, err)
		}
	}
}
