package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/trace"
	"github.com/fidokey/fidokey/transport"
)

// tracePrefix begins a --device that is a recording: trace:FILE.
const tracePrefix = "trace:"

func newTraceCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Record what goes between this program and a key, look at it, play it back",
		Long: `Record what goes between this program and a key, look at it, play it back.

A trace has no secrets: PINs, tokens and what encrypts them are zeroes in it. It
has the names of accounts and relying parties. The format is in docs/trace.md.
'--trace FILE' records any command.`,
	}
	cmd.AddCommand(newTraceRecordCmd(e), newTraceShowCmd(e), newTraceReplayCmd(e))
	return cmd
}

func newTraceRecordCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "record FILE COMMAND...",
		Short:   "Run a command and record it in a new file",
		Example: "  fidokey trace record info.trace info\n  fidokey trace record pin.trace pin verify --pin-file pin.txt",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			e.global.trace = args[0]
			return e.rerun(cmd, args[1:])
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows belongs to the command
	return cmd
}

func newTraceReplayCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay FILE COMMAND...",
		Short: "Run a command with a recording in place of a key",
		Long: `Run a command with a recording in place of a key. It must ask what was asked when
the trace was recorded; '--device trace:FILE' is the same. Tokens and other secrets
that the key gave are zeroes.`,
		Example: "  fidokey trace replay info.trace info",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			e.global.device = tracePrefix + args[0]
			return e.rerun(cmd, args[1:])
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows belongs to the command
	return cmd
}

// rerun runs another command of the program, with the flags that have been given.
func (e *env) rerun(cmd *cobra.Command, args []string) error {
	global := e.global
	root := newRootCmdFor(e, args)
	e.global, e.started = global, false // in place of the defaults
	root.SetArgs(args)
	return execute(cmd.Context(), e, root)
}

// traceReport is the answer of "trace show".
type traceReport struct {
	Start     time.Time        `json:"start"`
	Tool      string           `json:"tool,omitempty"`
	Device    string           `json:"device,omitempty"`
	Exchanges []tracedExchange `json:"exchanges"`

	bytes bool
}

// tracedExchange is one exchange, in words and in bytes.
type tracedExchange struct {
	At       int64       `json:"at"`   // microseconds
	Took     int64       `json:"took"` // microseconds
	Kind     trace.Kind  `json:"kind"`
	Name     string      `json:"name,omitempty"` // of a case
	Command  string      `json:"command,omitempty"`
	Status   string      `json:"status,omitempty"`
	Waited   []string    `json:"waited,omitempty"` // the kinds of keepalives, in order
	Error    string      `json:"error,omitempty"`
	Request  ctap2.Bytes `json:"request,omitempty"`
	Response ctap2.Bytes `json:"response,omitempty"`
}

func newTraceShowCmd(e *env) *cobra.Command {
	var withBytes bool
	cmd := &cobra.Command{
		Use:     "show FILE",
		Short:   "Show a trace",
		Example: "  fidokey trace show pin.trace --bytes",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := readTrace(args[0])
			if t == nil || len(t.Exchanges) == 0 && err != nil {
				return err
			}
			return errors.Join(e.say(nil, newTraceReport(t, withBytes)), err)
		},
	}
	cmd.Flags().BoolVar(&withBytes, "bytes", false, "show requests and answers in CBOR diagnostic notation")
	return cmd
}

