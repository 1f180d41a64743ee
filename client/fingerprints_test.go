package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// fingers is a sensor on which fingers lie one after the other, and what the
// person was told.
type fingers struct {
	next []simulator.Sample
	told []string
	lay  func(ctx context.Context) simulator.Sample // when next is used up; nil: the index finger
}

func (f *fingers) finger(ctx context.Context, _ simulator.FingerRequest) simulator.Sample {
	if len(f.next) > 0 {
		s := f.next[0]
		f.next = f.next[1:]
		return s
	}
	if f.lay != nil {
		return f.lay(ctx)
	}
	return simulator.Sample{Finger: "index"}
}

// sensor returns a key with these fingers on its sensor.
func sensor(t *testing.T, p *simulator.Profile, f *fingers) *managed {
	t.Helper()
	m := newManagedKey(t, simulator.Config{Profile: p, Finger: f.finger})
	m.tell(t, f)
	return m
}

// tell notes the prompts of the sensor.
func (m *managed) tell(t *testing.T, f *fingers) {
	t.Helper()
	prompt := m.person.prompt()
	prompt.Sample = func(s ctap2.SampleStatus, remaining uint) { f.told = append(f.told, fmt.Sprint(s, " ", remaining)) }
	m.options.Prompt = prompt
	m.Key = client.New(m.wire, m.options)
	m.forget()
}

// prototype is a key with fingerprints as of FIDO_2_1_PRE.
func prototype(t *testing.T) *simulator.Profile {
	t.Helper()
	p := profile(t, "preview")
	p.GetInfo.Options[ctap2.OptionUVMgmtPreview] = false
	return p
}

// TestFingerprints enrols, lists, renames and removes a finger.
func TestFingerprints(t *testing.T) {
	for name, tt := range map[string]struct {
		profile        *simulator.Profile
		command, token string
	}{
		"fingerprint":     {profile(t, "fingerprint"), "BioEnrollment ", "9"},
		"ctap-2.3":        {simulator.Full23(), "BioEnrollment ", "9"},
		"variant-preview": {profile(t, "variant-preview"), "BioEnrollment ", "9"},
		"preview":         {prototype(t), "BioEnrollment (preview) ", "5"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fingers{}
			m := sensor(t, tt.profile, f)
			commands := func(subs ...string) (all []string) {
				for _, s := range subs {
					all = append(all, tt.command+s)
				}
				return all
			}
			token := []string{"ClientPIN 1", "ClientPIN 2", "ClientPIN " + tt.token}

			info, err := m.FingerprintSensor(t.Context())
			if want := (client.FingerprintSensor{Modality: 1, Kind: ctap2.FingerprintTouch, SamplesNeeded: 4, MaxNameBytes: 64}); err != nil || info != want {
				t.Errorf("sensor %+v, %v", info, err)
			}
			m.wantAsked(t, "GetInfo", strings.TrimSuffix(tt.command, " "), tt.command+"7")
			if none, err := m.Fingerprints(t.Context()); err != nil || none != nil {
				t.Errorf("on a new key: %v, %v", none, err)
			}
			m.wantAsked(t, then(token, commands("4")...)...)

			index, err := m.EnrollFingerprint(t.Context(), client.Enrollment{Name: "right index"})
			if err != nil {
				t.Fatal(err)
			}
			m.wantAsked(t, commands("7", "1", "2", "2", "2", "5")...)
			if want := []string{"good 3", "good 2", "good 1", "good 0"}; !slices.Equal(f.told, want) {
				t.Errorf("told %q", f.told)
			}
			if index.Name != "right index" || len(index.ID) == 0 {
				t.Errorf("enrolled %+v", index)
			}
			list := func(want ...string) {
				t.Helper()
				all, err := m.Fingerprints(t.Context())
				var names []string
				for _, f := range all {
					names = append(names, f.Name)
				}
				if err != nil || !slices.Equal(names, want) {
					t.Errorf("listed %q, %v", names, err)
				}
			}
			list("right index")
			m.wire.asked = nil
			if err := m.RenameFingerprint(t.Context(), index.ID, "Zeigefinger"); err != nil {
				t.Error(err)
			}
			list("Zeigefinger")
			if err := m.RenameFingerprint(t.Context(), []byte("none"), "x"); !errors.Is(err, ctap2.ErrInvalidOption) {
				t.Errorf("unknown: %v", err)
			}
			m.wire.asked = nil
			if err := m.RemoveFingerprint(t.Context(), index.ID); err != nil {
				t.Error(err)
			}
			m.wantAsked(t, commands("6")...)
			list()
			if err := m.RemoveFingerprint(t.Context(), index.ID); !errors.Is(err, ctap2.ErrInvalidOption) {
				t.Errorf("removed again: %v", err)
			}
		})
	}
}

