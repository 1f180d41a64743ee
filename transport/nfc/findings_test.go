package nfc_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/nfc"
)

// findings returns a context that collects what was tolerated.
func findings(ctx context.Context) (context.Context, *[]string) {
	var seen []string
	return transport.WithFindings(ctx, func(f transport.Finding) { seen = append(seen, f.Where+": "+f.What) }), &seen
}

func wantFindings(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("findings %q, want %q", got, want)
	}
}

func TestSelectAnswers(t *testing.T) {
	selectApplet := "00a4040008a0000006472f000100"
	for name, test := range map[string]struct {
		responses, apdus [][]byte
		version          string
		findings         []string
	}{
		"in parts":       {script("6106", "5532465f56329000"), script(selectApplet, "00c0000006"), "U2F_V2", nil},
		"class of CTAP":  {script("6106", "6e00", "5532465f56329000"), script(selectApplet, "00c0000006", "80c0000006"), "U2F_V2", []string{"GET RESPONSE: wanted in class 80, not 00"}},
		"another Le":     {script("6c06", "5532465f56329000"), script("00a4040008a0000006472f000100", "00a4040008a0000006472f000106"), "U2F_V2", nil},
		"a later one":    {script("4649444f5f325f319000"), script(selectApplet), "FIDO_2_1", []string{`SELECT: answered with version "FIDO_2_1"`}},
		"nothing at all": {script("9000"), script(selectApplet), "", []string{`SELECT: answered with version ""`}},
	} {
		t.Run(name, func(t *testing.T) {
			card := &fakeCard{responses: test.responses}
			ctx, seen := findings(t.Context())
			d, err := nfc.Open(ctx, card)
			if err != nil {
				t.Fatal(err)
			}
			if d.Version() != test.version {
				t.Errorf("version %q, want %q", d.Version(), test.version)
			}
			wantAPDUs(t, card, test.apdus...)
			wantFindings(t, *seen, test.findings...)
		})
	}
}

// TestGetResponseClass: which one the card takes is found out once.
func TestGetResponseClass(t *testing.T) {
	getInfo, iso, ctap := unhex("80108000010400"), unhex("00c0000001"), unhex("80c0000001")
	for _, refused := range []string{"6e00", "6d00"} {
		d, card := open(t, script("006101", refused, "a06101", "a19000"))
		ctx, seen := findings(t.Context())
		answer, err := d.Exchange(ctx, []byte{4})
		if err != nil || !bytes.Equal(answer, unhex("00a0a1")) {
			t.Errorf("%s: answer %x, error %v", refused, answer, err)
		}
		wantAPDUs(t, card, getInfo, iso, ctap, ctap)
		wantFindings(t, *seen, "GET RESPONSE: wanted in class 80, not 00")

		card.responses = script("006101", "a09000")
		if _, err := d.Exchange(ctx, []byte{4}); err != nil {
			t.Errorf("%s: next: %v", refused, err)
		}
		wantAPDUs(t, card, getInfo, ctap)
	}
	d, card := open(t, script("006101", "6d00"))
	if _, err := d.Exchange(t.Context(), []byte{4}); err == nil {
		t.Error("refused in both classes: no error")
	}
	wantAPDUs(t, card, getInfo, iso, ctap)
}

// TestAppletTakenAway: somebody selected another applet between two messages.
func TestAppletTakenAway(t *testing.T) {
	v := readVectors(t)
	for _, refused := range []string{"6985", "6999", "6d00", "6e00"} {
		d, card := open(t, script("00a09000"))
		ctx, seen := findings(t.Context())
		if _, err := d.Exchange(ctx, []byte{4}); err != nil {
			t.Fatal(err)
		}
		card.got = nil
		card.responses = script(refused, "5532465f56329000", "00a19000")
		answer, err := d.Exchange(ctx, []byte{4})
		if err != nil || !bytes.Equal(answer, unhex("00a1")) {
			t.Errorf("%s: answer %x, error %v", refused, answer, err)
		}
		wantAPDUs(t, card, v.GetInfoShort, v.Select, v.GetInfoShort)
		if len(*seen) != 1 {
			t.Errorf("%s: findings %q", refused, *seen)
		}
	}
}

func TestUnknownStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := open(t, script("099100", "099100", "019100", "00a09000"))
		ctx, seen := findings(t.Context())
		var statuses []transport.Status
		ctx = transport.WithStatus(ctx, func(s transport.Status) { statuses = append(statuses, s) })
		if _, err := d.Exchange(ctx, []byte{4}); err != nil {
			t.Error(err)
		}
		wantFindings(t, *seen, "status update: unknown status 0x09")
		if want := []transport.Status{9, 9, 1}; !slices.Equal(statuses, want) {
			t.Errorf("reported %v, want %v", statuses, want)
		}
	})
}