// readTrace returns what can be read, with the error that ends it.
func readTrace(file string) (*trace.Trace, error) {
	f, err := openFile(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := trace.Read(f)
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return t, err
}

func newTraceReport(t *trace.Trace, withBytes bool) *traceReport {
	r := &traceReport{Start: t.Start, Tool: t.Tool, Device: t.Device, Exchanges: []tracedExchange{}, bytes: withBytes}
	for _, e := range t.Exchanges {
		x := tracedExchange{At: int64(e.At), Took: int64(e.Took), Kind: e.Kind, Name: e.Name, Error: e.Error, Request: e.Request, Response: e.Response}
		if e.Kind == trace.KindCBOR && len(e.Request) > 0 {
			x.Command = ctap2.Command(e.Request[0]).String()
			if len(e.Response) > 0 {
				x.Status = ctap2.Status(e.Response[0]).Error()
			}
		}
		for _, k := range e.Keepalives {
			if s := k.Status.String(); len(x.Waited) == 0 || x.Waited[len(x.Waited)-1] != s {
				x.Waited = append(x.Waited, s)
			}
		}
		r.Exchanges = append(r.Exchanges, x)
	}
	return r
}

func (r *traceReport) print(w *printer) {
	w.line("Recorded", "%s", r.Start.Format(time.RFC3339))
	if r.Tool != "" {
		w.line("By", "%s", r.Tool)
	}
	if r.Device != "" {
		w.line("Key", "%s", r.Device)
	}
	fmt.Fprintln(w)
	if r.bytes {
		r.printBytes(w)
		return
	}
	var rows [][]string
	for _, x := range r.Exchanges {
		rows = append(rows, []string{x.when(), x.what(), x.ended(), strings.Join(x.Waited, ", ")})
	}
	w.table([]string{"at", "command", "answer", "meanwhile"}, rows)
}

func (x *tracedExchange) when() string {
	return fmt.Sprintf("%.3fs +%.3fs", float64(x.At)/1e6, float64(x.Took)/1e6)
}

func (x *tracedExchange) what() string {
	if x.Command != "" {
		return x.Command
	}
	return strings.TrimSpace(string(x.Kind) + " " + x.Name)
}

func (x *tracedExchange) ended() string {
	switch {
	case x.Error != "":
		return x.Error
	case x.Status != "":
		return x.Status
	}
	return fmt.Sprintf("%d bytes", len(x.Response))
}

func (r *traceReport) printBytes(w *printer) {
	for _, x := range r.Exchanges {
		w.printf("%s  %s", x.when(), x.what())
		w.printf("  > %s", notation(x.Kind, x.Request))
		w.printf("  < %s  %s", x.ended(), notation(x.Kind, x.Response))
	}
}

// notation is a message without its first byte in CBOR diagnostic notation, or
// what is none in hexadecimal.
func notation(kind trace.Kind, message []byte) string {
	if kind == trace.KindCBOR && len(message) > 1 {
		if text, err := cbor.Diagnose(message[1:]); err == nil {
			return text
		}
	}
	if kind == trace.KindCBOR && len(message) == 1 {
		return ""
	}
	return hex.EncodeToString(message)
}

// startTrace makes a new file for a trace. finish closes it and says whether all
// of it was written.
func (e *env) startTrace(d deviceInfo) (w *trace.Writer, finish func() error, err error) {
	return e.startTraceIn(e.global.trace, d, trace.Header{})
}

func (e *env) startTraceIn(path string, d deviceInfo, h trace.Header) (w *trace.Writer, finish func() error, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--trace: %w", err)}
	}
	h.Tool, h.Device = "fidokey "+version(), strings.TrimSpace(d.name()+" "+d.Path)
	w = trace.NewWriter(f, h)
	return w, func() error { return errors.Join(w.Err(), f.Close()) }, nil
}

// tracePlace is a recording in place of a key.
func (e *env) tracePlace(file string) place {
	device := deviceInfo{Path: tracePrefix + file, Product: "recording"}
	return place{device, func(_ context.Context, prompt client.Prompt) (*openedKey, error) {
		t, err := readTrace(file)
		if err != nil {
			return nil, noKeyError{err}
		}
		if t.Version == trace.RunVersion {
			return nil, noKeyError{fmt.Errorf("%s is of a conformance run: 'fidokey conformance run --device trace:%s' plays it", file, file)}
		}
		return e.newKey(simulator.NewPlayback(t, simulator.PlaybackOptions{}), device, prompt, nil)
	}}
}

var _ transport.Device = (*simulator.Playback)(nil)
