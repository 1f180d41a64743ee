// Package simulated puts simulated keys on a bench for package conformance: a
// person with several fingers, a power supply that fails at a certain write, and
// the variants of a profile that cases ask for.
//
// Cases wait for long. Where they run in a bubble of testing/synctest, as those
// of this project do, that takes no time.
package simulated

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

// EnterpriseRPID is on the list of RP IDs that a simulated key gives its
// enterprise attestation to.
const EnterpriseRPID = "enterprise.example"

// A Key is a simulated key. It is built anew from its storage whenever the power
// comes back.
type Key struct {
	profile *simulator.Profile
	store   *cutStorage
	key     *simulator.Authenticator
	port    *simulator.Port

	mu      sync.Mutex
	touch   conformance.Touch
	changed chan struct{} // closed when touch does
	finger  conformance.Finger
}

// New returns a new key of a profile and the bench that it is on, which is
// released: the key has nothing to lose. Close ends the key.
func New(own *simulator.Profile) (*conformance.Bench, *Key, error) {
	s := &Key{profile: own, changed: make(chan struct{}), store: newStorage()}
	if err := s.plugIn(); err != nil {
		return nil, nil, err
	}
	bench := &conformance.Bench{
		Port: s.openPort,
		PowerCycle: func(context.Context) error {
			s.Close()
			return s.plugIn()
		},
		Touch:          s.setTouch,
		Finger:         s.setFinger,
		Wait:           func(_ context.Context, d time.Duration) { time.Sleep(d) },
		Become:         func(word string) error { return s.become(own, word) },
		CutPower:       s.cutPower,
		Release:        true,
		EnterpriseRPID: EnterpriseRPID,
	}
	if slices.Contains(own.GetInfo.Transports, "nfc") {
		bench.Card = s.openCard
		if !slices.Contains(own.GetInfo.Transports, "usb") {
			bench.Port = nil
		}
	}
	return bench, s, nil
}

// Authenticator is the key as it is plugged in now.
func (s *Key) Authenticator() *simulator.Authenticator { return s.key }

func (s *Key) openPort() (hid.Port, error) {
	s.port = simulator.NewHID(s.key).Port()
	return s.port, nil
}

func (s *Key) openCard() (nfc.Card, error) {
	if s.port != nil { // on USB, too, it would not notice the field
		s.port.Close()
	}
	return simulator.NewCard(s.key), nil
}

func (s *Key) plugIn() (err error) {
	s.key, err = simulator.New(simulator.Config{Storage: s.store, Presence: s.presence, Finger: s.sample, Profile: s.profile})
	return err
}

// Close unplugs the key.
func (s *Key) Close() error {
	if s.port != nil {
		s.port.Close()
		s.port = nil
	}
	return s.key.Close()
}

// become plugs in another key: a variant of the profile, or the profile again.
func (s *Key) become(own *simulator.Profile, word string) error {
	profile := own
	if word != "" {
		profile = VariantOf(own, word)
	}
	if profile == nil {
		return errors.New("no such variant")
	}
	s.Close()
	s.profile, s.store = profile, newStorage()
	return s.plugIn()
}

func (s *Key) setTouch(touch conformance.Touch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touch = touch
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Key) setFinger(finger conformance.Finger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finger = finger
}

func (s *Key) cutPower(n int, written bool) {
	s.store.arm(n, written, func() {
		if s.port != nil {
			go s.port.Close()
		}
	})
}

// presence is the person, who takes a moment, and may change their mind.
func (s *Key) presence(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
	for {
		s.mu.Lock()
		touch, changed := s.touch, s.changed
		if touch == conformance.TouchOnce {
			s.touch = conformance.TouchNever
		}
		s.mu.Unlock()
		var moment <-chan time.Time
		if touch != conformance.TouchNever {
			moment = time.After(20 * time.Millisecond)
		}
		select {
		case <-ctx.Done():
			return simulator.PresenceNone
		case <-changed:
		case <-moment:
			switch touch {
			case conformance.TouchDecline:
				return simulator.PresenceDeclined
			case conformance.TouchLong:
				return simulator.PresenceLongTouch
			}
			return simulator.PresenceTouched
		}
	}
}

// sample is the finger on the sensor.
func (s *Key) sample(ctx context.Context, _ simulator.FingerRequest) simulator.Sample {
	s.mu.Lock()
	finger := s.finger
	s.mu.Unlock()
	if finger == conformance.FingerNone {
		<-ctx.Done()
		return simulator.Sample{Quality: simulator.SampleNoActivity}
	}
	time.Sleep(20 * time.Millisecond)
	if finger == conformance.FingerPoor {
		return simulator.Sample{Finger: "0", Quality: simulator.SamplePoorQuality}
	}
	return simulator.Sample{Finger: strconv.Itoa(int(finger))}
}
