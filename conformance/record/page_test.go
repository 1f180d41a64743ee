//go:build linux

package record

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/internal/chromiumtest"
)

// writePage writes the page of a key that fails, compared with one that does not.
func writePage(t *testing.T) (path string, r *Report) {
	t.Helper()
	r = runOf(t, wrong, some)
	r.result("MC-002").Outcome, r.result("MC-002").Reason = Warning, "<script>alert(1)</script>"
	r.Count()
	path = filepath.Join(t.TempDir(), "page.html")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := r.WriteHTML(f, runOf(t, "ctap-2.3", some)); err != nil {
		t.Fatal(err)
	}
	return path, r
}

// TestPageAlone: the page needs nothing from anywhere.
func TestPageAlone(t *testing.T) {
	path, _ := writePage(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if outside := regexp.MustCompile(`(?i)(src|href)="[^#"]|@import|url\(|https?://`).Find(text); outside != nil {
		t.Errorf("the page has %q", outside)
	}
	if !strings.Contains(string(text), "default-src 'none'") || strings.Contains(string(text), "<script>alert") {
		t.Error("the page could do more than it should")
	}
}

// TestPagePacked: what fails can be read without the script, what passes takes little
// space.
func TestPagePacked(t *testing.T) {
	path, r := writePage(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i := range r.Results {
		result := &r.Results[i]
		if result.Part != "" {
			continue
		}
		for _, m := range result.Messages {
			readable := result.Outcome == Fail || result.Outcome == Warning
			if !readable && (m.Bytes < 40 || m.From == "key") {
				continue // the same may be in others
			}
			if strings.Contains(string(text), ">"+m.Hex) != readable {
				t.Errorf("%s: %s: %s", result.ID(), result.Outcome, m.Headline())
			}
			seen[result.Outcome]++
		}
	}
	if seen[Pass] == 0 || seen[Fail] == 0 || seen[Warning] == 0 {
		t.Errorf("messages: %v", seen)
	}
}

// TestPageInChromium searches, hides, opens and follows links, in light and in dark.
// With FIDOKEY_SCREENSHOT=FOLDER pictures are left there.
func TestPageInChromium(t *testing.T) {
	path, r := writePage(t)
	b := chromiumtest.Open(t, "file://"+path)
	b.Await(`document.getElementById("count")?.textContent`, fmt.Sprintf("%d cases", r.Summary.Ran()+r.Summary.NotApplicable))
	shown := `[...document.querySelectorAll("#groups .case")].filter(e => !e.hidden).length`
	search := func(words string) string {
		return b.Eval(fmt.Sprintf(`(() => { const s = document.getElementById("search"); s.value = %q; s.dispatchEvent(new Event("input")); return %s })()`, words, shown))
	}
	for words, want := range map[string]string{
		"": fmt.Sprint(r.Summary.Ran() + r.Summary.NotApplicable), "MC-005": "1", "mc-00 missing_parameter": "3", "nothing-has-this": "0", "11.2.9.1.3": "4",
	} {
		if got := search(words); got != want {
			t.Errorf("search for %q shows %s cases, not %s", words, got, want)
		}
	}
	search("")
	hidePass := `(() => { const box = document.querySelector("input[value=pass]"); box.click(); return ` + shown + ` })()`
	if got := b.Eval(hidePass); got != fmt.Sprint(r.Summary.Ran()+r.Summary.NotApplicable-r.Summary.Pass) {
		t.Errorf("without passes %s cases are shown", got)
	}
	b.Eval(`document.querySelector("input[value=pass]").click()`)
	if first := b.Eval(`document.querySelector(".case").dataset.outcome`); first != "fail" {
		t.Errorf("the first case is one that is %s", first)
	}
	if b.Eval(`document.querySelectorAll("#comparison .fail").length`) == "0" {
		t.Error("no new failure is shown")
	}
	b.Eval(`location.hash = "#MC-005"`)
	b.Await(`document.getElementById("MC-005").open`, "true")
	if text := b.Eval(`document.getElementById("INF-001").textContent`); !strings.Contains(text, "authenticatorGetInfo") || !strings.Contains(text, "fidokey conformance run INF-001") {
		t.Errorf("the failure says %q", text)
	}
	passed := r.result("MC-005")
	exchange := `document.querySelector("[data-packed=MC-005]")`
	b.Eval(exchange + `.open = true`)
	b.Await(exchange+`.querySelectorAll("pre").length`, fmt.Sprint(len(passed.Messages)))
	if text := b.Eval(exchange + `.textContent`); !strings.Contains(text, passed.Messages[0].Headline()) || !strings.Contains(text, passed.Messages[0].BytesText()) {
		t.Errorf("the messages of a case that passes are %q", text)
	}
	if got := search(passed.Messages[0].Hex); got == "0" {
		t.Error("a search does not find the bytes of a case that passes")
	}
	search("")
	var colours []string
	for _, scheme := range []string{"light", "dark"} {
		b.Call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
		colours = append(colours, b.Eval(`getComputedStyle(document.body).backgroundColor`))
		if folder := os.Getenv("FIDOKEY_SCREENSHOT"); folder != "" {
			var shot struct{ Data string }
			b.Call("Page.captureScreenshot", nil, &shot)
			picture, err := base64.StdEncoding.DecodeString(shot.Data)
			if err == nil {
				err = os.WriteFile(filepath.Join(folder, scheme+".png"), picture, 0o600)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	if colours[0] != "rgb(255, 255, 255)" || colours[1] != "rgb(20, 23, 27)" {
		t.Errorf("light and dark are %v", colours)
	}
}
