package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/term"
	"github.com/fidokey/fidokey/pin"
)

// pinSource is where a PIN comes from: the terminal, unless a flag says
// otherwise. A PIN is never a flag's value.
type pinSource struct {
	file, variable string
	stdin          bool
}

// addFlags gives cmd --PREFIX-file, --PREFIX-stdin and --PREFIX-env.
func (s *pinSource) addFlags(cmd *cobra.Command, prefix, what string) {
	flags := cmd.Flags()
	flags.StringVar(&s.file, prefix+"-file", "", "read "+what+" from the first line of a file")
	flags.BoolVar(&s.stdin, prefix+"-stdin", false, "read "+what+" from a line of standard input")
	flags.StringVar(&s.variable, prefix+"-env", "", "read "+what+" from an environment variable")
	cmd.MarkFlagsMutuallyExclusive(prefix+"-file", prefix+"-stdin", prefix+"-env")
}

func (s *pinSource) given() bool { return s.file != "" || s.stdin || s.variable != "" }

// maxPINLine is more than any PIN with its line end.
const maxPINLine = 1024

// read returns the PIN from where the flags say. Only given sources are read.
func (s *pinSource) read(e *env) (entered []byte, err error) {
	switch {
	case s.file != "":
		f, err := openFile(s.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		entered, err = readLine(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.file, err)
		}
	case s.stdin:
		if entered, err = readLine(e.stdin); err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
	default:
		value, ok := os.LookupEnv(s.variable)
		if !ok {
			return nil, fmt.Errorf("the environment variable %s is not set", s.variable)
		}
		entered = []byte(value)
	}
	if len(entered) == 0 {
		return nil, errors.New("the PIN is empty")
	}
	return entered, nil
}

// readLine returns the first line of r without its end. It reads byte by byte, so
// that the next line is left for the next PIN.
func readLine(r io.Reader) ([]byte, error) {
	line := make([]byte, 0, maxPINLine)
	for b := make([]byte, 1); len(line) < maxPINLine; {
		switch n, err := r.Read(b); {
		case n == 1 && b[0] == '\n', errors.Is(err, io.EOF):
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		case err != nil:
			return nil, err
		case n == 1:
			line = append(line, b[0])
		}
	}
	clear(line)
	return nil, fmt.Errorf("the first line has more than %d bytes: that is no PIN", maxPINLine)
}

// prompt returns how a flow reaches the person at this terminal. A source that
// the command has no flags for is nil.
func (e *env) prompt(current, next *pinSource) client.Prompt {
	p := client.Prompt{
		Touch: e.askTouch,
		Processing: func(c ctap2.Command) {
			if e.events() {
				e.event(eventProcessing, map[string]any{"command": c.String()})
			}
		},
		Sample: func(s ctap2.SampleStatus, remaining uint) {
			e.wait(sampleInWords(s, remaining), eventSample, map[string]any{"status": s.String(), "remaining": remaining})
		},
		Replug: e.askReplug,
	}
	if current != nil {
		e.pinGiven = current.given()
		p.PIN = func(ctx context.Context, r client.PINRequest) ([]byte, error) {
			if current.given() {
				e.note("PIN: %v.", r.Retries)
				return current.read(e)
			}
			e.live.stop()
			return term.ReadSecret(ctx, fmt.Sprintf("PIN (%v): ", r.Retries))
		}
	}
	if next != nil {
		p.NewPIN = func(ctx context.Context, r client.NewPINRequest) ([]byte, error) {
			if next.given() {
				return next.read(e)
			}
			if r.Complexity {
				e.note("%s", complexityInWords(r.PolicyURL))
			}
			e.live.stop()
			rules := &ctap2.GetInfoResponse{MinPINLength: &r.MinLength}
			if r.MaxLength != 0 {
				rules.MaxPINLength = &r.MaxLength
			}
			return typeTwice(ctx, fmt.Sprintf("New PIN (%s): ", lengthInWords(r.MinLength, r.MaxLength)), rules)
		}
	}
	return p
}

// askInTurn is prompt for one of several keys that are asked at the same time: it
// says which key the PIN is for, and waits until no other is asked for.
func (e *env) askInTurn(prompt client.Prompt, asking *sync.Mutex, device deviceInfo) client.Prompt {
	ask := prompt.PIN
	if ask == nil {
		return prompt
	}
	prompt.PIN = func(ctx context.Context, r client.PINRequest) ([]byte, error) {
		asking.Lock()
		defer asking.Unlock()
		e.note("%s  %s", device.Path, device.name())
		return ask(ctx, r)
	}
	return prompt
}

