package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

var errEnough = errors.New("enough")

// A moment is when a context ends. Its functions may be nil.
type moment struct {
	name      string
	exchange  func(n int) bool // before the n-th, from 1
	answer    func(n int) bool // after the n-th
	keepalive func(n int) bool // at the n-th that asks for a touch, of the flow
	prompt    bool             // while the person types
	// touch is when the person touches the key, counted from the cancel; negative
	// is never.
	touch time.Duration
	// lostCancel loses CTAPHID_CANCEL, so that the answer comes in spite of it.
	lostCancel bool
	answered   bool // the flow has its result all the same, if it needs a touch
}

func moments() (all []moment) {
	for n := range 6 {
		here := func(i int) bool { return i == n+1 }
		all = append(all,
			moment{name: fmt.Sprintf("before exchange %d", n+1), exchange: here},
			moment{name: fmt.Sprintf("after answer %d", n+1), answer: here})
	}
	for _, n := range []int{1, 2, 20} {
		here := func(i int) bool { return i == n }
		all = append(all,
			moment{name: fmt.Sprintf("at keepalive %d", n), keepalive: here, touch: -1},
			moment{name: fmt.Sprintf("at keepalive %d, with a touch", n), keepalive: here},
			moment{name: fmt.Sprintf("at keepalive %d, with a touch soon after", n), keepalive: here, touch: time.Second},
			moment{name: fmt.Sprintf("at keepalive %d, answered all the same", n), keepalive: here, touch: time.Second, lostCancel: true, answered: true})
	}
	return append(all, moment{name: "at the prompt", prompt: true})
}

// presence is what the person does at a key that blinks.
func (m moment) presence(flow, key context.Context) simulator.Presence {
	select {
	case <-flow.Done():
	case <-key.Done():
	}
	if m.touch >= 0 {
		select {
		case <-time.After(m.touch):
			return simulator.PresenceTouched
		case <-key.Done():
		}
	}
	<-key.Done()
	return simulator.PresenceNone
}

// interrupted is a device through which a context ends at a moment.
type interrupted struct {
	transport.Device
	moment     moment
	end        func()
	exchanges  int
	keepalives int
}

func (d *interrupted) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	d.exchanges++
	if at := d.moment.exchange; at != nil && at(d.exchanges) {
		d.end()
	}
	heard := transport.WithStatus(ctx, func(s transport.Status) {
		if s == transport.StatusUPNeeded {
			d.keepalives++
			if at := d.moment.keepalive; at != nil && at(d.keepalives) {
				d.end()
			}
		}
		transport.Report(ctx, s)
	})
	answer, err := d.Device.Exchange(heard, msg)
	if at := d.moment.answer; at != nil && at(d.exchanges) {
		d.end()
	}
	return answer, err
}

// TestCancelAnytime ends the context of every flow at every moment, on the HID
// door. Afterwards the same Key works, no try is gone, and no token is kept.
func TestCancelAnytime(t *testing.T) {
	states := newPrepared()
	for _, profile := range []string{"default", "ctap-2.0", "fingerprint"} {
		for _, f := range flows {
			if sound := states.sound(t, profile, f); sound.err != nil {
				t.Logf("%s, %s: %v", profile, f.name, sound.err)
				continue
			}
			for _, m := range moments() {
				t.Run(profile+", "+f.name+", "+m.name, func(t *testing.T) {
					state := states.get(t, profile)
					synctest.Test(t, func(t *testing.T) { cancelled(t, state, f, m) })
				})
			}
		}
	}
}

