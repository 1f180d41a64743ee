//go:build linux

package chromiumtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A Tab of a real Chromium, steered by the DevTools protocol over a pipe: JSON with a
// zero byte behind it, in both directions.
type Tab struct {
	t       testing.TB
	to      *os.File
	from    *bufio.Reader
	session string
	last    int
}

// Open starts Chromium. Where there is none the test is skipped, but in CI.
func Open(t testing.TB, address string) *Tab {
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
	b := &Tab{t: t, to: to, from: bufio.NewReader(from)}
	stuck := time.AfterFunc(4*patience, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		stuck.Stop()
		b.session = ""
		b.Call("Browser.close", nil, nil)
		to.Close()
		cmd.Wait()
	})
	var target struct{ TargetID string }
	b.Call("Target.createTarget", map[string]any{"url": address}, &target)
	var attached struct{ SessionID string }
	b.Call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	return b
}

// Call sends a command and waits for its answer.
func (b *Tab) Call(method string, params, result any) {
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

// Eval runs a script in the page, and returns what it gives as text.
func (b *Tab) Eval(script string) string {
	b.t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	b.Call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", script, got.ExceptionDetails.Text)
	}
	return fmt.Sprint(got.Result.Value)
}

// patience is how long a page may take. Where all cores are busy, and Chromium has just been
// installed, half a minute was measured.
const patience = 90 * time.Second

// Await waits until a script gives a text that has words in it.
func (b *Tab) Await(script, words string) {
	b.t.Helper()
	got := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = b.Eval(script); strings.Contains(got, words) {
			return
		}
	}
	b.t.Fatalf("%s: %q, want %q", script, got, words)
}
