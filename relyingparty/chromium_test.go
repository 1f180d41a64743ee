//go:build linux

package relyingparty_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A tab of a real Chromium, steered by the DevTools protocol over a pipe: JSON with a
// zero byte behind it, in both directions.
type tab struct {
	t       *testing.T
	to      *os.File
	from    *bufio.Reader
	session string
	last    int
}

// openTab starts Chromium. Where there is none the test is skipped, but in CI.
func openTab(t *testing.T, address string) *tab {
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	commands, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, events, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--window-size=1100,1700", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{commands, events} // 3 and 4
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	commands.Close()
	events.Close()
	b := &tab{t: t, to: to, from: bufio.NewReader(from)}
	stuck := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		stuck.Stop()
		b.session = ""
		b.call("Browser.close", nil, nil)
		to.Close()
		cmd.Wait()
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": address}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	return b
}

// call sends a command and waits for its answer.
func (b *tab) call(method string, params, result any) {
	b.t.Helper()
	b.last++
	message := map[string]any{"id": b.last, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	for {
		text, err := b.from.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("%s: Chromium is gone: %v", method, err)
		}
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(text[:len(text)-1], &answer); err != nil {
			b.t.Fatal(err)
		}
		if answer.ID != b.last {
			continue // an event
		}
		if answer.Error != nil {
			b.t.Fatalf("%s: %s", method, answer.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(answer.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
		return
	}
}

// eval runs a script in the page, and returns what it gives as text.
func (b *tab) eval(script string) string {
	b.t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	b.call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", script, got.ExceptionDetails.Text)
	}
	return fmt.Sprint(got.Result.Value)
}

// await waits until a script gives a text that has words in it.
func (b *tab) await(script, words string) {
	b.t.Helper()
	got := ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = b.eval(script); strings.Contains(got, words) {
			return
		}
	}
	b.t.Fatalf("%s: %q, want %q", script, got, words)
}

const (
	verdict = `document.getElementById("verdict")?.textContent`
	failing = `document.querySelectorAll("#checks .fail").length`
)

// TestChromium registers and signs in with a real browser, whose key is its own
// virtual one. With FIDOKEY_SCREENSHOT=FILE a picture of the page is left there.
func TestChromium(t *testing.T) {
	s := newSite(t)
	b := openTab(t, s.browser.Origin+"/")
	b.call("WebAuthn.enable", map[string]any{"enableUI": false}, nil)
	b.call("WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{
		"protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "usb", "hasResidentKey": true, "hasUserVerification": true,
		"hasLargeBlob": true, "hasPrf": true, "isUserVerified": true, "automaticPresenceSimulation": true,
	}}, nil)
	b.await("document.readyState", "complete") // so page.js has run
	b.await(verdict, "Nothing yet.")

	evil := `<img src=x onerror=document.title='evil'>`
	b.eval(`document.querySelector("#register [name=user]").value = ` + string(mustJSON(evil)) + `;
		document.querySelector("#register [name=residentKey]").value = "required";
		document.querySelector("#register [name=prf]").click();
		document.querySelector("#register [name=largeBlob]").click();
		document.querySelector("#register button").click()`)
	b.await(verdict, "The registration of "+evil+" is accepted.")
	if rows := b.eval(`document.querySelectorAll("#checks tbody tr").length`); rows != "27" || b.eval(failing) != "0" {
		t.Errorf("%s checks, %s fail", rows, b.eval(failing))
	}
	if facts := b.eval(`document.getElementById("facts").textContent`); !strings.Contains(facts, `prf{"enabled":true`) || !strings.Contains(facts, `largeBlob{"supported":true`) {
		t.Errorf("facts: %s", facts)
	}
	b.await(`document.querySelector("#credentials tbody").textContent`, evil)
	if title, images := b.eval("document.title"), b.eval(`document.querySelectorAll("img").length`); title != "fidokey relying party" || images != "0" {
		t.Errorf("a name became a part of the page: %q, %s images", title, images)
	}
	if file := os.Getenv("FIDOKEY_SCREENSHOT"); file != "" {
		var picture struct{ Data string }
		b.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &picture)
		png, err := base64.StdEncoding.DecodeString(picture.Data)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, png, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	b.eval(`document.querySelector("#authenticate [name=userVerification]").value = "required"; document.querySelector("#authenticate button").click()`)
	b.await(verdict, "The sign-in of "+evil+" is accepted.")
	b.eval(`document.querySelector("#authenticate [name=allow]").click(); document.querySelector("#authenticate button").click()`)
	b.await(`document.querySelector("#credentials tbody tr").children[4].textContent`, "2")
	if len(s.told) != 3 {
		t.Errorf("the server was told of %d ceremonies", len(s.told))
	}
	b.eval(`document.querySelector("#register [name=exclude]").click(); document.querySelector("#register button").click()`)
	b.await(verdict, "InvalidStateError")
	b.eval(`document.getElementById("reset").click()`)
	b.await(verdict, "Nothing is registered any more.")
	b.await(`String(document.querySelectorAll("#credentials tbody tr").length)`, "0")
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
