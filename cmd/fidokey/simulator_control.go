package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/simulator/control"
)

// controlOptions are the flags of the control interface.
type controlOptions struct {
	address, tokenFile   string
	bench, certification bool
}

func (o *controlOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.address, "control", "", "steer the key over HTTP at an address: HOST:PORT")
	flags.StringVar(&o.tokenFile, "control-token-file", "", "the file with the token that --control asks for")
	flags.BoolVar(&o.bench, "control-bench", false, "let --control answer the paths of test benches (/usb1/touch/on) without a token")
	flags.BoolVar(&o.certification, "control-certification", false, "let --control answer the certification tool (/conformance/powercycle) without a token")
}

// door returns what serves the control interface.
func (o *controlOptions) door(e *env, key *simulator.Authenticator, s steering, allowRemote bool, ready func(net.Addr)) (simulatorDoor, error) {
	if o.tokenFile == "" {
		return nil, usageError{errors.New("--control needs --control-token-file")}
	}
	token, err := os.ReadFile(o.tokenFile)
	if err != nil {
		return nil, err
	}
	if token = bytes.TrimSpace(token); len(token) == 0 {
		return nil, usageError{fmt.Errorf("%s: no token in it", o.tokenFile)}
	}
	handler := control.New(control.Config{
		Key: key, Touch: s.touch, Clock: s.clock, Finger: s.finger, Token: string(token),
		Bench: o.bench, Certification: o.certification,
		Results: func(report []byte) { e.note("certification tool: %q", report) },
	})
	return func(ctx context.Context) error {
		return control.Serve(ctx, o.address, allowRemote, handler, ready)
	}, nil
}
