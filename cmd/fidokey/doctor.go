package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

func newDoctorCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out why a key is not found or does not work",
		Long: `Look for what keeps keys from working on this computer: what the system shows of
them, who may open them, who has them open, smart-card service, clock, and more.
Each check says what was seen and, where something is wrong, what to do about it.
Each key is asked what it is, and what it does otherwise than the specification is
listed. Nothing is changed, and no key is touched.

The exit code is 0 if there are at most warnings; 9 if this user lacks a right, 3 if
there is no key, 1 for other problems.`,
		Example: `  fidokey doctor
  fidokey doctor --device /dev/hidraw3
  fidokey doctor --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), e) },
	}
	return cmd
}

// An outcome is how a check ended.
type outcome string

const (
	outcomeOK            outcome = "ok"
	outcomeWarning       outcome = "warning"
	outcomeProblem       outcome = "problem"
	outcomeNotApplicable outcome = "not applicable"
)

// A diagnosis is what came of one check.
type diagnosis struct {
	Check   string   `json:"check"`
	Outcome outcome  `json:"outcome"`
	Seen    string   `json:"seen"`
	Do      []string `json:"do,omitempty"` // lines

	code int // of the exit, for a problem
}

func ok(format string, args ...any) diagnosis {
	return diagnosis{Outcome: outcomeOK, Seen: fmt.Sprintf(format, args...)}
}

func notApplicable(format string, args ...any) diagnosis {
	return diagnosis{Outcome: outcomeNotApplicable, Seen: fmt.Sprintf(format, args...)}
}

// warning has lines that say what to do.
func warning(seen string, do ...string) diagnosis {
	return diagnosis{Outcome: outcomeWarning, Seen: seen, Do: do}
}

func problem(code int, seen string, do ...string) diagnosis {
	return diagnosis{Outcome: outcomeProblem, Seen: seen, Do: do, code: code}
}

// doctorReport is the answer of "doctor".
type doctorReport struct {
	Checks []diagnosis `json:"checks"`
}

func (r doctorReport) print(w *printer) {
	var notHere []string
	for _, d := range r.Checks {
		if d.Outcome == outcomeNotApplicable {
			notHere = append(notHere, d.Check)
			continue
		}
		w.printf("%-8s %s: %s", d.Outcome, d.Check, d.Seen)
		for _, line := range d.Do {
			w.printf("%-8s   %s", "", line)
		}
	}
	if notHere != nil {
		w.printf("%-8s %s", "(not applicable)", strings.Join(notHere, ", "))
	}
}

// A problemsError ends a doctor that has found problems.
type problemsError struct {
	count, code int
}

func (p problemsError) Error() string {
	if p.count == 1 {
		return "1 problem was found"
	}
	return fmt.Sprintf("%d problems were found", p.count)
}

// problems returns what the exit code is made of: a lack of rights counts more
// than the absence of keys, which it may cause, and that more than the rest.
func (r doctorReport) problems() error {
	var p problemsError
	for _, d := range r.Checks {
		if d.Outcome != outcomeProblem {
			continue
		}
		p.count++
		for _, code := range []int{exitPermission, exitNoKey, exitFailure} {
			if d.code == code || p.code == code {
				p.code = code
				break
			}
		}
	}
	if p.count == 0 {
		return nil
	}
	return p
}

func runDoctor(ctx context.Context, e *env) error {
	e.global.timeout = min(e.global.timeout, listTimeout)
	places, err := e.places(ctx)
	if err == nil && e.global.device != "" {
		places = e.meant(places)
	}
	m := thisMachine(hid.Backend(e.global.backend))
	m.software = e.global.device == simulatorName || hid.Dialer(e.global.device) != nil
	r := doctorReport{m.examine(ctx)}
	switch {
	case err != nil:
		d := problem(exitFailure, err.Error())
		d.Check = "keys"
		r.Checks = append(r.Checks, d)
	default:
		r.Checks = append(r.Checks, e.examineKeys(ctx, m, places)...)
	}
	return errors.Join(e.say(nil, r), r.problems())
}

// meant returns the places that --device names. A model is not asked for: of a key
// that does not work it may not be known.
func (e *env) meant(places []place) []place {
	name := e.global.device
	if strings.HasPrefix(name, readerPrefix) {
		return places
	}
	if found := named(places, name); found != nil || !strings.ContainsAny(name, `/\`) {
		return found
	}
	return []place{e.hidPlace(hid.Info{Path: name})}
}

// examineKeys asks each key what it is.
func (e *env) examineKeys(ctx context.Context, m *machine, places []place) []diagnosis {
	if len(places) == 0 {
		d := problem(exitNoKey, "none is there, or not the one that is meant",
			"Plug it in. If its light is on and it is not listed here, try another port, without a hub.")
		d.Check = "keys"
		return []diagnosis{d}
	}
	all := make([]diagnosis, len(places))
	var every sync.WaitGroup
	for i, p := range places {
		every.Go(func() {
			all[i] = examineKey(ctx, m, p)
			all[i].Check = "key " + p.device.Path
		})
	}
	every.Wait()
	return all
}

func examineKey(ctx context.Context, m *machine, p place) diagnosis {
	var findings []string
	var mu sync.Mutex
	ctx = transport.WithFindings(ctx, func(f ctap2.Finding) {
		mu.Lock()
		defer mu.Unlock()
		if text := f.Where + ": " + f.What; !slices.Contains(findings, text) {
			findings = append(findings, text)
		}
	})
	start := time.Now()
	key, err := p.open(ctx, client.Prompt{})
	if err != nil {
		return m.unusable(p, err)
	}
	defer key.Close()
	info, err := key.Info(ctx)
	if err != nil {
		return m.unusable(p, err)
	}
	took := time.Since(start).Round(time.Millisecond)
	seen := fmt.Sprintf("%s, %s, answers in %v", modelName(info.AAGUID), strings.Join(info.Versions, " "), took)
	if len(findings) > 0 {
		return warning(seen+"; what it does otherwise than the specification, and is tolerated:", findings...)
	}
	return ok("%s", seen)
}

// unusable explains the error of a key that cannot be asked.
func (m *machine) unusable(p place, err error) diagnosis {
	code, hint := classify(err)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return problem(exitPermission, "this user may not open it", m.permissionRemedy(p.device)...)
	case errors.Is(err, transport.ErrBusy):
		do := []string{"End the program that uses it, or wait until it is done."}
		for _, holder := range m.holders(p.device.Path) {
			do = append(do, "It is open in "+holder+".")
		}
		return problem(exitFailure, "another program has it: "+err.Error(), do...)
	case errors.Is(err, context.DeadlineExceeded):
		return problem(exitFailure, "no answer: "+err.Error(), "Unplug it and plug it in again.")
	case code != exitNoKey:
		code = exitFailure
	}
	if hint == "" {
		return problem(code, err.Error())
	}
	return problem(code, err.Error(), hint)
}
