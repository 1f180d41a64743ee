package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/bench"
	"github.com/fidokey/fidokey/simulator/control"
)

// hilServeOptions are the flags of "hil serve".
type hilServeOptions struct {
	listen, tokenFile, certification, results string
	bench, allowRemote                        bool
}

func newHILServeCmd(e *env, o *hilOptions) *cobra.Command {
	s := hilServeOptions{}
	cmd := &cobra.Command{
		Use:   "serve [KEY...]",
		Short: "Let other test programs switch and touch the keys of the bench, over HTTP",
		Long: `Let other test programs switch and touch keys of the bench over HTTP, until
interrupted. The keys are locked meanwhile. Each request is answered when it is done.

--certification KEY answers the FIDO Alliance's certification tool, with its test
automation enabled, which runs on the same machine and asks port 3000:
/conformance/userpresence, /conformance/powercycle and /conformance/results.
--results keeps what it reports: each report is a line of that file, which is begun
anew by the first.

--bench-dialect answers GET / and /usbN/touch/on, /usbN/touch/off, /usbN/power/on and
/usbN/power/off, as the tests of python-fido2 ask with --controller; N counts the
keys from 1, in the order of 'fidokey hil list', and a name may stand in its place:
they want --pico-port 1 for the first, and wait 5 seconds for each answer.

--token-file serves paths of our own to those who know the token in that file:
'go doc ./bench Server' lists them.

With --json the first line is an answer that says where it listens, and each thing
that is done to a key is another.`,
		Example: `  fidokey hil serve --certification blue --results results.json
  fidokey hil serve --listen 127.0.0.1:8080 --bench-dialect`,
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd.Context(), e, o, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&s.listen, "listen", "localhost:3000", "the address: HOST:PORT; port 0 is a free one")
	flags.StringVar(&s.certification, "certification", "", "the key that the certification tool tests")
	flags.StringVar(&s.results, "results", "", "the file for what the certification tool reports at its end")
	flags.BoolVar(&s.bench, "bench-dialect", false, "answer the paths of test benches (/usb1/touch/on), without a token")
	flags.StringVar(&s.tokenFile, "token-file", "", "the file with the token for paths of our own")
	flags.BoolVar(&s.allowRemote, "allow-remote", false, "let --listen be where other machines can reach it, and switch the keys")
	cmd.MarkFlagsOneRequired("certification", "bench-dialect", "token-file")
	return cmd
}

// hilServeReport is an answer of "hil serve": one when it listens, and one for each
// thing that is done.
type hilServeReport struct {
	Address string   `json:"address,omitempty"`
	Keys    []string `json:"keys,omitempty"`
	Key     string   `json:"key,omitempty"`
	Done    string   `json:"done,omitempty"`
	Error   string   `json:"error,omitempty"`
	Results string   `json:"results,omitempty"` // the file
}

func (r hilServeReport) print(w *printer) {
	switch {
	case r.Address != "":
		w.printf("Listening at %s for %q (Ctrl-C ends it).", r.Address, r.Keys)
	case r.Results != "":
		w.printf("What the certification tool reports is in %s.", r.Results)
	case r.Error != "":
		w.printf("%s: %s: %s", r.Key, r.Done, r.Error)
	default:
		w.printf("%s: %s", r.Key, r.Done)
	}
}

func (s *hilServeOptions) run(ctx context.Context, e *env, o *hilOptions, names []string) error {
	token, err := s.token()
	if err != nil {
		return err
	}
	return o.onPlaces(e, names, func(b *bench.Bench, places []*bench.Place) (err error) {
		server := &bench.Server{Places: places, Token: token, Bench: s.bench}
		if s.certification != "" {
			if server.Certified, err = certifiedPlace(places, s.certification); err != nil {
				return err
			}
		}
		locks, err := o.lockAll(ctx, e, places, bench.NewHolder(b.Owner(), os.Getpid()))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unlockAll(locks)) }()
		e.jsonLines = true // programs read them while the command runs
		var one sync.Mutex
		say := func(r hilServeReport) {
			one.Lock()
			defer one.Unlock()
			_ = e.say(nil, r) // the bench goes on, whoever reads
		}
		server.Did = func(key, what string, err error) {
			r := hilServeReport{Key: key, Done: what}
			if err != nil {
				r.Error = err.Error()
			}
			say(r)
		}
		kept := resultsFile{path: s.results}
		server.Results = func(report []byte) error { return kept.add(e, report, say) }
		if server.Certified != nil {
			if _, err := server.Certified.Ask(ctx); err != nil {
				e.note("Whether a reset takes a long touch is not known: %v", err)
			}
		}
		return control.Serve(ctx, s.listen, s.allowRemote, server.Handler(), func(a net.Addr) {
			r := hilServeReport{Address: a.String()}
			for _, p := range places {
				r.Keys = append(r.Keys, p.Name)
			}
			say(r)
		})
	})
}

func (s *hilServeOptions) token() (string, error) {
	if s.tokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(s.tokenFile)
	if err != nil {
		return "", err
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return "", usageError{fmt.Errorf("%s: no token in it", s.tokenFile)}
	}
	return string(text), nil
}

func certifiedPlace(places []*bench.Place, name string) (*bench.Place, error) {
	for _, p := range places {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, noKeyError{fmt.Errorf("--certification %s is none of the keys that are served: %s", name, namesOf(places))}
}

// A resultsFile has what the certification tool reports: it does so after each run.
type resultsFile struct {
	path string

	mu    sync.Mutex
	lines []byte
}

// add adds a report to the file, or shows it if there is none.
func (f *resultsFile) add(e *env, report []byte, say func(hilServeReport)) error {
	if f.path == "" {
		e.note("The certification tool reports: %s", printable(string(report)))
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var line bytes.Buffer
	if json.Compact(&line, report) != nil { // kept as it came
		line.Reset()
		line.Write(bytes.TrimSpace(report))
	}
	lines := append(append(f.lines, line.Bytes()...), '\n')
	if err := os.WriteFile(f.path, lines, 0o644); err != nil {
		e.note("The certification tool's report is lost: %v", err)
		return err
	}
	f.lines = lines
	say(hilServeReport{Results: f.path})
	return nil
}
