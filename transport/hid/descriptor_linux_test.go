package hid

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/internal/ctaptest"
)

var descriptors = map[string]struct {
	descriptor string
	want       layout
	ok         bool
}{
	"usual": {
		keyDescriptor, layout{in: 64, out: 64}, true,
	},
	"usage page in four bytes": {
		"07d0f10000 0901 a101 0920 150026ff00 75089540 8102 0921 75089540 9102 c0", layout{in: 64, out: 64}, true,
	},
	"usage in two bytes": {
		"06d0f1 0a0100 a101 0920 75089540 8102 0921 9102 c0", layout{in: 64, out: 64}, true,
	},
	"usage with its page in four bytes": {
		"0b0100d0f1 a101 75089540 8102 9102 c0", layout{in: 64, out: 64}, true,
	},
	"usage before its page": {
		"0901 06d0f1 a101 75089540 8102 9102 c0", layout{in: 64, out: 64}, true,
	},
	"count in two bytes, other sizes": {
		"06d0f1 0901 a101 7508 960002 8102 9520 9102 c0", layout{in: 512, out: 32}, true,
	},
	"count in four bytes": {
		"06d0f1 0901 a101 7508 9740000000 8102 9102 c0", layout{in: 64, out: 64}, true,
	},
	"bits in several fields": {
		"06d0f1 0901 a101 7501 9509 8102 8102 7508 9540 9102 c0", layout{in: 3, out: 64}, true,
	},
	"report numbers": {
		"06d0f1 0901 a101 8503 7508 953f 8102 8504 953e 9102 c0", layout{in: 63, out: 62, inID: 3, outID: 4}, true,
	},
	"second report": {
		"06d0f1 0901 a101 8503 7508 953f 8102 9102 8505 8102 9102 c0", layout{in: 63, out: 63, inID: 3, outID: 3}, true,
	},
	"keyboard first": {
		"05010906a101 7508 9508 8102 9101 c0" + keyDescriptor, layout{in: 64, out: 64}, true,
	},
	"keyboard behind": {
		keyDescriptor + "05010906a101 7508 9508 8102 9101 c0", layout{in: 64, out: 64}, true,
	},
	"nested collection": {
		"06d0f1 0901 a101 0920 a100 7508 9540 8102 c0 9102 c0", layout{in: 64, out: 64}, true,
	},
	"pushed and popped": {
		"7508 9540 a4 7501 9501 b4 06d0f1 0901 a101 8102 9102 c0", layout{in: 64, out: 64}, true,
	},
	"long item": {
		"fe03aa010203 06d0f1 0901 a101 75089540 8102 9102 c0", layout{in: 64, out: 64}, true,
	},
	"without end": {
		"06d0f1 0901 a101 75089540 8102 9102", layout{in: 64, out: 64}, true,
	},
	"empty":                   {"", layout{}, false},
	"keyboard":                {"05010906a101 75089508 8102 9101 c0", layout{}, false},
	"other usage":             {"06d0f1 0902 a101 75089540 8102 9102 c0", layout{}, false},
	"no usage":                {"06d0f1 a101 75089540 8102 9102 c0", layout{}, false},
	"second usage":            {"06d0f1 0902 0901 a101 75089540 8102 9102 c0", layout{}, false},
	"usage of an outer item":  {"06d0f1 0901 8102 a101 75089540 8102 9102 c0", layout{}, false},
	"inside a keyboard":       {"05010906a101 06d0f10901a101 75089540 8102 9102 c0 c0", layout{}, false},
	"no output":               {"06d0f1 0901 a101 75089540 8102 c0", layout{}, false},
	"reports beyond measure":  {"06d0f1 0901 a101 77ffffffff 97ffffffff 8102 8102 9102 c0", layout{}, false},
	"cut off":                 {"06d0f1 0901 a101 7508 97400000", layout{}, false},
	"cut off long item":       {"06d0f1 0901 a101 fe", layout{}, false},
	"cut off long item's end": {"06d0f1 0901 a101 fe05aa01", layout{}, false},
	"pushes without end":      {strings.Repeat("a4", 100) + keyDescriptor, layout{}, false},
}

func TestParseDescriptor(t *testing.T) {
	for name, test := range descriptors {
		descriptor, err := hex.DecodeString(strings.ReplaceAll(test.descriptor, " ", ""))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, ok := parseDescriptor(descriptor); got != test.want || ok != test.ok {
			t.Errorf("%s: %+v, %v, want %+v, %v", name, got, ok, test.want, test.ok)
		}
	}
	var v struct{ ReportDescriptor ctaptest.Hex }
	ctaptest.Vectors(t, "ctaphid", &v)
	if got, ok := parseDescriptor(v.ReportDescriptor); !ok || got != (layout{in: 64, out: 64}) {
		t.Errorf("known answer: %+v, %v", got, ok)
	}
}

func FuzzDescriptor(f *testing.F) {
	for _, test := range descriptors {
		if descriptor, err := hex.DecodeString(strings.ReplaceAll(test.descriptor, " ", "")); err == nil {
			f.Add(descriptor)
		}
	}
	f.Fuzz(func(t *testing.T, descriptor []byte) {
		got, ok := parseDescriptor(descriptor)
		if !ok && got != (layout{}) {
			t.Errorf("%+v of a device that is no key", got)
		}
		if ok && (got.in < 1 || got.in > 4096 || got.out < 1 || got.out > 4096) {
			t.Errorf("reports of %d and %d bytes", got.in, got.out)
		}
	})
}
