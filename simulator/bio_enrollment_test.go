package simulator_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/simulator"
)

// enroll runs one subcommand with a token of its own.
func (k *key) enroll(sub int, subParams any) map[int]any {
	k.Helper()
	return k.ok(bioEnrollment, k.token(2, permBE, "").enroll(sub, subParams))
}

func (k *key) refusesToEnroll(want byte, sub int, subParams any) {
	k.Helper()
	k.refuses(want, bioEnrollment, k.token(2, permBE, "").enroll(sub, subParams))
}

// enrollFinger enrolls a finger and returns its template's ID.
func (k *key) enrollFinger(name string) []byte {
	k.Helper()
	k.lay(simulator.Sample{Finger: name})
	defer func() { k.finger = nil }()
	reply := k.enroll(1, nil)
	id := reply[4].([]byte)
	for left := reply[6].(uint64); left > 0; left = reply[6].(uint64) {
		reply = k.enroll(2, m{1: id})
	}
	return id
}

func TestBioEnrollmentQuestions(t *testing.T) {
	k := newKey(t, full23())
	if got := k.ok(bioEnrollment, m{6: true}); !reflect.DeepEqual(got, map[int]any{1: uint64(1)}) { // BIO-002
		t.Errorf("BIO-002: %v", got)
	}
	want := map[int]any{2: uint64(1), 3: uint64(4), 8: uint64(64)}
	if got := k.ok(bioEnrollment, m{1: 1, 2: 7}); !reflect.DeepEqual(got, want) { // BIO-003
		t.Errorf("BIO-003: %v, want %v", got, want)
	}
	k.ok(bioEnrollment, m{1: 1, 2: 3}) // BIO-015
	k = newKey(t, full23(func(p *simulator.Profile) {
		p.Fingerprints = simulator.FingerprintSensor{Kind: simulator.FingerprintSwipe, Samples: 2, MaxNameBytes: 20}
	}))
	want = map[int]any{2: uint64(2), 3: uint64(2), 8: uint64(20)}
	if got := k.ok(bioEnrollment, m{1: 1, 2: 7}); !reflect.DeepEqual(got, want) {
		t.Errorf("sensor of the profile: %v, want %v", got, want)
	}
}

func TestBioEnrollmentRefuses(t *testing.T) {
	k := manager(t, full23())
	id := k.enrollFinger("thumb")
	for _, c := range []struct {
		name      string
		sub       int
		subParams any
		change    func(m) m
		want      byte
	}{
		{"subCommand missing", 1, nil, drop(2), missingParameter},
		{"getModality false", 1, nil, func(p m) m { return with(without(p, 2), false, 6) }, missingParameter},
		{"BIO-025 subCommand 0x7F", 0x7f, nil, nil, invalidSubcommand},
		{"subCommand beyond a byte", 0x101, nil, nil, invalidSubcommand},
		{"BIO-004 without pinUvAuthParam", 1, nil, drop(5), puatRequired},
		{"without pinUvAuthParam and modality", 1, nil, func(p m) m { return without(without(p, 1), 5) }, puatRequired},
		{"BIO-007 without modality", 1, nil, drop(1), missingParameter},
		{"sensor info without modality", 7, nil, drop(1), missingParameter},
		{"BIO-008 modality 9", 1, nil, set(9, 1), invalidParameter},
		{"without protocol", 1, nil, drop(4), missingParameter},
		{"protocol 99", 1, nil, set(99, 4), invalidParameter},
		{"BIO-006 wrong pinUvAuthParam", 1, nil, set(make([]byte, 32), 5), pinAuthInvalid},
		{"MAC of other params", 6, m{1: []byte{1}}, set(id, 3, 1), pinAuthInvalid},
		{"BIO-011 sample without begin", 2, m{1: id}, nil, invalidOption},
		{"sample without template", 2, nil, nil, missingParameter},
		{"rename without name", 5, m{1: id}, nil, missingParameter},
		{"rename without template", 5, m{2: "x"}, nil, missingParameter},
		{"BIO-019 name too long", 5, m{1: id, 2: strings.Repeat("x", 65)}, nil, invalidLength},
		{"name too long before MAC", 5, m{1: id, 2: strings.Repeat("x", 65)}, set(make([]byte, 32), 5), invalidLength},
		{"name too long after protocol", 5, m{1: id, 2: strings.Repeat("x", 65)}, set(99, 4), invalidParameter},
		{"BIO-020 rename unknown", 5, m{1: []byte{1}, 2: "x"}, nil, invalidOption},
		{"remove without template", 6, m{}, nil, missingParameter},
		{"BIO-022 remove unknown", 6, m{1: []byte{1}}, nil, invalidOption},
		{"template is text", 6, m{1: "x"}, nil, unexpectedType},
	} {
		params := k.token(2, permBE, "").enroll(c.sub, c.subParams)
		if c.change != nil {
			params = c.change(params)
		}
		if status, _ := k.send(request(bioEnrollment, params)); status != c.want {
			t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
		}
	}
	k.refuses(pinAuthInvalid, bioEnrollment, k.token(2, permCM, "").enroll(1, nil)) // BIO-005
	k.enroll(4, nil)
}

