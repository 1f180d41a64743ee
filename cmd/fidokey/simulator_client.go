package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/simulator"
)

func newSimulatorControlCmd(e *env) *cobra.Command {
	var tokenFile string
	cmd := &cobra.Command{
		Use:   "control ADDRESS WHAT [VALUE...]",
		Short: "Steer a simulator that runs",
		Long: `Steer a simulator that runs with --control ADDRESS. What it answers is JSON.

  touch                             what usually happens, and the requests that wait
  touch auto|never|decline|long|MS  what shall usually happen
  touch next TOUCH...               what the next requests get
  touch answer touched|long|declined|none
                                    the request that waits
  finger NAME [QUALITY]             whose finger lies on the sensor; '' is nobody's
  finger next NAME[:QUALITY]...     the next samples
  power [on|off|cycle]
  clock [advance DURATION]          as 30s
  faults [add JSON | clear]         as '{"kind": "lost", "skip": 3}'
  counters [clear]
  snapshot save|restore FILE        the whole state
  profile [NAME|FILE]               the key that it plays
  reset-window on|off`,
		Example: `  fidokey simulator run --tcp 127.0.0.1:35962 --control 127.0.0.1:8700 --control-token-file token &
  fidokey simulator control 127.0.0.1:8700 --token-file token touch next decline
  fidokey simulator control 127.0.0.1:8700 --token-file token clock advance 30s`,
		Args: cobra.MinimumNArgs(2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (offers []string, _ cobra.ShellCompDirective) {
			if len(args) == 1 {
				offers = []string{"touch", "finger", "power", "clock", "faults", "counters", "snapshot", "profile", "reset-window"}
			}
			return offers, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSimulatorControl(cmd.Context(), e, tokenFile, args[0], args[1], args[2:])
		},
	}
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "the file with the token that the simulator asks for")
	cmd.MarkFlagRequired("token-file")
	return cmd
}

// A controlRequest is one request of the control interface; package control has
// the list.
type controlRequest struct {
	method, path string
	body         any    // JSON, or bytes
	save         string // the file for the answer
}

// controlReport is the answer of "simulator control".
type controlReport struct {
	Answer json.RawMessage `json:"answer,omitempty"`
}

func (r controlReport) print(w *printer) {
	if r.Answer == nil {
		w.printf("Done.")
		return
	}
	var indented bytes.Buffer
	if json.Indent(&indented, bytes.TrimSpace(r.Answer), "", "  ") == nil {
		fmt.Fprintf(w, "%s\n", escapeUnprintable(indented.Bytes()))
	}
}

func runSimulatorControl(ctx context.Context, e *env, tokenFile, address, what string, values []string) error {
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return err
	}
	request, err := newControlRequest(what, values)
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, e.global.timeout)
	defer cancel()
	answer, err := request.send(ctx, address, string(bytes.TrimSpace(token)))
	switch {
	case err != nil:
		return err
	case request.save != "":
		if err := os.WriteFile(request.save, answer, 0o600); err != nil {
			return err
		}
		answer = nil
	case len(answer) == 0:
		answer = nil
	}
	return e.say(nil, controlReport{answer})
}

