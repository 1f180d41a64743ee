package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/briandowns/spinner"
	"github.com/fatih/color"
	"golang.org/x/term"
)

// The events of --events jsonl, each a line of JSON on standard error with the
// member "event". docs/schema has their JSON Schema.
const (
	eventTouch      = "touch"      // the key waits for a touch: command
	eventProcessing = "processing" // the key works: command
	eventSample     = "sample"     // of a finger: status, remaining
	eventReinsert   = "reinsert"   // stage: "remove", "insert", "reset"
	eventEnrolment  = "enrolment"  // of many users: stage, left, station, user, device, error
	eventNote       = "note"       // message
	eventProgress   = "progress"   // of many cases: case, done, total, failed
	eventError      = "error"      // as in the answer of --json
	eventDone       = "done"       // exitCode
)

// live says what a command waits for: in words, on a terminal with a spinner
// beside them, or as events. The same words are not said twice in a row.
type live struct {
	mu      sync.Mutex
	last    string
	sample  bool // of a finger was told
	spinner *spinner.Spinner
}

// wait says what the person is to do, or to wait for.
func (e *env) wait(words, event string, fields map[string]any) {
	e.waitUntil(time.Time{}, words, event, fields)
}

// waitUntil is wait for what must be done before a certain time: a line that moves
// has the seconds that are left.
func (e *env) waitUntil(end time.Time, words, event string, fields map[string]any) {
	if e.events() {
		e.event(event, fields)
		return
	}
	l := &e.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if words == l.last {
		return
	}
	l.last, l.sample = words, l.sample || event == eventSample
	if !e.liveTerminal() || !e.fitsLine(words+secondsLeft(end)) {
		l.end()
		fmt.Fprintln(e.stderr, words)
		return
	}
	if l.spinner == nil {
		color.NoColor = true // the spinner's white is not seen on white, and it does not know NO_COLOR
		l.spinner = spinner.New(spinner.CharSets[11], 100*time.Millisecond, spinner.WithWriterFile(e.stderr.(*os.File)), spinner.WithHiddenCursor(false))
	}
	l.spinner.Lock()
	l.spinner.PreUpdate = func(s *spinner.Spinner) { s.Suffix = " " + words + secondsLeft(end) }
	l.spinner.Unlock()
	l.spinner.Start()
}

// secondsLeft is empty if there is no end.
func secondsLeft(end time.Time) string {
	if end.IsZero() {
		return ""
	}
	return fmt.Sprintf(" (%d s)", max(0, int(time.Until(end).Round(time.Second).Seconds())))
}

// stop ends the line of the spinner; it is called before anything else is printed.
func (l *live) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spinner != nil {
		l.last = "" // the line is gone; whoever waits again must be told again
	}
	l.end()
}

func (l *live) end() {
	if l.spinner != nil {
		l.spinner.Stop()
		l.spinner = nil
	}
}

// sampled reports whether a sample of a finger was told of.
func (l *live) sampled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sample
}

// fitsLine reports whether words fit on a line of the terminal beside the spinner,
// which takes its own width for five columns. It cannot take back a longer line.
func (e *env) fitsLine(words string) bool {
	width, _, err := term.GetSize(int(e.stderr.(*os.File).Fd()))
	return err != nil || len(words)+5 <= width
}

// liveTerminal reports whether stderr is a terminal that a line can move on.
func (e *env) liveTerminal() bool {
	f, ok := e.stderr.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// note says something that is worth knowing and is no result.
func (e *env) note(format string, args ...any) {
	e.live.stop()
	text := fmt.Sprintf(format, args...)
	if e.events() {
		e.event(eventNote, map[string]any{"message": text})
		return
	}
	fmt.Fprintln(e.stderr, printable(text))
}

func (e *env) events() bool { return e.global.events == "jsonl" }

// event writes one line of JSON.
func (e *env) event(name string, fields map[string]any) {
	line := map[string]any{"event": name}
	maps.Copy(line, fields)
	text, err := json.Marshal(line)
	if err != nil {
		return // of strings and numbers only
	}
	e.live.mu.Lock()
	defer e.live.mu.Unlock()
	fmt.Fprintf(harmless{e.stderr}, "%s\n", text)
}
