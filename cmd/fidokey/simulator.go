package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/simulator"
)

const (
	inMemory    = ":memory:"
	touchHelp   = "auto, never, decline, long, or a time in milliseconds"
	profileHelp = "a name from 'fidokey simulator profiles', or a file"
)

// openSimulator starts the simulator in this process, behind the same reports as
// a key on USB.
func (e *env) openSimulator(ctx context.Context, prompt client.Prompt) (*openedKey, error) {
	touch, err := parseTouch(e.global.simulatorTouch)
	if err != nil {
		return nil, err
	}
	profile, err := simulator.LoadProfile(e.global.simulatorProfile)
	if err != nil {
		return nil, usageError{err}
	}
	config := simulator.Config{Profile: profile}
	newSteering(touch).apply(&config)
	authenticator, path, err := newSimulator(e.global.simulatorState, config)
	if err != nil {
		return nil, err
	}
	door := simulator.NewHID(authenticator)
	key, err := e.openPort(ctx, door.Port(), deviceInfo{Path: simulatorName, Product: "fidokey simulator", State: path}, prompt)
	if err != nil {
		return nil, errors.Join(err, door.Close(), authenticator.Close())
	}
	key.afterClose = append(key.afterClose, door.Close, authenticator.Close)
	key.slot = simulatorSlot{authenticator}
	return key, nil
}

// A steering is the person and the clock of a simulated key, which the control
// interface reaches too.
type steering struct {
	clock  *simulator.VirtualClock
	touch  *simulator.TouchPlan
	finger *simulator.FingerPlan
}

// newSteering has a person touch the key, and lay a finger on its sensor, in the
// same way.
func newSteering(touch simulator.Touch) steering {
	s := steering{clock: simulator.NewVirtualClock()}
	s.touch = simulator.NewTouchPlan(s.clock, touch)
	s.finger = simulator.NewFingerPlan(s.clock, touch.After)
	if touch.Action == simulator.TouchKey || touch.Action == simulator.TouchLong {
		s.finger.Set(&simulator.Sample{Finger: simulator.DefaultFinger})
	}
	return s
}

func (s steering) apply(c *simulator.Config) {
	c.Clock, c.Presence, c.Finger = s.clock, s.touch.Presence, s.finger.Finger
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
	path, err := stateFile("simulator.db")
	if err != nil {
		return "", fmt.Errorf("%w; choose a file with --simulator-state", err)
	}
	return path, nil
}

func newSimulatorCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulator",
		Short: "Be a security key in software",
		Long: `Be a security key in software, for tests. It keeps keys in an ordinary file and
touches itself: it is a test instrument, not a safe place for secrets.`,
	}
	cmd.AddCommand(newSimulatorRunCmd(e), newSimulatorProfilesCmd(e), newSimulatorProfileCmd(e), newSimulatorControlCmd(e))
	return cmd
}