// TestFingerInPlaceOfPIN: with a finger enrolled, the finger opens the sensor, and
// lists credentials, without a PIN.
func TestFingerInPlaceOfPIN(t *testing.T) {
	f := &fingers{}
	m := sensor(t, simulator.Full23(), f)
	if _, err := m.EnrollFingerprint(t.Context(), client.Enrollment{}); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	if all, err := m.Fingerprints(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	m.wantAsked(t, "GetInfo", "ClientPIN 2", "ClientPIN 6", "BioEnrollment 4")
	if _, err := m.Credentials(t.Context()); err != nil {
		t.Error(err)
	}
	m.wantAsked(t, "ClientPIN 2", "ClientPIN 6", "CredentialManagement 2")
	if err := m.SetAlwaysUV(t.Context(), true); err != nil {
		t.Error(err)
	}
	m.wantAsked(t, "ClientPIN 2", "ClientPIN 6", "Config 2")
	if len(m.person.asked) != 0 {
		t.Errorf("the PIN was asked for: %v", m.person.asked)
	}
	// A PIN that is at hand goes first, if that is said.
	m.options.PreferPIN = true
	m.open(t)
	if all, err := m.Fingerprints(t.Context()); err != nil || len(all) != 1 || len(m.person.asked) != 1 {
		t.Errorf("%v, %v, PIN asked for %d times", all, err, len(m.person.asked))
	}
	m.options.PreferPIN = false
	// Another's finger does not, and the PIN helps.
	f.lay = func(context.Context) simulator.Sample { return simulator.Sample{Finger: "another's"} }
	m.open(t)
	if all, err := m.Fingerprints(t.Context()); err != nil || len(all) != 1 || len(m.person.asked) != 1 {
		t.Errorf("%v, %v, PIN asked for %d times", all, err, len(m.person.asked))
	}
}

// TestSamples: only good samples lower what remains, and the person is told of
// all.
func TestSamples(t *testing.T) {
	f := &fingers{}
	m := sensor(t, profile(t, "fingerprint"), f)
	if _, err := m.EnrollFingerprint(t.Context(), client.Enrollment{}); err != nil { // of the index finger
		t.Fatal(err)
	}
	f.told, m.wire.asked = nil, nil
	thumb := func(q simulator.SampleQuality) simulator.Sample { return simulator.Sample{Finger: "thumb", Quality: q} }
	f.next = []simulator.Sample{
		thumb(simulator.SampleTooFast), thumb(0), {Finger: "index"}, {Finger: "ring"},
		thumb(simulator.SampleNoActivity), thumb(simulator.SampleNoActivity), thumb(0),
		thumb(simulator.SampleNoActivity), thumb(simulator.SampleNoActivity), thumb(0), thumb(simulator.SampleNoTransition), thumb(0),
	}
	if _, err := m.EnrollFingerprint(t.Context(), client.Enrollment{SampleTimeout: time.Second}); err != nil {
		t.Fatal(err)
	}
	want := []string{"too fast 4", "good 3", "exists 3", "merge failure 3", "no user activity 3", "no user activity 3", "good 2",
		"no user activity 2", "no user activity 2", "good 1", "no user presence transition 1", "good 0"}
	if !slices.Equal(f.told, want) {
		t.Errorf("told %q\nwant %q", f.told, want)
	}
	for _, name := range []string{"BioEnrollment 1", "BioEnrollment 2"} {
		if got := m.params(t, name, 3)[uint64(3)]; got != uint64(1000) {
			t.Errorf("%s with a time limit of %v ms", name, got)
		}
	}
}

// TestEnrollmentFails: whatever ends it, the key is left as it was.
func TestEnrollmentFails(t *testing.T) {
	nobody := func(context.Context) simulator.Sample { return simulator.Sample{Quality: simulator.SampleNoActivity} }
	for name, tt := range map[string]struct {
		fingers fingers
		tamper  func(string, []byte) []byte
		want    error
		asked   []string // after the first sample
	}{
		"nobody": {
			fingers: fingers{lay: nobody}, want: ctap2.ErrUserActionTimeout, asked: []string{"2", "2", "3"},
		},
		"the key's memory is full": {
			fingers: fingers{next: []simulator.Sample{{}, {Quality: simulator.SampleDatabaseFull}}},
			want:    ctap2.ErrFPDatabaseFull, asked: []string{"2", "3"},
		},
		"it was ended by another": {
			tamper: func(asked string, answer []byte) []byte {
				if asked == "BioEnrollment 2" {
					return []byte{byte(ctap2.ErrInvalidOption)}
				}
				return answer
			},
			want: ctap2.ErrInvalidOption, asked: []string{"2", "3"},
		},
		"no more samples after a bad one": {
			fingers: fingers{next: []simulator.Sample{{Quality: simulator.SampleTooHigh}}},
			tamper:  edit("BioEnrollment 1", func(members map[any]any) { members[uint64(6)] = 0 }),
			want:    ctap2.ErrMalformed, asked: []string{"3", "6"}, // it may have been the last
		},
		"no template": {
			tamper: edit("BioEnrollment 1", func(members map[any]any) { delete(members, uint64(4)) }),
			want:   ctap2.ErrMalformed, asked: []string{"3"},
		},
		"no status": {
			tamper: edit("BioEnrollment 2", func(members map[any]any) { delete(members, uint64(5)) }),
			want:   ctap2.ErrMalformed, asked: []string{"2", "3", "6"},
		},
		"the name is refused": {
			tamper: func(asked string, answer []byte) []byte {
				if asked == "BioEnrollment 5" {
					return []byte{byte(ctap2.ErrInvalidLength)}
				}
				return answer
			},
			want: ctap2.ErrInvalidLength, asked: []string{"2", "2", "2", "5", "3", "6"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := sensor(t, profile(t, "fingerprint"), &tt.fingers)
			m.wire.tamper = tt.tamper
			if got, err := m.EnrollFingerprint(t.Context(), client.Enrollment{Name: "x"}); !errors.Is(err, tt.want) {
				t.Errorf("%v, %v, want %v", got, err, tt.want)
			}
			want := then([]string{"GetInfo", "BioEnrollment 7"}, then(byPIN[1:], "BioEnrollment 1")...)
			for _, sub := range tt.asked {
				want = append(want, "BioEnrollment "+sub)
			}
			m.wantAsked(t, want...)
			m.wire.tamper = nil
			if left, err := m.Fingerprints(t.Context()); err != nil || len(left) != 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

// TestEndlessEnrollment: a sensor that is never content is not obeyed for ever.
func TestEndlessEnrollment(t *testing.T) {
	for name, remaining := range map[string]uint{"good ones do not count": 4, "millions": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			f := &fingers{lay: func(context.Context) simulator.Sample { return simulator.Sample{Quality: simulator.SamplePoorQuality} }}
			m := sensor(t, profile(t, "fingerprint"), f)
			lie := func(members map[any]any) { members[uint64(5)], members[uint64(6)] = 0, remaining }
			m.wire.tamper = func(asked string, answer []byte) []byte {
				return edit("BioEnrollment 1", lie)(asked, edit("BioEnrollment 2", lie)(asked, answer))
			}
			if _, err := m.EnrollFingerprint(t.Context(), client.Enrollment{}); err == nil || !strings.Contains(err.Error(), "100 samples") {
				t.Errorf("error %v", err)
			}
			if last := m.wire.asked[len(m.wire.asked)-1]; len(m.wire.asked) > 110 || last != "BioEnrollment 3" {
				t.Errorf("%d exchanges, the last is %s", len(m.wire.asked), last)
			}
		})
	}
}

// TestEnrollmentCancelled: before the first sample and between two of them.
func TestEnrollmentCancelled(t *testing.T) {
	for name, samples := range map[string]int{"at once": 0, "after two samples": 2} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			f := &fingers{next: make([]simulator.Sample, samples)}
			f.lay = func(ctx context.Context) simulator.Sample {
				cancel()
				<-ctx.Done()
				return simulator.Sample{Quality: simulator.SampleNoActivity}
			}
			m := sensor(t, profile(t, "fingerprint"), f)
			if _, err := m.EnrollFingerprint(ctx, client.Enrollment{}); !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v", err)
			}
			if last := m.wire.asked[len(m.wire.asked)-1]; last != "BioEnrollment 3" {
				t.Errorf("the last exchange is %s", last)
			}
			if len(f.told) != samples || len(m.findings) > 0 {
				t.Errorf("told %q, findings %q", f.told, m.findings)
			}
			if left, err := m.Fingerprints(t.Context()); err != nil || len(left) != 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

func TestFingerprintNames(t *testing.T) {
	p := profile(t, "fingerprint")
	p.Fingerprints.MaxNameBytes = 8
	m := sensor(t, p, &fingers{})
	for _, name := range []string{"ninebytes", "ääääa", "not UTF-8\xff"} {
		if _, err := m.EnrollFingerprint(t.Context(), client.Enrollment{Name: name}); !errors.Is(err, client.ErrWouldRefuse) {
			t.Errorf("enrol %q: %v", name, err)
		}
		if err := m.RenameFingerprint(t.Context(), []byte{1}, name); !errors.Is(err, client.ErrWouldRefuse) {
			t.Errorf("rename to %q: %v", name, err)
		}
	}
	if slices.ContainsFunc(m.wire.asked, func(a string) bool { return a != "GetInfo" && a != "BioEnrollment 7" }) {
		t.Errorf("asked %q", m.wire.asked)
	}
	if got, err := m.EnrollFingerprint(t.Context(), client.Enrollment{Name: "ääää"}); err != nil || got.Name != "ääää" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := m.EnrollFingerprint(t.Context(), client.Enrollment{SampleTimeout: time.Hour}); err == nil {
		t.Error("a sample may take longer than a command")
	}
}

func TestNoSensor(t *testing.T) {
	m := newManaged(t, profile(t, "ctap-2.1"))
	if _, err := m.Fingerprints(t.Context()); !errors.Is(err, client.ErrNoFingerprints) {
		t.Errorf("error %v", err)
	}
	m.wantAsked(t, "GetInfo")
}

// TestFullSensor: there is no room for another finger.
func TestFullSensor(t *testing.T) {
	p := profile(t, "fingerprint")
	p.Fingerprints.MaxTemplates = 1
	f := &fingers{}
	m := sensor(t, p, f)
	if _, err := m.EnrollFingerprint(t.Context(), client.Enrollment{}); err != nil {
		t.Fatal(err)
	}
	f.lay = func(context.Context) simulator.Sample { return simulator.Sample{Finger: "thumb"} }
	m.wire.asked = nil
	if _, err := m.EnrollFingerprint(t.Context(), client.Enrollment{}); !errors.Is(err, ctap2.ErrFPDatabaseFull) {
		t.Errorf("error %v", err)
	}
	m.wantAsked(t, "GetInfo", "BioEnrollment 1")
}

// TestFingerKnown: who enrols the same finger twice is told so soon.
func TestFingerKnown(t *testing.T) {
	f := &fingers{}
	m := sensor(t, profile(t, "fingerprint"), f)
	if _, err := m.EnrollFingerprint(t.Context(), client.Enrollment{}); err != nil {
		t.Fatal(err)
	}
	f.lay = nil // the same again
	m.wire.asked = nil
	if _, err := m.EnrollFingerprint(t.Context(), client.Enrollment{}); !errors.Is(err, client.ErrFingerKnown) {
		t.Errorf("error %v", err)
	}
	m.wantAsked(t, "GetInfo", "BioEnrollment 1", "BioEnrollment 2", "BioEnrollment 2", "BioEnrollment 3")
	if fingers, err := m.Fingerprints(t.Context()); err != nil || len(fingers) != 1 {
		t.Errorf("%v, %v", fingers, err)
	}
}
