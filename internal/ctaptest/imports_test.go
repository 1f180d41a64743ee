package ctaptest_test

import (
	"os/exec"
	"strings"
	"testing"
)

// rows are the table in ARCHITECTURE.md: a package takes only from lower rows.
var rows = [][]string{
	{"internal/ctapcbor", "internal/smallpages", "internal/term", "internal/virtualtime", "internal/winwebauthn", "internal/yamlfile", "transport", "metadata", "metadata/download", "entra/graph", "entra/entratest"},
	{"cose", "u2f", "transport/hid", "transport/nfc", "entra/usage"},
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