// cancelled runs a flow that is cancelled, and looks at what is left.
func cancelled(t *testing.T, state preparedState, f flow, m moment) {
	ctx, end := context.WithCancelCause(t.Context())
	defer end(nil)
	var touched, over atomic.Bool // asked for a touch; the flow is over
	a, err := simulator.New(simulator.Config{Profile: state.profile, Presence: func(key context.Context, _ simulator.PresenceRequest) simulator.Presence {
		if m.keepalive == nil || over.Load() {
			return simulator.PresenceTouched
		}
		touched.Store(true)
		return m.presence(ctx, key)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Restore(t.Context(), state.snapshot); err != nil {
		t.Fatal(err)
	}
	door := simulator.NewHID(a)
	defer door.Close()
	port := &port{Port: door.Port()}
	port.drop = func(report []byte) bool { return m.lostCancel && report[4] == 0x80|0x11 }
	dev, err := hid.Open(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	wire := &interrupted{Device: dev, moment: m, end: func() { end(errEnough) }}
	person := &forgetful{pin: rightPIN}
	options := person.options()
	ask := options.Prompt.PIN
	options.Prompt.PIN = func(c context.Context, r client.PINRequest) ([]byte, error) {
		if m.prompt {
			end(errEnough)
		}
		return ask(c, r)
	}
	key := client.New(wire, options)
	defer key.Close()

	err = f.run(ctx, key)
	over.Store(true)
	person.leftNothing(t, err)
	switch {
	case m.answered && touched.Load():
		if err != nil {
			t.Errorf("the answer that came was not returned: %v", err)
		}
	case err != nil && !errors.Is(err, errEnough):
		t.Errorf("error %v", err)
	case err == nil && ctx.Err() != nil && m.exchange != nil && wire.exchanges > 0:
		// The answer may have overtaken the cancel, but not one that was there
		// before the request.
		t.Error("no error, though the context had ended before the exchange")
	case err == nil && m.touch < 0 && touched.Load():
		t.Error("no error, though nobody has touched the key")
	}
	if got := retries(t, a, true); got != allRetries {
		t.Errorf("%d retries", got)
	}
	if held := client.HeldToken(key); held != nil && !f.keepsToken && state.profile.GetInfo.Options[ctap2.OptionPINUVAuthToken] {
		t.Error("a token is still held")
	}

	m.prompt, wire.moment, port.drop = false, moment{}, func([]byte) bool { return false }
	if f.name == "change" {
		// It is not known which of the two it is, as after any cancel.
		person.pin = ""
		for _, p := range []string{rightPIN, newPIN} {
			person.pin = p
			if err := key.VerifyPIN(t.Context()); err == nil {
				break
			}
		}
	}
	if _, err := key.Info(t.Context()); err != nil {
		t.Errorf("getInfo afterwards: %v", err)
	}
	r := registration()
	r.RP.ID = "another.example"
	made, err := key.Register(t.Context(), r)
	if err != nil {
		t.Fatalf("register afterwards: %v", err)
	}
	if data, err := ctap2.ParseAuthenticatorData(made.AuthData); err != nil || data.Flags&ctap2.FlagUV == 0 {
		t.Errorf("registered afterwards: %+v, %v", data, err)
	}
}

// port drops reports to the key.
type port struct {
	*simulator.Port
	drop func(report []byte) bool
}

func (p *port) Write(report []byte) (int, error) {
	if p.drop(report) {
		return len(report), nil
	}
	return p.Port.Write(report)
}

// TestEndlessKeepalives: a key that works for ever, and says so again and again,
// is waited for no longer than Options.Timeout.
func TestEndlessKeepalives(t *testing.T) {
	const timeout = 4 * time.Second
	states := newPrepared()
	for _, tt := range []struct {
		name string
		open func(t *testing.T, a *simulator.Authenticator) transport.Device
		more time.Duration // for the cancel
		dead bool          // the key is given up
	}{
		{"direct", func(_ *testing.T, a *simulator.Authenticator) transport.Device { return a }, 0, false},
		{"HID", func(t *testing.T, a *simulator.Authenticator) transport.Device {
			return openHID(t, a, func([]byte) bool { return false })
		}, time.Second, false},
		{"HID, deaf to a cancel", func(t *testing.T, a *simulator.Authenticator) transport.Device {
			return openHID(t, a, func(report []byte) bool { return report[4] == 0x80|0x11 })
		}, 3 * time.Second, false},
		{"HID, deaf to a cancel and to INIT", func(t *testing.T, a *simulator.Authenticator) transport.Device {
			return openHID(t, a, func(report []byte) bool {
				return report[4] == 0x80|0x11 || report[4] == 0x80|0x06 && [4]byte(report) != [4]byte{0xff, 0xff, 0xff, 0xff}
			})
		}, 3 * time.Second, true},
	} {
		for _, f := range flows {
			for skip := range uint(4) {
				t.Run(fmt.Sprintf("%s, %s, after %d", tt.name, f.name, skip), func(t *testing.T) {
					state := states.get(t, "default")
					synctest.Test(t, func(t *testing.T) {
						a, err := simulator.New(simulator.Config{Profile: state.profile})
						if err != nil {
							t.Fatal(err)
						}
						defer a.Close()
						if err := a.Restore(t.Context(), state.snapshot); err != nil {
							t.Fatal(err)
						}
						dev := tt.open(t, a)
						person := &forgetful{pin: rightPIN}
						options := person.options()
						options.Timeout = timeout
						key := client.New(dev, options)
						defer key.Close()
						if err := a.Faults().Add(simulator.Fault{Kind: simulator.FaultStuck, Skip: skip}); err != nil {
							t.Fatal(err)
						}
						begin := time.Now()
						err = f.run(t.Context(), key)
						took := time.Since(begin)
						if len(a.Faults().Pending()) > 0 {
							return // the flow has fewer exchanges
						}
						if !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("error %v", err)
						}
						if took < timeout || took > timeout+tt.more {
							t.Errorf("it took %v", took)
						}
						person.leftNothing(t, err)
						if _, err := client.Do(t.Context(), key, ctap2.GetInfo{}); (err == nil) == tt.dead {
							t.Errorf("afterwards: %v", err)
						}
						if !tt.dead {
							if got := retries(t, a, true); got != allRetries {
								t.Errorf("%d retries", got)
							}
						}
					})
				})
			}
		}
	}
}

func openHID(t *testing.T, a *simulator.Authenticator, drop func(report []byte) bool) transport.Device {
	t.Helper()
	door := simulator.NewHID(a)
	t.Cleanup(func() { door.Close() })
	dev, err := hid.Open(t.Context(), &port{Port: door.Port(), drop: drop})
	if err != nil {
		t.Fatal(err)
	}
	return dev
}
