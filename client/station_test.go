package client_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/u2f"
)

// A line is a HID device that notes what is sent over it, U2F included.
type line struct {
	*hid.Device
	mu     sync.Mutex
	asked  []string
	canned func(msg []byte) []byte // answers in place of the key, unless nil
}

func (l *line) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, what)
}

// sent returns what was sent since the last time.
func (l *line) sent() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := l.asked
	l.asked = nil
	return asked
}

func (l *line) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	l.note(ctap2.Command(msg[0]).String())
	if l.canned != nil {
		if answer := l.canned(msg); answer != nil {
			return answer, nil
		}
	}
	return l.Device.Exchange(ctx, msg)
}

func (l *line) Message(ctx context.Context, apdu []byte) ([]byte, error) {
	what := u2f.Instruction(apdu[1]).String()
	if u2f.Control(apdu[2]) == u2f.CheckOnly {
		what += " check only"
	}
	l.note(what)
	return l.Device.Message(ctx, apdu)
}

func (l *line) Wink(ctx context.Context) error {
	l.note("wink")
	return l.Device.Wink(ctx)
}

// A cable counts the reports that go to the key.
type cable struct {
	*simulator.Port
	reports int
}

func (c *cable) Write(report []byte) (int, error) {
	c.reports++
	return c.Port.Write(report)
}

// A station is a key over a simulator, through reports, U2F included.
type station struct {
	*client.Key
	simulator *simulator.Authenticator
	line      *line
	cable     *cable
	touches   []client.Touch
	findings  []string
	pins      int // asked for
}

func newStation(t *testing.T, c simulator.Config) *station {
	t.Helper()
	a, err := simulator.New(c)
	if err != nil {
		t.Fatal(err)
	}
	cable := &cable{Port: simulator.NewHID(a).Port()}
	dev, err := hid.Open(t.Context(), cable)
	if err != nil {
		t.Fatal(err)
	}
	cable.reports = 0
	s := &station{simulator: a, line: &line{Device: dev}, cable: cable}
	answer := func() ([]byte, error) { return []byte("1234"), nil }
	s.Key = client.New(s.line, client.Options{
		Prompt: client.Prompt{
			PIN:    func(context.Context, client.PINRequest) ([]byte, error) { s.pins++; return answer() },
			NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return answer() },
			Touch:  func(touch client.Touch) { s.touches = append(s.touches, touch) },
		},
		Findings: func(f ctap2.Finding) { s.findings = append(s.findings, f.Where+": "+f.What) },
	})
	t.Cleanup(func() {
		s.Close()
		a.Close()
	})
	return s
}

// profile loads a shipped profile and changes it.
func profile(t *testing.T, name string, edits ...func(p *simulator.Profile)) *simulator.Profile {
	t.Helper()
	p, err := simulator.LoadProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range edits {
		if edit != nil {
			edit(p)
		}
	}
	return p
}

// playing is a station for a shipped profile.
func playing(t *testing.T, name string) *station {
	t.Helper()
	return newStation(t, simulator.Config{Profile: profile(t, name)})
}

// wantSent compares what was sent with what was to be sent.
func (s *station) wantSent(t *testing.T, want ...string) {
	t.Helper()
	if sent := s.line.sent(); !slices.Equal(sent, want) {
		t.Errorf("sent %q\nwant %q", sent, want)
	}
}

// touchedAfter is a person who takes their time.
func touchedAfter(d time.Duration) func(context.Context, simulator.PresenceRequest) simulator.Presence {
	return func(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
		select {
		case <-time.After(d):
			return simulator.PresenceTouched
		case <-ctx.Done():
			return simulator.PresenceNone
		}
	}
}

// nobodyThere is a person who is not.
func nobodyThere(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
	<-ctx.Done()
	return simulator.PresenceNone
}
