package client_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

// TestNoTryBesideFinger: on a key with a finger enrolled the PIN is asked for when
// the finger is not known or the key takes no more, and then once.
func TestNoTryBesideFinger(t *testing.T) {
	for _, profile := range []string{"fingerprint", "ctap-2.3"} {
		for _, finger := range []string{simulator.DefaultFinger, "a stranger's"} {
			for _, f := range flows {
				for _, entered := range []string{rightPIN, wrongPIN} {
					name := profile + ", finger: " + finger + ", " + f.name
					if entered == wrongPIN {
						name += ", wrong PIN"
					}
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { besideFinger(t, profile, finger, f, entered) })
					})
				}
			}
		}
	}
}

// keptOpen goes on after the Key that used it.
type keptOpen struct{ transport.Device }

func (keptOpen) Close() error { return nil }

func besideFinger(t *testing.T, profile, finger string, f flow, entered string) {
	p, err := simulator.LoadProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	onSensor := simulator.DefaultFinger
	a, err := simulator.New(simulator.Config{Profile: p, Finger: func(context.Context, simulator.FingerRequest) simulator.Sample {
		return simulator.Sample{Finger: onSensor}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	person := &person{pin: rightPIN, newPIN: rightPIN}
	owner := client.New(a, client.Options{Prompt: person.prompt()})
	if err := owner.SetPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	enroll(t, a)
	if _, err := owner.Register(t.Context(), registration()); err != nil {
		t.Fatal(err)
	}

	onSensor = finger
	for round := range 3 {
		o := trial{profile: profile, flow: f, pin: entered}.on(t, a, keptOpen{a}, true)
		o.person.leftNothing(t, o.err)
		if lost := o.lost(); lost > o.person.prompts || lost > 0 && entered == rightPIN {
			t.Errorf("round %d: %d tries lost after %d prompts: %v, %v", round, lost, o.person.prompts, o.sent, o.err)
		}
		if again := sentAgain(o.sent, o.person.prompts); again != "" {
			t.Errorf("round %d: a PIN was sent again: %s: %v", round, again, o.sent)
		}
		known := finger == simulator.DefaultFinger
		byFinger := f.name == "register" || f.name == "authenticate" // the others are about the PIN
		if blocked := o.before == allRetries-3; byFinger && !blocked && known != (o.person.prompts == 0) {
			t.Errorf("round %d: the PIN was asked for %d times: %v", round, o.person.prompts, o.err)
		}
		if f.name == "change" {
			break // another PIN is right now
		}
	}
}

// enroll enrolls the finger that is on the sensor.
func enroll(t *testing.T, a *simulator.Authenticator) {
	t.Helper()
	info, err := ctap2.Do(t.Context(), a, ctap2.GetInfo{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := pin.GetToken(t.Context(), a, info, pin.One, []byte(rightPIN), pin.Grant{Permissions: ctap2.PermissionBE})
	if err != nil {
		t.Fatal(err)
	}
	req := ctap2.BioEnrollment{Modality: ctap2.ModalityFingerprint, SubCommand: ctap2.EnrollBegin, PINUVAuthProtocol: uint(pin.One)}
	for {
		message, err := req.AuthMessage()
		if err != nil {
			t.Fatal(err)
		}
		req.PINUVAuthParam = token.Authenticate(message)
		resp, err := ctap2.Do(t.Context(), a, req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.RemainingSamples == nil || *resp.RemainingSamples == 0 {
			return
		}
		if req.SubCommand == ctap2.EnrollBegin {
			req.Params = &ctap2.BioEnrollmentParams{TemplateID: resp.TemplateID}
		}
		req.SubCommand = ctap2.EnrollCaptureNextSample
	}
}
