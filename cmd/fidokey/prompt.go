package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/term"
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
		f, err := os.Open(s.file)
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
		Touch: func(t client.Touch) {
			e.wait("Touch your security key...", eventTouch, map[string]any{"command": t.Command.String()})
		},
		Sample: func(s ctap2.SampleStatus, remaining uint) {
			e.wait(sampleInWords(s, remaining), eventSample, map[string]any{"status": s.String(), "remaining": remaining})
		},
	}
	if current != nil {
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
			e.live.stop()
			return typeTwice(ctx, fmt.Sprintf("New PIN (at least %d characters): ", r.MinLength))
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

func sampleInWords(s ctap2.SampleStatus, remaining uint) string {
	switch {
	case s != ctap2.SampleGood:
		return fmt.Sprintf("Once more, please: %v.", s)
	case remaining == 0:
		return "The finger is known."
	}
	return fmt.Sprintf("Lay the same finger on the sensor again, %d more times...", remaining)
}

// typeTwice asks for a new PIN on the terminal, twice.
func typeTwice(ctx context.Context, prompt string) ([]byte, error) {
	first, err := term.ReadSecret(ctx, prompt)
	if err != nil {
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
