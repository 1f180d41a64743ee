// Package term asks a person on the controlling terminal, not on stdin, so that
// a pipe into or out of the program changes nothing.
package term

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// ErrNoTerminal is returned when there is nobody to ask.
var ErrNoTerminal = errors.New("no terminal to ask on")

// ReadSecret prints prompt on the terminal and returns the line that is typed,
// without showing it. When ctx ends it puts the terminal back as it was and
// returns the cause.
func ReadSecret(ctx context.Context, prompt string) ([]byte, error) {
	in, out, err := open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoTerminal, err)
	}
	defer func() {
		out.Close()
		if in != out {
			in.Close()
		}
	}()
	fd := int(in.Fd())
	// What is typed as soon as the prompt stands there must not be shown, so the
	// echo goes before the prompt comes.
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoTerminal, err)
	}
	defer fmt.Fprintln(out)
	defer term.Restore(fd, before)
	fmt.Fprint(out, prompt)

	type line struct {
		text []byte
		err  error
	}
	typed := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		typed <- line{text, err}
	}()
	select {
	case l := <-typed:
		return l.text, l.err
	case <-ctx.Done():
		// The read cannot be interrupted; it ends with the program.
		return nil, context.Cause(ctx)
	}
}

// ReadLine prints prompt on the terminal and returns the line that is typed. When
// ctx ends it returns the cause.
func ReadLine(ctx context.Context, prompt string) (string, error) {
	in, out, err := open()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoTerminal, err)
	}
	fmt.Fprint(out, prompt)
	type line struct {
		text string
		err  error
	}
	typed := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(in).ReadString('\n')
		typed <- line{strings.TrimRight(text, "\r\n"), err}
		out.Close()
		if in != out {
			in.Close()
		}
	}()
	select {
	case l := <-typed:
		return l.text, l.err
	case <-ctx.Done():
		// The read cannot be interrupted; it ends with the program.
		fmt.Fprintln(out)
		return "", context.Cause(ctx)
	}
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
