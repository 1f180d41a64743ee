package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/simulator"
)

const (
	inMemory  = ":memory:"
	touchHelp = "auto, never, decline, or a time in milliseconds"

	// autoTouch leaves the time in which one keepalive is seen.
	autoTouch = 150 * time.Millisecond

	// uhidMaxMsgSize keeps messages short enough for uhid, which loses reports of
	// longer ones (bytes).
	uhidMaxMsgSize = 1200
)

// openSimulator starts the simulator in this process, behind the same reports as
// a key on USB.
func (e *env) openSimulator(ctx context.Context, prompt client.Prompt) (*openedKey, error) {
	authenticator, path, err := newSimulator(e.global.simulatorState, e.global.simulatorTouch, 0)
	if err != nil {
		return nil, err
	}
	door := simulator.NewHID(authenticator)
	key, err := e.openPort(ctx, door.Port(), deviceInfo{Path: simulatorName, Product: "fidokey simulator", State: path}, prompt)
	if err != nil {
		return nil, errors.Join(err, door.Close(), authenticator.Close())
	}
	key.afterClose = func() error { return errors.Join(door.Close(), authenticator.Close()) }
	return key, nil
}

// newSimulator returns a simulated key whose state is in the given file, or where
// the user keeps it.
func newSimulator(state, touch string, maxMsgSize uint) (*simulator.Authenticator, string, error) {
	presence, err := parseTouch(touch)
	if err != nil {
		return nil, "", err
	}
	if state == "" {
		if state, err = defaultState(); err != nil {
			return nil, "", err
		}
	}
	config := simulator.Config{Presence: presence, MaxMsgSize: maxMsgSize, Storage: simulator.NewMemory()}
	if state != inMemory {
		if config.Storage, err = simulator.OpenFile(state); err != nil {
			return nil, "", err
		}
	}
	authenticator, err := simulator.New(config)
	if err != nil {
		return nil, "", errors.Join(err, config.Storage.Close())
	}
	return authenticator, state, nil
}

// defaultState is the simulator's file in the user's state folder.
func defaultState() (string, error) {
	if path := os.Getenv("FIDOKEY_SIMULATOR_STATE"); path != "" {
		return path, nil
	}
	folder := os.Getenv("XDG_STATE_HOME")
	if folder == "" {
		var err error
		if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
			folder, err = os.UserConfigDir()
		} else {
			folder, err = os.UserHomeDir()
			folder = filepath.Join(folder, ".local", "state")
		}
		if err != nil {
			return "", fmt.Errorf("no folder for the simulator's state: %w; choose a file with --simulator-state", err)
		}
	}
	return filepath.Join(folder, "fidokey", "simulator.db"), nil
}

// parseTouch returns the person in front of the simulated key.
func parseTouch(s string) (func(context.Context, simulator.PresenceRequest) simulator.Presence, error) {
	after := autoTouch
	result := simulator.PresenceTouched
	switch s {
	case "auto":
	case "never":
		return func(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
			<-ctx.Done()
			return simulator.PresenceNone
		}, nil
	case "decline":
		result = simulator.PresenceDeclined
	default:
		ms, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return nil, usageError{fmt.Errorf("touch %q: must be %s", s, touchHelp)}
		}
		after = time.Duration(ms) * time.Millisecond
	}
	return func(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
		select {
		case <-time.After(after):
			return result
		case <-ctx.Done():
			return simulator.PresenceNone
		}
	}, nil
}

func newSimulatorCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulator",
		Short: "Be a security key in software",
		Long: `Be a security key in software, for tests. It keeps keys in an ordinary file and
touches itself: it is a test instrument, not a safe place for secrets.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSimulatorRunCmd(e))
	return cmd
}

type simulatorRunOptions struct {
	state, touch string
	uhid         bool
}

func newSimulatorRunCmd(e *env) *cobra.Command {
	var o simulatorRunOptions
	cmd := &cobra.Command{
		Use:   "run --uhid",
		Short: "Plug the simulator into this system until interrupted",
		Long: `Plug the simulator into this system, so that every program sees a security key,
until the command is interrupted.

--uhid makes it a HID device of the Linux kernel through /dev/uhid. This needs
root, or the right to write to that file, and the kernel module uhid. A line on
standard output says when the key is there.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSimulator(cmd.Context(), e, o) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.uhid, "uhid", false, "be a HID device of the Linux kernel")
	flags.StringVar(&o.state, "state", "", "the key's state: a file, or ':memory:' (default: as --simulator-state)")
	flags.StringVar(&o.touch, "touch", "auto", "how the key is touched: "+touchHelp)
	addJSONFlag(e, cmd, "the line that says the key is there")
	return cmd
}

func runSimulator(ctx context.Context, e *env, o simulatorRunOptions) error {
	if !o.uhid {
		return usageError{errors.New("no door is given: use --uhid")}
	}
	if o.state == "" {
		o.state = e.global.simulatorState
	}
	authenticator, path, err := newSimulator(o.state, o.touch, uhidMaxMsgSize)
	if err != nil {
		return err
	}
	defer authenticator.Close()
	door := simulator.NewHID(authenticator)
	defer door.Close()
	return simulator.ServeUHID(ctx, door, simulator.UHIDConfig{Ready: func() { e.printReady("uhid", path) }})
}

// printReady says that a door is open; for programs as one line of JSON.
func (e *env) printReady(door, state string) {
	if e.global.json {
		json.NewEncoder(e.stdout).Encode(map[string]string{"door": door, "status": "ready", "state": state})
		return
	}
	fmt.Fprintf(e.stdout, "%s: ready (state %s)\n", door, state)
}