// TestEnroll is BIO-009, BIO-010, BIO-024 and RST-013.
func TestEnroll(t *testing.T) {
	ready := func(k *key) string { return fmt.Sprint(k.options()["uv"], k.options()["bioEnroll"]) }
	k := manager(t, full23())
	k.refuses(invalidOption, makeCredential, with(creation(), true, uvTrue...))    // MC-066
	k.refuses(notAllowed, clientPIN, k.agree(2).tokenByUVParams(permMC, testRP))   // PIN-074
	k.refuses(invalidOption, bioEnrollment, k.token(2, permBE, "").enroll(4, nil)) // BIO-016
	first := k.token(1, permBE, "other.example")                                   // whose RP ID does not matter
	reply := k.ok(bioEnrollment, first.enroll(1, nil))
	id := reply[4].([]byte)
	if len(id) == 0 || reply[5] != uint64(0) || reply[6] != uint64(3) || len(reply) != 3 {
		t.Errorf("BIO-009: %v", reply)
	}
	if want := (simulator.FingerRequest{Command: bioEnrollment}); k.fingers[0] != want {
		t.Errorf("asked for %+v", k.fingers[0])
	}
	for left := uint64(3); left > 0; left-- {
		if got := ready(k); got != "false false" { // which does not disturb the enrollment
			t.Errorf("BIO-024: options %s with %d samples left", got, left)
		}
		reply = k.ok(bioEnrollment, first.enroll(2, m{1: id}))
		if reply[5] != uint64(0) || reply[6] != left-1 || len(reply) != 2 {
			t.Errorf("BIO-010: %v, want %d left", reply, left-1)
		}
	}
	k.refuses(invalidOption, bioEnrollment, first.enroll(2, m{1: id})) // it is over
	k.PowerCycle()
	if got := ready(k); got != "true true" {
		t.Errorf("BIO-024: options %s with a finger", got)
	}
	if made := k.create(with(creation(), true, uvTrue...)); !made.uv {
		t.Error("MC-065: UV is clear")
	}
	k.lay(wrongFinger)
	k.refuses(puatRequired, makeCredential, with(creation(), true, uvTrue...))
	k.finger = nil
	k.tokenByUV(2, permBE, "")
	k.ok(config, k.tokenByUV(2, permACFG, "").configure(3, nil))

	k.enroll(6, m{1: id}) // BIO-021
	if got := ready(k); got != "false false" {
		t.Errorf("BIO-024: options %s after the last finger", got)
	}
	k.enrollFinger("thumb")
	k.ok(reset, nil) // RST-013
	if got := ready(k); got != "false false" {
		t.Errorf("RST-013: options %s", got)
	}
}

