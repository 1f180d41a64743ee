package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/simulator"
)

const (
	inMemory  = ":memory:"
	touchHelp = "auto, never, decline, long, or a time in milliseconds"
)

// openSimulator starts the simulator in this process, behind the same reports as
// a key on USB.
func (e *env) openSimulator(ctx context.Context, prompt client.Prompt) (*openedKey, error) {
	touch, err := parseTouch(e.global.simulatorTouch)
	if err != nil {
		return nil, err
	}
	clock := simulator.NewVirtualClock()
	authenticator, path, err := newSimulator(e.global.simulatorState, simulator.Config{
		Clock:    clock,
		Presence: simulator.NewTouchPlan(clock, touch).Presence,
	})
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
func newSimulator(state string, config simulator.Config) (*simulator.Authenticator, string, error) {
	var err error
	if state == "" {
		if state, err = defaultState(); err != nil {
			return nil, "", err
		}
	}
	config.Storage = simulator.NewMemory()
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

// parseTouch is for flags.
func parseTouch(s string) (simulator.Touch, error) {
	touch, err := simulator.ParseTouch(s)
	if err != nil {
		return touch, usageError{err}
	}
	return touch, nil
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

func newSimulatorCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulator",
		Short: "Be a security key in software",
		Long: `Be a security key in software, for tests. It keeps keys in an ordinary file and
touches itself: it is a test instrument, not a safe place for secrets.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSimulatorRunCmd(e), newSimulatorProfilesCmd(e), newSimulatorProfileCmd(e), newSimulatorControlCmd(e))
	return cmd
}
