package ctaptest_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rows are the table in ARCHITECTURE.md: a package takes only from lower rows.
var rows = [][]string{
	{"internal/boltfile", "internal/ctapcbor", "internal/smallpages", "internal/term", "internal/virtualtime", "internal/winwebauthn", "internal/yamlfile", "transport", "metadata/download", "entra/graph", "entra/entratest"},
	{"cose", "u2f", "transport/hid", "transport/nfc", "metadata", "entra/usage"},
	{"ctap2"},
	{"pin", "trace"},
	{"client", "simulator", "conformance"},
	{"webauthn", "simulator/control", "conformance/simulated", "conformance/record"},
	{"relyingparty", "entra", "entra/enrol", "bench"},
	{"cmd/fidokey"},
}

func TestImports(t *testing.T) {
	const module = "github.com/fidokey/fidokey/"
	row := map[string]int{}
	for n, packages := range rows {
		for _, p := range packages {
			row[p] = n
		}
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		packages := strings.Fields(line)
		from := strings.TrimPrefix(packages[0], module)
		if from == "internal/ctaptest" || from == "internal/pcsctest" || from == "internal/mdstest" || from == "internal/chromiumtest" || from == "internal/hostiletest" || strings.HasPrefix(from, "test/") {
			continue
		}
		n, ok := row[from]
		if !ok {
			t.Errorf("%s is in no row", from)
			continue
		}
		seen++
		for _, p := range packages[1:] {
			to, ours := strings.CutPrefix(p, module)
			if m, ok := row[to]; ours && (!ok || m >= n) {
				t.Errorf("%s (row %d) imports %s (row %d)", from, n, to, m)
			}
		}
	}
	if seen != len(row) {
		t.Errorf("%d packages found, %d in the table", seen, len(row))
	}
}

// TestHouse: the picture in ARCHITECTURE.md has the rows as they are.
func TestHouse(t *testing.T) {
	picture, err := os.ReadFile("../../docs/house.svg")
	if err != nil {
		t.Fatal(err)
	}
	room := regexp.MustCompile(`<text class="package"[^>]*>([^<]+)</text>`)
	for n, packages := range rows {
		_, row, _ := strings.Cut(string(picture), fmt.Sprintf(`<g id="row-%d">`, n))
		row, _, _ = strings.Cut(row, "</g>")
		var drawn []string
		for _, m := range room.FindAllStringSubmatch(row, -1) {
			drawn = append(drawn, m[1])
		}
		slices.Sort(drawn)
		if want := slices.Sorted(slices.Values(packages)); !slices.Equal(drawn, want) {
			t.Errorf("row %d has %q, and the picture %q", n, want, drawn)
		}
	}
}
