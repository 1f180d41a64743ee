package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/u2f"
)

type rawOptions struct {
	in   string
	u2f  bool
	ping int // bytes; -1: none
}

func newRawCmd(e *env) *cobra.Command {
	var o rawOptions
	cmd := &cobra.Command{
		Use:   "raw {COMMAND [PARAMETERS] | --u2f APDU | --ping BYTES}",
		Short: "Send a command as it is, and show the answer",
		Long: `Send a command as it is, and show the status and the answer, in diagnostic
notation of CBOR and in hexadecimal.

COMMAND is a name of the specification (getInfo, authenticatorClientPIN) or a
number (0x04). PARAMETERS are CBOR in hexadecimal or in diagnostic notation, which
is encoded canonically: {1: h'00ff', 2: ["text", -7, true]}. --in reads them from a
file, which may also hold the CBOR itself, or from standard input ('-').

Commands that may change or destroy something ask for agreement: reset, config, a
change of credentials, fingerprints or large blobs, and all that a maker has for
himself (0x40 to 0xbf).`,
		Example: `  fidokey raw getInfo
  fidokey raw clientPIN '{1: 2, 2: 1}'
  fidokey raw 0x0a a10101 --json
  fidokey raw --u2f 00030000000000
  fidokey raw --ping 1024`,
		Args:              cobra.MaximumNArgs(2),
		ValidArgsFunction: completeCommand,
		RunE:              func(cmd *cobra.Command, args []string) error { return runRaw(cmd.Context(), e, o, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.in, "in", "", "read the parameters, or the APDU, from a file; '-' is standard input")
	flags.BoolVar(&o.u2f, "u2f", false, "send an APDU of U2F, in hexadecimal")
	flags.IntVar(&o.ping, "ping", -1, "send so many random bytes, which must come back")
	cmd.MarkFlagsMutuallyExclusive("u2f", "ping")
	cmd.MarkFlagsMutuallyExclusive("in", "ping")
	addChangeFlags(e, cmd, true)
	return cmd
}

// A rawReport is the answer of "raw".
type rawReport struct {
	Command string      `json:"command"`
	Sent    ctap2.Bytes `json:"sent"` // what the transport carries
	// Status is the name, Code the number. They are absent when nothing was sent.
	Status     string       `json:"status,omitempty"`
	Code       *uint        `json:"code,omitempty"`
	Answer     *ctap2.Bytes `json:"answer,omitempty"` // behind the status
	Diagnostic string       `json:"diagnostic,omitempty"`
	Micros     int64        `json:"microseconds,omitempty"` // until the answer
}

func (r *rawReport) print(w *printer) {
	if r.Code == nil {
		w.line("Command", "%s", r.Command)
		w.line("Would send", "%x", []byte(r.Sent))
		return
	}
	w.line("Status", "%s (0x%02x)", r.Status, *r.Code)
	if len(*r.Answer) > 0 {
		w.line("Answer", "%d bytes in %.1f ms", len(*r.Answer), float64(r.Micros)/1000)
		if r.Diagnostic != "" {
			w.printf("%s", r.Diagnostic)
		}
		w.printf("%x", []byte(*r.Answer))
	}
}

// answered puts in what came back, after so long.
func (r *rawReport) answered(status fmt.Stringer, code uint, answer []byte, after time.Duration) {
	r.Status, r.Code, r.Answer, r.Micros = status.String(), &code, new(ctap2.Bytes(answer)), after.Microseconds()
}

// A rawCommand is something that can be sent, and what is known about it before.
type rawCommand struct {
	rawReport
	changes bool // or may change something
	send    func(ctx context.Context, key *openedKey, r *rawReport) error
}

func runRaw(ctx context.Context, e *env, o rawOptions, args []string) error {
	c, err := o.command(e, args)
	if err != nil {
		return usageError{err}
	}
	if e.dryRun {
		return e.say(nil, &c.rawReport)
	}
	return e.onKey(ctx, e.prompt(nil, nil), func(ctx context.Context, key *openedKey) (report, error) {
		if c.changes {
			if err := e.confirm(ctx, rawLoss(c.Command), "Send it?"); err != nil {
				return nil, err
			}
		}
		r := c.rawReport
		if err := c.send(ctx, key, &r); r.Code == nil {
			return nil, err // nothing came back
		} else {
			return &r, err
		}
	})
}

// rawLoss says what a command can do.
func rawLoss(command string) string {
	if command == ctap2.CommandReset.String() {
		return "This destroys every credential on the key, and its PIN. 'fidokey reset' shows which."
	}
	return command + " may change the key, or destroy what is on it."
}

// command reads the command line.
func (o *rawOptions) command(e *env, args []string) (*rawCommand, error) {
	switch {
	case o.ping >= 0 && len(args) == 0:
		return pingCommand(e, o.ping), nil
	case o.ping >= 0:
		return nil, errors.New("--ping takes no command")
	case o.u2f:
		apdu, err := o.parameters(e, args)
		if err != nil {
			return nil, err
		}
		return u2fCommand(e, apdu)
	case len(args) == 0:
		return nil, errors.New("which command? A name as getInfo, or a number as 0x04")
	}
	command, err := parseCommand(args[0])
	if err != nil {
		return nil, err
	}
	params, err := o.parameters(e, args[1:])
	if err != nil {
		return nil, err
	}
	return ctapCommand(command, params), nil
}

// maxParameters is more than the longest message of CTAPHID, in hexadecimal.
const maxParameters = 1 << 16

// parameters returns those of the argument or of the file that is named.
func (o *rawOptions) parameters(e *env, args []string) ([]byte, error) {
	switch {
	case len(args) > 1:
		return nil, fmt.Errorf("%q is one argument too many; parameters with spaces stand in quotes", args[1])
	case len(args) == 1 && o.in != "":
		return nil, errors.New("the parameters are given twice, as an argument and with --in")
	case len(args) == 1:
		return parseParameters([]byte(args[0]))
	case o.in == "":
		return nil, nil
	}
	from, err := e.openInput(o.in)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	text, err := io.ReadAll(io.LimitReader(from, maxParameters))
	if err != nil {
		return nil, err
	}
	return parseParameters(text)
}

// parseParameters takes hexadecimal digits, diagnostic notation, or CBOR itself.
func parseParameters(text []byte) ([]byte, error) {
	if len(text) > 0 && text[0]>>5 == 5 {
		return text, nil // a CBOR map, which no text begins like
	}
	trimmed := strings.TrimSpace(string(text))
	if strings.HasPrefix(trimmed, "{") {
		return parseNotation(trimmed)
	}
	digits := strings.NewReplacer(":", "", " ", "", "\n", "", "\r", "", "\t", "").Replace(trimmed)
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("neither hexadecimal nor a map in diagnostic notation, as {1: h'00ff'}: %w", err)
	}
	return b, nil
}

// parseCommand takes a number, or the specification's name with or without
// "authenticator".
func parseCommand(name string) (ctap2.Command, error) {
	if n, err := strconv.ParseUint(name, 0, 8); err == nil {
		return ctap2.Command(n), nil
	}
	for n := range 256 {
		known := ctap2.Command(n).String()
		if strings.EqualFold(name, known) || strings.EqualFold("authenticator"+name, known) {
			return ctap2.Command(n), nil
		}
	}
	return 0, fmt.Errorf("%q is no command: give a name as getInfo, or a number as 0x04", name)
}

// completeCommand offers the names of commands to the shell.
func completeCommand(_ *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
	for n := range 256 {
		name, ok := strings.CutPrefix(ctap2.Command(n).String(), "authenticator")
		if ok && len(args) == 0 && !strings.Contains(name, " ") {
			names = append(names, strings.ToLower(name[:1])+name[1:])
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func ctapCommand(command ctap2.Command, params []byte) *rawCommand {
	c := &rawCommand{changes: mayChange(command, params)}
	c.Command, c.Sent = command.String(), append([]byte{byte(command)}, params...)
	c.send = func(ctx context.Context, key *openedKey, r *rawReport) error {
		start := time.Now()
		answer, err := key.Send(ctx, command, params)
		var refused *ctap2.Error
		switch {
		case errors.As(err, &refused):
			r.answered(refused.Status, uint(refused.Status), nil, time.Since(start))
		case err == nil:
			r.answered(ctap2.StatusOK, 0, answer, time.Since(start))
			r.Diagnostic, _ = cbor.Diagnose(answer) // else the digits have to do
		}
		return err
	}
	return c
}

// mayChange reports whether a command may change or destroy what is on the key,
// other than by a touch or with the person's PIN.
func mayChange(command ctap2.Command, params []byte) bool {
	var members struct {
		First  uint            `cbor:"1,keyasint"`
		Second cbor.RawMessage `cbor:"2,keyasint"`
	}
	readable := len(params) == 0 || ctapcbor.Unmarshal(params, &members) == nil
	switch command {
	case ctap2.CommandReset, ctap2.CommandConfig:
		return true
	case ctap2.CommandCredentialManagement:
		return !readable || ctap2.CredentialSubCommand(members.First) >= ctap2.DeleteCredential
	case ctap2.CommandBioEnrollment:
		sub := ctap2.BioSubCommand(0)
		if members.Second != nil {
			readable = readable && ctapcbor.Unmarshal(members.Second, &sub) == nil
		}
		return !readable || sub != 0 && sub != ctap2.EnumerateEnrollments && sub != ctap2.GetFingerprintSensorInfo
	case ctap2.CommandLargeBlobs:
		return !readable || members.Second != nil // set
	}
	return isVendors(byte(command))
}

// isVendors reports whether a command, or an instruction of U2F, is for its maker
// to define.
func isVendors(b byte) bool { return b >= 0x40 && b <= 0xbf }

func u2fCommand(e *env, apdu []byte) (*rawCommand, error) {
	if len(apdu) < 4 {
		return nil, errors.New("an APDU has at least 4 bytes")
	}
	c := &rawCommand{changes: isVendors(apdu[1])}
	c.Command, c.Sent = u2f.Instruction(apdu[1]).String(), apdu
	c.send = func(ctx context.Context, key *openedKey, r *rawReport) error {
		dev, ok := key.dev.(u2f.Messenger)
		if !ok {
			return fmt.Errorf("U2F: %w by this transport", transport.ErrUnsupported)
		}
		ctx, cancel := context.WithTimeout(ctx, e.global.timeout)
		defer cancel()
		start := time.Now()
		answer, err := dev.Message(ctx, apdu)
		if err != nil {
			return err
		}
		n := len(answer) - 2
		if n < 0 {
			return fmt.Errorf("%w: %d bytes, without a status word", u2f.ErrMalformed, len(answer))
		}
		word := u2f.StatusWord(binary.BigEndian.Uint16(answer[n:]))
		r.answered(word, uint(word), answer[:n], time.Since(start))
		if word != u2f.NoError {
			return fmt.Errorf("%s: %w", c.Command, word)
		}
		return nil
	}
	return c, nil
}

// A pinger is a device that sends back what it gets, as those on USB do.
type pinger interface {
	Ping(ctx context.Context, data []byte) ([]byte, error)
}

func pingCommand(e *env, n int) *rawCommand {
	c := &rawCommand{}
	c.Command, c.Sent = "CTAPHID_PING", make([]byte, n)
	rand.Read(c.Sent)
	c.send = func(ctx context.Context, key *openedKey, r *rawReport) error {
		dev, ok := key.dev.(pinger)
		if !ok {
			return fmt.Errorf("%s: %w by this transport", r.Command, transport.ErrUnsupported)
		}
		ctx, cancel := context.WithTimeout(ctx, e.global.timeout)
		defer cancel()
		start := time.Now()
		answer, err := dev.Ping(ctx, r.Sent)
		if err != nil {
			return err
		}
		r.answered(ctap2.StatusOK, 0, answer, time.Since(start))
		if !bytes.Equal(answer, r.Sent) {
			return fmt.Errorf("%s: %w: what came back is not what was sent", r.Command, transport.ErrMalformed)
		}
		return nil
	}
	return c
}