// TestEnrollSamples is BIO-013 and BIO-014: only good samples of one new finger
// count.
func TestEnrollSamples(t *testing.T) {
	k := manager(t, full23())
	k.enrollFinger("thumb")
	index := simulator.Sample{Finger: "index"}
	k.lay(badSample, noFinger, index,
		simulator.Sample{Finger: "thumb"}, wrongFinger,
		simulator.Sample{Finger: "index", Quality: simulator.SampleNoTransition}, index)
	reply := k.enroll(1, m{3: 10000})
	id := reply[4].([]byte)
	for i, want := range [][2]uint64{
		{5, 4},    // too fast
		{0x0d, 4}, // no activity
		{0, 3},
		{0x0b, 3}, // exists
		{0x0a, 3}, // another finger
		{0x0e, 3},
		{0, 2},
	} {
		if i > 0 {
			reply = k.enroll(2, m{1: id})
		}
		if reply[5] != want[0] || reply[6] != want[1] {
			t.Errorf("sample %d: %v, want %v", i, reply, want)
		}
	}
	k.refusesToEnroll(invalidOption, 2, m{1: []byte("another")}) // BIO-012
	k.enroll(2, m{1: id})
	k.ok(bioEnrollment, m{1: 1, 2: 3}) // BIO-015
	k.refusesToEnroll(invalidOption, 2, m{1: id})
	id = k.enroll(1, nil)[4].([]byte)
	k.enroll(1, nil) // ends the one that runs
	k.refusesToEnroll(invalidOption, 2, m{1: id})
	id = k.enroll(1, nil)[4].([]byte)
	k.PowerCycle()
	k.refusesToEnroll(invalidOption, 2, m{1: id})
}

func TestEnrollTimeLimit(t *testing.T) {
	for _, c := range []struct {
		params any
		limit  time.Duration
	}{
		{nil, 30 * time.Second}, {m{3: 0}, 30 * time.Second}, {m{3: 7000}, 7 * time.Second},
	} {
		k := manager(t, full23())
		k.finger = func(ctx context.Context) simulator.Sample {
			k.clock.Advance(c.limit - 1)
			if ctx.Err() != nil {
				t.Errorf("%v: gave up before %v", c.params, c.limit)
			}
			k.clock.Advance(1)
			<-ctx.Done()
			return rightFinger
		}
		if reply := k.enroll(1, c.params); reply[5] != uint64(0x0d) || reply[6] != uint64(4) { // BIO-014
			t.Errorf("%v: %v", c.params, reply)
		}
	}
	k := manager(t, full23())
	k.enroll(1, m{3: uint64(1)<<63 + 1}) // longer than time itself
}

func TestEnrollCancel(t *testing.T) {
	k := manager(t, full23())
	id := k.enroll(1, nil)[4].([]byte)
	ctx, cancel := context.WithCancel(t.Context())
	k.finger = func(context.Context) simulator.Sample { cancel(); return rightFinger }
	params := k.token(2, permBE, "").enroll(2, m{1: id})
	if answer := k.ExchangeFrom(ctx, 0, request(bioEnrollment, params)); len(answer) != 1 || answer[0] != keepaliveCancel {
		t.Errorf("answer %x, want KEEPALIVE_CANCEL", answer)
	}
	k.finger = nil
	if reply := k.enroll(2, m{1: id}); reply[6] != uint64(2) {
		t.Errorf("after a cancel: %v", reply)
	}
}

func TestTemplates(t *testing.T) {
	k := manager(t, full23(func(p *simulator.Profile) { p.Fingerprints.MaxTemplates = 2 }))
	thumb, index := k.enrollFinger("thumb"), k.enrollFinger("index")
	k.refusesToEnroll(fpDatabaseFull, 1, nil) // BIO-023
	name := strings.Repeat("\u20ac", 21)
	k.enroll(5, m{1: index, 2: "x"})
	k.enroll(5, m{1: index, 2: name}) // BIO-018
	k.PowerCycle()
	want := []any{m{uint64(1): thumb}, m{uint64(1): index, uint64(2): name}}
	if got := k.enroll(4, nil)[7]; !reflect.DeepEqual(got, want) { // BIO-017
		t.Errorf("BIO-017: %v, want %v", got, want)
	}
	k.enroll(5, m{1: index, 2: ""})
	k.enroll(6, m{1: thumb})
	if got := k.enroll(4, nil)[7]; !reflect.DeepEqual(got, []any{m{uint64(1): index}}) {
		t.Errorf("BIO-021: %v", got)
	}
	k.lay(simulator.Sample{Finger: "thumb"})
	k.refuses(puatRequired, makeCredential, with(creation(), true, uvTrue...))
	k.lay(simulator.Sample{Finger: "index"})
	k.create(with(creation(), true, uvTrue...))
}