// A heldPIN is for commands that need several tokens one after the other, as
// reading the list of credentials and writing a large blob: the person is asked
// once. No second token is got when the first was refused, so that no PIN is
// tried twice.
type heldPIN struct{ entered []byte }

// hold is prompt with a memory.
func (h *heldPIN) hold(prompt client.Prompt) client.Prompt {
	ask := prompt.PIN
	prompt.PIN = func(ctx context.Context, r client.PINRequest) ([]byte, error) {
		if h.entered == nil {
			entered, err := ask(ctx, r)
			if err != nil {
				return nil, err
			}
			h.entered = entered
		}
		return bytes.Clone(h.entered), nil
	}
	return prompt
}

func (h *heldPIN) forget() { clear(h.entered) }

// askTouch says that the key waits for a touch.
func (e *env) askTouch(t client.Touch) {
	fields := map[string]any{"command": t.Command.String()}
	words := "Touch your security key..."
	var end time.Time
	if t.Command == ctap2.CommandReset {
		words, end = "Touch your security key to reset it...", e.deadline()
	}
	switch {
	case t.Long:
		fields["long"] = true
		words = "Touch your security key, and leave the finger there for five seconds..."
	case t.Command == ctap2.CommandClientPIN:
		words = "Lay a finger that the key knows on the sensor..."
	case t.Command == ctap2.CommandBioEnrollment || t.Command == ctap2.CommandBioEnrollmentPreview:
		if e.live.sampled() && !e.events() {
			return // what is to be done next has been said with the sample
		}
		words = "Lay the finger on the sensor..."
	}
	e.waitUntil(end, words, eventTouch, fields)
}

// deadline is when a command that begins now has taken too long.
func (e *env) deadline() time.Time { return time.Now().Add(e.global.timeout) }

// askReplug says what is to be done with the plug, for a reset.
func (e *env) askReplug(r client.Replug) {
	if r == client.PlugIn {
		e.waitUntil(e.deadline(), "Plug it in again, and touch it as soon as it blinks...", eventReinsert, map[string]any{"stage": "insert"})
		return
	}
	e.waitUntil(e.deadline(), "Unplug your security key...", eventReinsert, map[string]any{"stage": "remove"})
}

func sampleInWords(s ctap2.SampleStatus, remaining uint) string {
	switch {
	case s == ctap2.SampleExists:
		return "The key knows this finger already; lay another one on the sensor..."
	case s != ctap2.SampleGood && remaining == 0:
		return fmt.Sprintf("The sensor says: %v.", s)
	case s != ctap2.SampleGood:
		return fmt.Sprintf("Once more, please: %v (%d more)...", s, remaining)
	case remaining == 0:
		return "The finger is known."
	}
	return fmt.Sprintf("Lift the finger and lay it on the sensor again (%d more)...", remaining)
}

// lengthInWords is how long a PIN must be.
func lengthInWords(least, most uint) string {
	if most == 0 {
		return fmt.Sprintf("at least %d characters, at most %d bytes", least, ctap2.MaxPINBytes)
	}
	return fmt.Sprintf("%d to %d characters", least, most)
}

// complexityInWords tells of rules that only the key knows.
func complexityInWords(url string) string {
	s := "This key refuses PINs that are too simple, such as 123456 and 111111."
	if url != "" {
		s += " Its maker has the rules at " + url
	}
	return s
}

// typeTwice asks for a new PIN on the terminal, and once more if the key would
// take it.
func typeTwice(ctx context.Context, prompt string, rules *ctap2.GetInfoResponse) ([]byte, error) {
	first, err := term.ReadSecret(ctx, prompt)
	if err != nil {
		return nil, err
	}
	if err := pin.Check(rules, first); err != nil {
		clear(first)
		return nil, err
	}
	second, err := term.ReadSecret(ctx, "The same PIN again: ")
	if err != nil {
		return nil, err
	}
	defer clear(second)
	if !bytes.Equal(first, second) {
		clear(first)
		return nil, errors.New("the two PINs are not the same; nothing was changed")
	}
	return first, nil
}