// newControlRequest reads what is written behind the address.
func newControlRequest(what string, values []string) (controlRequest, error) {
	path := "/v1/" + what
	first, rest := "", values
	if len(values) > 0 {
		first, rest = values[0], values[1:]
	}
	switch {
	case what == "touch" && first == "next" && len(rest) > 0:
		return controlRequest{"POST", path + "/next", map[string]any{"touches": rest}, ""}, nil
	case what == "touch" && first == "answer" && len(rest) == 1:
		return controlRequest{"POST", path + "/answer", map[string]any{"answer": rest[0]}, ""}, nil
	case what == "touch" && len(values) == 1:
		return controlRequest{"PUT", path, map[string]any{"usual": first}, ""}, nil
	case what == "finger" && first == "next" && len(rest) > 0:
		return nextFingers(path+"/next", rest)
	case what == "finger" && len(values) > 0 && len(rest) <= 1:
		sample, err := controlSample(strings.Join(values, ":"))
		return controlRequest{"PUT", path, sample, ""}, err
	case what == "power" && first == "cycle" && len(rest) == 0:
		return controlRequest{"POST", path + "/cycle", nil, ""}, nil
	case what == "power" && len(values) == 1, what == "reset-window" && len(values) == 1:
		on := map[string]bool{"on": true, "off": false}
		if _, ok := on[first]; ok {
			return controlRequest{"PUT", path, map[string]any{"on": on[first]}, ""}, nil
		}
	case what == "clock" && first == "advance" && len(rest) == 1:
		d, err := time.ParseDuration(rest[0])
		return controlRequest{"POST", path + "/advance", map[string]any{"ms": d.Milliseconds()}, ""}, err
	case what == "faults" && first == "add" && len(rest) == 1:
		return controlRequest{"POST", path, []byte(rest[0]), ""}, nil
	case (what == "faults" || what == "counters") && first == "clear" && len(rest) == 0:
		return controlRequest{"DELETE", path, nil, ""}, nil
	case what == "snapshot" && first == "save" && len(rest) == 1:
		return controlRequest{"GET", path, nil, rest[0]}, nil
	case what == "snapshot" && first == "restore" && len(rest) == 1:
		state, err := os.ReadFile(rest[0])
		return controlRequest{"PUT", path, state, ""}, err
	case what == "profile" && len(values) == 1:
		profile, err := simulator.LoadProfile(first)
		return controlRequest{"PUT", path, profile, ""}, err
	case len(values) == 0 && strings.Contains(" touch power clock faults counters profile ", " "+what+" "):
		return controlRequest{"GET", path, nil, ""}, nil
	}
	return controlRequest{}, fmt.Errorf("%q: see 'fidokey simulator control --help' for what there is", strings.Join(append([]string{what}, values...), " "))
}

// controlSample reads NAME or NAME:QUALITY.
func controlSample(text string) (map[string]any, error) {
	finger, quality, found := strings.Cut(text, ":")
	sample := map[string]any{"finger": finger}
	if found {
		n, err := strconv.ParseUint(quality, 0, 8)
		if err != nil {
			return nil, fmt.Errorf("quality %q: must be a number of CTAP's lastEnrollSampleStatus, as 0x01", quality)
		}
		sample["quality"] = n
	}
	return sample, nil
}

func nextFingers(path string, texts []string) (controlRequest, error) {
	var samples []any
	for _, text := range texts {
		sample, err := controlSample(text)
		if err != nil {
			return controlRequest{}, err
		}
		samples = append(samples, sample)
	}
	return controlRequest{"POST", path, map[string]any{"samples": samples}, ""}, nil
}

// maxControlAnswer is the length in bytes of more than a snapshot of a full key.
const maxControlAnswer = 64 << 20

// send sends the request, by no proxy, for it carries the token.
func (c controlRequest) send(ctx context.Context, address, token string) ([]byte, error) {
	body, ok := c.body.([]byte)
	if !ok && c.body != nil {
		var err error
		if body, err = json.Marshal(c.body); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, c.method, "http://"+address+c.path, bytes.NewReader(body))
	if err != nil {
		return nil, usageError{err}
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(r)
	if err != nil {
		return nil, noKeyError{fmt.Errorf("no simulator is steered at %s: %w", address, err)}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxControlAnswer))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("%s: %w: %s", address, fs.ErrPermission, bytes.TrimSpace(answer))
	case resp.StatusCode == http.StatusBadRequest:
		return nil, usageError{errors.New(string(bytes.TrimSpace(answer)))}
	case resp.StatusCode >= 300:
		return nil, fmt.Errorf("%s %s: %s: %s", c.method, c.path, resp.Status, bytes.TrimSpace(answer))
	}
	return answer, nil
}
