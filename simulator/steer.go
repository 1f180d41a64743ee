package simulator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// steered answers one request: with what a test has put in the way, or as the
// key with its quirks.
func (a *Authenticator) steered(ctx context.Context, from origin, msg []byte) []byte {
	answer, canned := a.faults.answer(ctx, msg)
	if !canned {
		answer = a.quirky(ctx, from, msg)
	}
	a.counters.command(msg, answer)
	return a.leaving(ctx, msg, answer)
}

// leaving is what leaves the key in place of an answer.
func (a *Authenticator) leaving(ctx context.Context, request, answer []byte) []byte {
	if a.config.Answers == nil {
		return answer
	}
	return a.config.Answers(ctx, request, answer)
}

// betweenCommands calls f while no command is at work.
func (a *Authenticator) betweenCommands(ctx context.Context, f func() error) error {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("simulator: %w", context.Cause(ctx))
	}
	defer func() { <-a.turn }()
	if err := f(); err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	return nil
}

// SetProfile has the key play another profile, with the state that it has, after
// a power cycle. It waits for the command at work.
func (a *Authenticator) SetProfile(ctx context.Context, p *Profile) error {
	for number := range slices.Values(p.GetInfo.PINUVAuthProtocols) {
		if pinProtocols[number] == nil {
			return fmt.Errorf("simulator: profile %s: PIN/UV auth protocol %d is unknown", p.Name, number)
		}
	}
	return a.betweenCommands(ctx, func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.profile = p
		a.cutPower()
		return nil
	})
}

// Profile returns the profile that the key plays. It must not be changed.
func (a *Authenticator) Profile() *Profile {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.profile
}

// SetResetWindow switches the rule that authenticatorReset must come soon after
// power-up, which is on at first.
func (a *Authenticator) SetResetWindow(on bool) { a.noResetWindow.Store(!on) }

// snapshotNote tells a snapshot from other files.
const snapshotNote = "fidokey simulator snapshot 1"

type snapshot struct {
	Note    string            `cbor:"1,keyasint"`
	Records map[string][]byte `cbor:"2,keyasint"`
}

// Snapshot returns all that survives power-off, for Restore.
func (a *Authenticator) Snapshot(ctx context.Context) (data []byte, err error) {
	err = a.betweenCommands(ctx, func() error {
		records, err := a.config.Storage.Load()
		if err != nil {
			return err
		}
		data, err = ctapcbor.Marshal(snapshot{snapshotNote, records})
		return err
	})
	return data, err
}

// Restore gives the key the state of a Snapshot, its counters included, after a
// power cycle. It waits for the command at work.
func (a *Authenticator) Restore(ctx context.Context, data []byte) error {
	var s snapshot
	if err := ctapcbor.Unmarshal(data, &s); err != nil || s.Note != snapshotNote || s.Records[deviceRecord] == nil {
		return errors.New("simulator: not a snapshot")
	}
	return a.betweenCommands(ctx, func() error {
		restored := newState(cuttable{a.config.Storage, a.faults})
		if err := restored.load(s.Records); err != nil {
			return err
		}
		present, err := a.config.Storage.Load()
		if err != nil {
			return err
		}
		changes := maps.Clone(s.Records)
		for name := range present {
			if _, kept := changes[name]; !kept {
				changes[name] = nil
			}
		}
		if err := a.config.Storage.Commit(changes); err != nil {
			return err
		}
		a.state = restored
		a.mu.Lock()
		defer a.mu.Unlock()
		a.cutPower()
		return nil
	})
}

// Faults returns what can be put in the way of the key's messages.
func (a *Authenticator) Faults() *Faults { return a.faults }

// Counters returns what the key was asked so far.
func (a *Authenticator) Counters() Counts { return a.counters.counts() }

// ResetCounters starts counting anew.
func (a *Authenticator) ResetCounters() { a.counters.reset() }

// subCommand returns the subcommand of a request, 0 if it has none.
func subCommand(msg []byte) uint64 {
	member := map[ctap2.Command]int{
		ctap2.CommandClientPIN: 2, ctap2.CommandBioEnrollment: 2, ctap2.CommandBioEnrollmentPreview: 2,
		ctap2.CommandCredentialManagement: 1, ctap2.CommandCredentialManagementPreview: 1,
		ctap2.CommandConfig: 1,
	}[ctap2.Command(msg[0])]
	if member == 0 {
		return 0
	}
	m, _ := decodeParams(msg[1:])
	return m.at(member).uint()
}
