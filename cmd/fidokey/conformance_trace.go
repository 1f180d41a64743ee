package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/internal/virtualtime"
	"github.com/fidokey/fidokey/trace"
)

// checkTrace looks before anything is done whether a run can be recorded.
func (o *conformanceRunOptions) checkTrace(e *env) error {
	played := strings.HasPrefix(e.global.device, tracePrefix)
	switch {
	case played && o.trace != "":
		return usageError{errors.New("--trace: a recording is not recorded again")}
	case played && (o.seed != "" || o.pin.given()):
		return usageError{errors.New("a recording has its own seed, and takes no PIN")}
	case o.trace == "":
		return nil
	}
	if _, err := os.Lstat(o.trace); err == nil {
		return usageError{fmt.Errorf("--trace %s: the file exists, and is not written over", o.trace)}
	}
	return nil
}

// record makes the file of --trace. finish closes it and says whether all of it was
// written.
func (o *conformanceRunOptions) record(e *env, key *suiteKey) (w *trace.Writer, finish func() error, err error) {
	if o.trace == "" {
		return nil, func() error { return nil }, nil
	}
	header := trace.Header{Version: trace.RunVersion}
	if header.Key, err = json.Marshal(key.key); err != nil {
		return nil, nil, err
	}
	return e.startTraceIn(o.trace, key.device, header)
}

// suiteKeyOfTrace plays a recording in place of a key.
func suiteKeyOfTrace(file string) (*suiteKey, error) {
	t, err := readTrace(file)
	if err != nil && (t == nil || len(t.Exchanges) == 0) {
		return nil, noKeyError{err}
	}
	p, broken := conformance.NewPlayback(t)
	if broken != nil {
		return nil, noKeyError{fmt.Errorf("%s: %w", file, broken)}
	}
	cases, run := p.Cases(), p.Runs()
	if len(run) == 0 {
		return nil, noKeyError{fmt.Errorf("%s: %w", file, conformance.ErrCutOff)}
	}
	key := &suiteKey{
		device: deviceInfo{Path: tracePrefix + file, Product: "recording"}, released: run[0].Released, ownTime: true, seed: run[0].Seed,
		again:    " --device " + shellWord(tracePrefix+file),
		recorded: func(c *conformance.Case) bool { return slices.Contains(cases, c.ID) },
	}
	if len(t.Key) > 0 {
		if err := json.Unmarshal(t.Key, &key.key); err != nil {
			return nil, noKeyError{fmt.Errorf("%s: %w: %w", file, trace.ErrFormat, err)}
		}
	}
	key.run = func(ctx context.Context, sel conformance.Selection) (ended error) {
		virtualtime.Run(func() { _, ended = p.Run(outerContext{context.Background(), ctx}, sel) })
		return errors.Join(ended, err)
	}
	return key, nil
}
