package simulator_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/simulator"
)

// outcomes asks for touches one after the other and notes how long each took.
func outcomes(p *simulator.TouchPlan, n int) (answers []simulator.Presence, took []time.Duration) {
	for range n {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		start := time.Now()
		answers = append(answers, p.Presence(ctx, simulator.PresenceRequest{}))
		took = append(took, time.Since(start))
		cancel()
	}
	return answers, took
}

func TestTouchPlan(t *testing.T) {
	const none, touched, declined = simulator.PresenceNone, simulator.PresenceTouched, simulator.PresenceDeclined
	for _, tt := range []struct {
		usual string
		next  []string
		want  []simulator.Presence
		took  []time.Duration
	}{
		{"auto", nil, []simulator.Presence{touched, touched}, []time.Duration{150 * time.Millisecond, 150 * time.Millisecond}},
		{"0", nil, []simulator.Presence{touched}, []time.Duration{0}},
		{"2500", nil, []simulator.Presence{touched}, []time.Duration{2500 * time.Millisecond}},
		{"never", nil, []simulator.Presence{none}, []time.Duration{30 * time.Second}},
		{"decline", nil, []simulator.Presence{declined}, []time.Duration{150 * time.Millisecond}},
		{"long", nil, []simulator.Presence{simulator.PresenceLongTouch}, []time.Duration{5 * time.Second}},
		{"0", []string{"never", "decline"}, []simulator.Presence{none, declined, touched},
			[]time.Duration{30 * time.Second, 150 * time.Millisecond, 0}},
	} {
		t.Run(tt.usual, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plan := simulator.NewTouchPlan(simulator.NewVirtualClock(), touchOf(t, tt.usual))
				for _, next := range tt.next {
					plan.Next(touchOf(t, next))
				}
				answers, took := outcomes(plan, len(tt.want))
				for i := range tt.want {
					if answers[i] != tt.want[i] || took[i] != tt.took[i] {
						t.Errorf("request %d: %v after %v, want %v after %v", i, answers[i], took[i], tt.want[i], tt.took[i])
					}
				}
			})
		})
	}
}

func touchOf(t *testing.T, s string) simulator.Touch {
	t.Helper()
	touch, err := simulator.ParseTouch(s)
	if err != nil {
		t.Fatal(err)
	}
	return touch
}

// TestTouchByScript: each request waits until the script decides.
func TestTouchByScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := simulator.NewTouchPlan(simulator.NewVirtualClock(), touchOf(t, "ask"))
		if plan.Answer(simulator.PresenceTouched) {
			t.Error("an answer that nobody waited for was taken")
		}
		answers := make(chan simulator.Presence)
		ask := func() { answers <- plan.Presence(t.Context(), simulator.PresenceRequest{RPID: "example.com"}) }
		for _, decide := range []struct {
			how  func()
			want simulator.Presence
		}{
			{func() { plan.Answer(simulator.PresenceTouched) }, simulator.PresenceTouched},
			{func() { plan.Answer(simulator.PresenceDeclined) }, simulator.PresenceDeclined},
			{func() { plan.Next(touchOf(t, "0")) }, simulator.PresenceTouched},
			{func() { plan.Set(touchOf(t, "decline")) }, simulator.PresenceDeclined},
		} {
			go ask()
			synctest.Wait()
			if w := plan.Waiting(); len(w) != 1 || w[0].RPID != "example.com" {
				t.Fatalf("waiting: %v", w)
			}
			decide.how()
			if got := <-answers; got != decide.want {
				t.Errorf("%v, want %v", got, decide.want)
			}
		}
		if w := plan.Waiting(); len(w) != 0 {
			t.Errorf("still waiting: %v", w)
		}
	})
}

func TestVirtualClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]*simulator.VirtualClock{
			"manual": simulator.NewManualClock(time.Now()), "running": simulator.NewVirtualClock(),
		} {
			start, order := c.Now(), &notes{}
			c.AfterFunc(3*time.Second, func() { order.add("3") })
			c.AfterFunc(time.Second, func() {
				order.add("1")
				c.AfterFunc(time.Second, func() { order.add("2") })
			})
			stop := c.AfterFunc(2*time.Second, func() { order.add("never") })
			stop()
			c.Advance(2500 * time.Millisecond)
			order.expect(t, name+", 2.5 s", "12")
			if name == "running" {
				time.Sleep(499 * time.Millisecond) // in the bubble
				synctest.Wait()
				order.expect(t, "running, 2.999 s", "12")
				time.Sleep(time.Millisecond)
				synctest.Wait()
			} else {
				c.Advance(500 * time.Millisecond)
			}
			order.expect(t, name+", 3 s", "123")
			if d := c.Now().Sub(start); d != 3*time.Second {
				t.Errorf("%s: the clock has gone %v", name, d)
			}
		}
	})
}

// notes are taken by several goroutines.
type notes struct {
	mu   sync.Mutex
	text string
}

func (n *notes) add(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text += s
}

func (n *notes) expect(t *testing.T, when, want string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.text != want {
		t.Errorf("%s: %q, want %q", when, n.text, want)
	}
}

// TestAdvanceTouchTimeout: half a minute on the clock takes no time, and brings
// no storm of keepalives.
func TestAdvanceTouchTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := simulator.NewVirtualClock()
		plan := simulator.NewTouchPlan(clock, touchOf(t, "never"))
		key, err := simulator.New(simulator.Config{Clock: clock, Presence: plan.Presence})
		if err != nil {
			t.Fatal(err)
		}
		defer key.Close()
		host := newHost(t, simulator.NewHID(key).Port())
		host.send(0x90, []byte{selection})
		synctest.Wait()
		clock.Advance(30 * time.Second)
		answer, keepalives := host.answer()
		if answer[0] != userActionTimeout || keepalives > 2 {
			t.Errorf("status %#02x after %d keepalives", answer[0], keepalives)
		}
	})
}

// TestSeed: one seed and the same requests give the same session, byte for byte.
func TestSeed(t *testing.T) {
	session := func(seed string) string {
		k := newKey(t, func(c *simulator.Config) { c.Random = simulator.NewSeeded([]byte(seed)) })
		host := newHost(t, simulator.NewHID(k.Authenticator).Port())
		k.through = host.exchange
		k.setPIN(testPIN)
		k.add(testRP, "alice")
		k.ok(getAssertion, sign(testRP))
		k.PowerCycle()
		host.open()
		k.ok(makeCredential, creation())
		k.ok(credentialManagement, k.token(2, permCM, "").manage(2, nil))
		return host.transcript.String()
	}
	one, again, other := session("one"), session("one"), session("another")
	if one != again {
		t.Error("two sessions with one seed differ")
	}
	if one == other || len(one) < 1000 {
		t.Error("two seeds give the same session")
	}
}
