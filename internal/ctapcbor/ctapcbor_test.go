package ctapcbor_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/internal/ctaptest"
)

type canonicalVectors struct {
	Valid, Invalid []struct {
		Desc string
		Cbor ctaptest.Hex
	}
}

func TestCheckCanonicalVectors(t *testing.T) {
	var v canonicalVectors
	ctaptest.Vectors(t, "cbor-canonical", &v)
	if len(v.Valid) == 0 || len(v.Invalid) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.Valid {
		if err := ctapcbor.CheckCanonical(c.Cbor, 4); err != nil {
			t.Errorf("%s: %v", c.Desc, err)
		}
		var decoded any
		if err := ctapcbor.Unmarshal(c.Cbor, &decoded); err != nil {
			t.Errorf("%s: %v", c.Desc, err)
			continue
		}
		if again, err := ctapcbor.Marshal(decoded); err != nil || !bytes.Equal(again, c.Cbor) {
			t.Errorf("%s: encoded again as %x, %v", c.Desc, again, err)
		}
	}
	for _, c := range v.Invalid {
		if err := ctapcbor.CheckCanonical(c.Cbor, 4); !errors.Is(err, ctapcbor.ErrNotCanonical) {
			t.Errorf("%s: %v", c.Desc, err)
		}
	}
}

func TestCheckCanonical(t *testing.T) {
	for _, tt := range []struct {
		cbor, want string // want: part of the error; empty: canonical
	}{
		{"00", ""}, {"17", ""}, {"1818", ""}, {"20", ""}, {"f4", ""}, {"f5", ""}, {"f6", ""},
		{"fa47c35000", ""}, {"fb3ff199999999999a", ""}, // floats keep their width
		{"f820", ""}, {"f81f", "two bytes"},
		{"190017", "shortest"}, {"1a0000ffff", "shortest"}, {"1b00000000ffffffff", "shortest"},
		{"5bffffffffffffffff00", "cut off"}, {"7affffffff", "cut off"},
		{"9bffffffffffffffff", "missing"}, {"bbffffffffffffffff", "missing"},
		{"a1", "missing"}, {"a100", "missing"}, {"18", "cut off"},
		{"62c328", "UTF-8"}, {"1c", "reserved"}, {"ff", "indefinite"},
		{"a24100016100", "missing"},
		{"a2410001610000", ""},
		{"a2610000410001", "out of order"},
		{"8180", ""}, {"", "missing"},
	} {
		data, err := hex.DecodeString(tt.cbor)
		if err != nil {
			t.Fatal(tt.cbor, err)
		}
		switch err := ctapcbor.CheckCanonical(data, 4); {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.cbor, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: error %v, want %q", tt.cbor, err, tt.want)
		}
	}
	deep := append(bytes.Repeat([]byte{0x81}, 100000), 0)
	if err := ctapcbor.CheckCanonical(deep, 4); err == nil {
		t.Error("100000 nested arrays pass")
	}
}

func TestUnmarshalIsLenient(t *testing.T) {
	for name, tt := range map[string]struct {
		cbor string
		want any
	}{
		"keys out of order":  {"a202010100", map[any]any{uint64(2): uint64(1), uint64(1): uint64(0)}},
		"long integer":       {"1817", uint64(23)},
		"indefinite map":     {"bf0102ff", map[any]any{uint64(1): uint64(2)}},
		"text cut in a rune": {"63" + "6161c3", "aa\xc3"},
	} {
		data, _ := hex.DecodeString(tt.cbor)
		var got any
		if err := ctapcbor.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// FuzzCheckCanonical compares our walk with the library: what is canonical
// decodes, and encodes to the same bytes.
func FuzzCheckCanonical(f *testing.F) {
	var v canonicalVectors
	ctaptest.Vectors(f, "cbor-canonical", &v)
	for _, c := range append(v.Valid, v.Invalid...) {
		f.Add([]byte(c.Cbor))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if ctapcbor.CheckCanonical(data, 8) != nil {
			return
		}
		if slices.ContainsFunc(data, oneGoValueForMany) {
			return
		}
		var decoded any
		if err := ctapcbor.Unmarshal(data, &decoded); err != nil {
			if strings.Contains(err.Error(), "map key") { // arrays as keys: Go has no such maps
				return
			}
			t.Fatalf("%x is canonical, but: %v", data, err)
		}
		again, err := ctapcbor.Marshal(decoded)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x encoded again as %x, %v", data, again, err)
		}
	})
}

// oneGoValueForMany names the initial bytes of the floats, which all decode to
// float64, and of undefined, which decodes to nil as null does.
func oneGoValueForMany(b byte) bool { return b == 0xf7 || 0xf9 <= b && b <= 0xfb }