// TestPrototypes is BIO-026 and CM-044: the commands of FIDO_2_1_PRE.
func TestPrototypes(t *testing.T) {
	const prototypeBio, prototypeCredMgmt = 0x40, 0x41
	preview := func(p *simulator.Profile) {
		p.GetInfo.Versions = append(p.GetInfo.Versions, "FIDO_2_1_PRE")
		withOption("credentialMgmtPreview", true)(p)
		withOption("userVerificationMgmtPreview", false)(p)
	}
	for name, profile := range map[string]func(p *simulator.Profile){
		"beside the new ones": func(*simulator.Profile) {},
		"alone":               withoutOptions("bioEnroll", "uvBioEnroll", "credMgmt", "perCredMgmtRO"),
	} {
		t.Run(name, func(t *testing.T) {
			k := manager(t, full23(preview, profile))
			made := k.add(testRP, "alice")
			be := k.token(2, permBE, "")
			reply := k.ok(prototypeBio, be.enroll(1, nil))
			for range 3 {
				k.ok(prototypeBio, be.enroll(2, m{1: reply[4]}))
			}
			if k.options()["userVerificationMgmtPreview"] != true || k.options()["uv"] != true {
				t.Errorf("options %v", k.options())
			}
			cm := k.token(2, permCM, "")
			if got := k.ok(prototypeCredMgmt, cm.manage(1, nil)); got[1] != uint64(1) {
				t.Errorf("metadata %v", got)
			}
			// The rule of CTAP 2.3 about tokens that are bound is not for it.
			bound := k.token(2, permCM, testRP)
			k.ok(prototypeCredMgmt, bound.manage(4, m{1: hashOf(testRP)}))
			if name != "alone" {
				k.refuses(pinAuthInvalid, credentialManagement, bound.manage(4, m{1: hashOf(testRP)}))
			}
			k.refuses(pinAuthInvalid, prototypeCredMgmt, bound.manage(4, m{1: hashOf("example.org")}))
			k.refuses(pinAuthInvalid, prototypeCredMgmt, bound.manage(2, nil))
			cm = k.token(2, permCM, "")
			k.refuses(invalidSubcommand, prototypeCredMgmt,
				cm.manage(7, m{2: descriptor(made.id), 3: m{"id": []byte("alice")}}))
			k.ok(prototypeCredMgmt, cm.manage(6, m{2: descriptor(made.id)}))
		})
	}
	k := manager(t, full23(preview, func(p *simulator.Profile) { p.Disputes.PreviewUpdates = true }))
	made := k.add(testRP, "alice")
	k.ok(prototypeCredMgmt, k.token(2, permCM, testRP).manage(7,
		m{2: descriptor(made.id), 3: m{"id": []byte("alice"), "name": "alicia"}}))
	if user := k.manage(4, m{1: hashOf(testRP)})[6].(m); user["name"] != "alicia" {
		t.Errorf("updated by the preview command: %v", user)
	}
	for _, profile := range []func(p *simulator.Profile){
		func(*simulator.Profile) {},
		func(p *simulator.Profile) { p.GetInfo.Versions = append(p.GetInfo.Versions, "FIDO_2_1_PRE") },
		func(p *simulator.Profile) {
			withOption("credentialMgmtPreview", true)(p)
			withOption("userVerificationMgmtPreview", false)(p)
		},
	} {
		k := newKey(t, full23(profile))
		k.refuses(invalidCommand, prototypeBio, m{6: true})
		k.refuses(invalidCommand, prototypeCredMgmt, m{1: 1})
	}
}
