package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// schemaVersion is the version of what --json prints. docs/schema has the JSON
// Schema; a member may be added within a version, none may change or go.
const schemaVersion = 1

// A report is what a command found: print is for people, its fields are for JSON.
type report interface{ print(w *printer) }

// answer is what --json prints.
type answer struct {
	Fidokey int    `json:"fidokey"` // schemaVersion
	Command string `json:"command"`
	keyAnswer
	// Results has an entry for each key with --all.
	Results []keyAnswer `json:"results,omitempty"`
}

// keyAnswer is what one key had to say. A command that is about no key has no
// Device.
type keyAnswer struct {
	Device *deviceInfo `json:"device,omitempty"`
	Result report      `json:"result,omitempty"`
	Error  *errorJSON  `json:"error,omitempty"` // with --all only
}

// errorJSON is an error in JSON.
type errorJSON struct {
	Message  string `json:"message"`
	ExitCode int    `json:"exitCode"`
	Status   *uint8 `json:"status,omitempty"`  // of CTAP
	Retries  *uint  `json:"retries,omitempty"` // PIN tries that are left
	Hint     string `json:"hint,omitempty"`
}

func newErrorJSON(err error) *errorJSON {
	code, hint := classify(err)
	j := &errorJSON{Message: err.Error(), ExitCode: code, Hint: hint}
	var refused *ctap2.Error
	if errors.As(err, &refused) {
		j.Status = new(uint8(refused.Status))
	}
	var wrong *pin.Error
	if errors.As(err, &wrong) {
		j.Retries = &wrong.Retries.Left
	}
	return j
}

// say prints the one answer of a command.
func (e *env) say(device *deviceInfo, r report) error {
	e.live.stop()
	if e.global.json {
		return e.writeJSON(answer{Fidokey: schemaVersion, Command: e.command, keyAnswer: keyAnswer{Device: device, Result: r}})
	}
	return e.print(r)
}

func (e *env) print(r report) error {
	p := newPrinter(e.stdout)
	r.print(p)
	return p.flush()
}

func (e *env) writeJSON(v any) error {
	encoder := json.NewEncoder(harmless{e.stdout})
	encoder.SetEscapeHTML(false)
	if !e.jsonLines {
		encoder.SetIndent("", "  ")
	}
	return encoder.Encode(v)
}

// harmless writes JSON, in which it escapes what a terminal might obey: encoding/json
// leaves the controls of ISO 6429 (U+0080 to U+009F) as they are, and what turns the
// direction of writing. Outside of strings JSON has nothing of the kind.
type harmless struct{ w io.Writer }

// Write goes by parts, since a long answer may become twice as long.
func (h harmless) Write(text []byte) (n int, err error) {
	const part = 64 << 10
	for n < len(text) && err == nil {
		end := min(n+part, len(text))
		for end < len(text) && !utf8.RuneStart(text[end]) {
			end--
		}
		_, err = h.w.Write(escapeUnprintable(text[n:end]))
		n = end
	}
	return n, err
}

func escapeUnprintable(text []byte) []byte {
	obeyed := func(r rune) bool { return r >= 0x7f && !unicode.IsPrint(r) }
	if !bytes.ContainsFunc(text, obeyed) {
		return text
	}
	var out []byte
	for _, r := range string(text) {
		if !obeyed(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}

// onKey runs a command on the key that is meant, and prints what it found; a nil
// report prints nothing.
func (e *env) onKey(ctx context.Context, prompt client.Prompt, do func(ctx context.Context, key *openedKey) (report, error)) error {
	return e.withKey(ctx, prompt, func(key *openedKey) error {
		r, err := do(ctx, key)
		if r != nil {
			err = errors.Join(e.say(&key.device, r), err)
		}
		return err
	})
}

// addAllFlag gives a command that changes nothing --all.
func addAllFlag(e *env, cmd *cobra.Command) {
	cmd.Flags().BoolVar(&e.all, "all", false, "ask every key that is plugged in, all at the same time")
}

// onKeys is onKey for commands that change nothing: with --all every key is
// asked, and one that fails does not hold up the others.
func (e *env) onKeys(ctx context.Context, prompt client.Prompt, read func(ctx context.Context, key *openedKey) (report, error)) error {
	if !e.all {
		return e.onKey(ctx, prompt, read)
	}
	places, err := e.places(ctx)
	if err != nil {
		return err
	}
	if len(places) == 0 {
		return errNoKey
	}
	return e.onAll(ctx, places, prompt, read)
}

// onAll asks all keys at the same time.
func (e *env) onAll(ctx context.Context, places []place, prompt client.Prompt, read func(ctx context.Context, key *openedKey) (report, error)) error {
	answers, failures := make([]keyAnswer, len(places)), make([]error, len(places))
	var every sync.WaitGroup
	var asking sync.Mutex
	for i, place := range places {
		prompt := e.askInTurn(prompt, &asking, place.device)
		every.Go(func() {
			answers[i].Device = &place.device
			answers[i].Result, failures[i] = e.atPlace(ctx, place, prompt, read)
			if failures[i] != nil {
				answers[i].Error = newErrorJSON(failures[i])
			}
		})
	}
	every.Wait()
	e.live.stop()
	var err error
	if e.global.json {
		err = e.writeJSON(answer{Fidokey: schemaVersion, Command: e.command, Results: answers})
	} else {
		err = e.printAll(answers)
	}
	return errors.Join(append(failures, err)...)
}

// atPlace opens one of several keys and reads.
func (e *env) atPlace(ctx context.Context, p place, prompt client.Prompt, read func(ctx context.Context, key *openedKey) (report, error)) (report, error) {
	key, err := p.open(ctx, prompt)
	if err != nil {
		return nil, err
	}
	r, err := read(ctx, key)
	if err = errors.Join(err, key.Close()); err != nil {
		err = fmt.Errorf("%s: %w", p.device.Path, err)
	}
	return r, err
}

// printAll prints the answers one below the other.
func (e *env) printAll(answers []keyAnswer) error {
	for i, a := range answers {
		if i > 0 {
			fmt.Fprintln(e.stdout)
		}
		fmt.Fprintf(e.stdout, "== %s  %s\n", a.Device.Path, a.Device.name())
		if a.Result == nil {
			continue // the error comes on stderr
		}
		if err := e.print(a.Result); err != nil {
			return err
		}
	}
	return nil
}

// done is the report of a command that changed something and has nothing else to
// tell: one sentence.
type done struct {
	Done string `json:"done"`
}

func (d done) print(w *printer) { fmt.Fprintln(w, d.Done) }

// dryDone is done with --dry-run: what would have been.
type dryDone struct {
	done
	DryRun bool `json:"dryRun"`
}

func dry(format string, args ...any) report {
	return dryDone{done{"Nothing was done. " + fmt.Sprintf(format, args...)}, true}
}
