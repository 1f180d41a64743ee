package conformance_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

// A simulated key lives in a bubble of testing/synctest, where all time is the
// same and waiting takes none. It is built anew from its storage whenever the
// power comes back.
type simulated struct {
	t       *testing.T
	profile *simulator.Profile
	store   *cutStorage
	key     *simulator.Authenticator
	port    *simulator.Port

	mu      sync.Mutex
	touch   conformance.Touch
	changed chan struct{} // closed when touch does
	finger  conformance.Finger
}

// newSimulated returns a new key of a profile and the bench that it is on.
func newSimulated(t *testing.T, own *simulator.Profile) (*conformance.Bench, *simulated) {
	s := &simulated{t: t, profile: own, changed: make(chan struct{})}
	s.store = &cutStorage{Storage: simulator.NewMemory()}
	s.plugIn()
	t.Cleanup(s.unplug)
	bench := &conformance.Bench{
		Port: func() (hid.Port, error) {
			s.port = simulator.NewHID(s.key).Port()
			return s.port, nil
		},
		PowerCycle: func(context.Context) error {
			s.unplug()
			s.plugIn()
			return nil
		},
		Touch: func(touch conformance.Touch) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.touch = touch
			close(s.changed)
			s.changed = make(chan struct{})
		},
		Finger: func(finger conformance.Finger) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.finger = finger
		},
		Wait: func(_ context.Context, d time.Duration) { time.Sleep(d) },
		Become: func(word string) error {
			profile := own
			if word != "" {
				profile = variantOf(own, word)
			}
			if profile == nil {
				return errors.New("no such variant")
			}
			s.unplug()
			s.profile = profile
			s.store = &cutStorage{Storage: simulator.NewMemory()}
			s.plugIn()
			return nil
		},
		CutPower: func(n int, written bool) {
			s.store.arm(n, written, func() {
				if s.port != nil {
					go s.port.Close()
				}
			})
		},
		Release:        true,
		EnterpriseRPID: "enterprise.example",
	}
	if slices.Contains(own.GetInfo.Transports, "nfc") {
		bench.Card = func() (nfc.Card, error) {
			if s.port != nil { // on USB, too, it would not notice the field
				s.port.Close()
			}
			return simulator.NewCard(s.key), nil
		}
	}
	return bench, s
}

func (s *simulated) plugIn() {
	key, err := simulator.New(simulator.Config{Storage: s.store, Presence: s.presence, Finger: s.sample, Profile: s.profile})
	if err != nil {
		s.t.Fatal(err)
	}
	s.key = key
}

func (s *simulated) unplug() {
	if s.port != nil {
		s.port.Close()
		s.port = nil
	}
	s.key.Close()
}

// presence is the person, who takes a moment, and may change their mind.
func (s *simulated) presence(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
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
func (s *simulated) sample(ctx context.Context, _ simulator.FingerRequest) simulator.Sample {
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

// cutStorage survives the key that uses it, and loses the power on request.
type cutStorage struct {
	simulator.Storage
	mu      sync.Mutex
	left    int
	written bool
	cut     func()
}

var errPower = errors.New("the power is gone")

func (c *cutStorage) arm(n int, written bool, cut func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.written, c.cut = n, written, cut
}

func (c *cutStorage) Close() error { return nil }

func (c *cutStorage) Commit(records map[string][]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left < 0 {
		return errPower
	}
	if c.left != 1 {
		c.left = max(0, c.left-1)
		return c.Storage.Commit(records)
	}
	c.left = -1
	defer c.cut()
	if c.written {
		if err := c.Storage.Commit(records); err != nil {
			return err
		}
	}
	return errPower
}

// variantOf is a profile changed to what a word of the cases says, or nil.
func variantOf(own *simulator.Profile, word string) *simulator.Profile {
	if shipped, err := simulator.LoadProfile("variant-" + word); err == nil && own.Name == simulator.Full23().Name {
		return shipped
	}
	p := *own
	info := &p.GetInfo
	info.Options = maps.Clone(info.Options)
	without := func(list []string, names ...string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(names, s) })
	}
	switch word {
	case "no-u2f":
		info.Versions = without(info.Versions, ctap2.VersionU2F)
	case "no-nfc-reset":
		info.TransportsForReset = []string{"usb"}
	case "no-rk":
		delete(info.Options, "rk")
		delete(info.Options, "credMgmt")
		info.RemainingDiscoverableCredentials = nil
	case "no-uv":
		for _, o := range []string{"uv", "bioEnroll", "uvBioEnroll", "uvAcfg"} {
			delete(info.Options, o)
		}
	case "no-uvnotrqd":
		delete(info.Options, "makeCredUvNotRqd")
	case "nomcga":
		info.Options["noMcGaPermissionsWithClientPin"] = true
	case "no-credmgmt":
		delete(info.Options, "credMgmt")
	case "no-largeblobs":
		delete(info.Options, "largeBlobs")
		info.Extensions = without(info.Extensions, "largeBlobKey")
		info.MaxSerializedLargeBlobArray = nil
	case "no-config":
		for _, o := range []string{"authnrCfg", "setMinPINLength", "alwaysUv", "ep", "uvAcfg"} {
			delete(info.Options, o)
		}
	case "no-ep-support":
		delete(info.Options, "ep")
	case "no-wink":
		p.NoWink = true
	case "largeblob":
		delete(info.Options, "largeBlobs")
		info.Extensions = append(without(info.Extensions, "largeBlobKey"), "largeBlob")
		info.MaxSerializedLargeBlobArray = nil
	case "preview":
		info.Versions = append(slices.Clone(info.Versions), ctap2.VersionFIDO21Pre)
		info.Options["userVerificationMgmtPreview"], info.Options["credentialMgmtPreview"] = false, true
	case "no-minpin":
		info.Extensions = without(info.Extensions, "minPinLength", "pinComplexityPolicy")
	default:
		return nil
	}
	return &p
}

// inBubble runs a test with virtual time.
func inBubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }
