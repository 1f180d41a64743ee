package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/metadata"
	"github.com/fidokey/fidokey/webauthn"
)

// run asks the key for all that is expected of it. What the key refuses is an
// expectation that is not met; an error is a key that is gone.
func (r *ciReport) run(ctx context.Context, key *openedKey, want *expectations, known entries) error {
	info, err := key.Info(ctx)
	if err != nil {
		return err
	}
	r.model(info, want)
	r.lists(info, want)
	if err := r.pin(ctx, key, info, want.PIN); err != nil {
		return err
	}
	if want.Certification != nil {
		r.certification(info, want.Certification, known)
	}
	limits := cmp.Or(want.Latency, &wantLatency{})
	if limits.GetInfo > 0 {
		if err := r.getInfo(ctx, key, limits.GetInfo); err != nil {
			return err
		}
	}
	for i := range want.Register {
		if err := r.relyingParty(ctx, key, info, &want.Register[i], limits, known); err != nil {
			return err
		}
	}
	return nil
}

func (r *ciReport) model(info *ctap2.GetInfoResponse, want *expectations) {
	if len(want.AAGUID) > 0 {
		is := slices.ContainsFunc(want.AAGUID, func(s string) bool {
			a, err := ctap2.ParseAAGUID(s)
			return err == nil && a == info.AAGUID
		})
		r.add("aaguid", is, strings.Join(want.AAGUID, " or "), info.AAGUID.String())
	}
	if want.Model != "" {
		name := modelName(info.AAGUID)
		r.add("model", strings.Contains(strings.ToLower(name), strings.ToLower(want.Model)), want.Model, name)
	}
	if f := want.Firmware; f != nil {
		wanted, _ := parseFirmware(f.AtLeast + f.Exactly)
		has := info.FirmwareVersion != nil && (*info.FirmwareVersion == wanted || f.AtLeast != "" && *info.FirmwareVersion > wanted)
		words := f.Exactly
		if f.AtLeast != "" {
			words = "at least " + f.AtLeast
		}
		r.add("firmware", has, words, info.Firmware())
	}
}

func (r *ciReport) lists(info *ctap2.GetInfoResponse, want *expectations) {
	var algorithms []string
	for _, a := range info.Algorithms {
		algorithms = append(algorithms, a.Algorithm.String())
	}
	for _, l := range []struct {
		what         string
		wanted, have []string
	}{
		{"version", want.Versions, info.Versions},
		{"extension", want.Extensions, info.Extensions},
		{"transport", want.Transports, info.Transports},
		{"algorithm", want.Algorithms, algorithms},
	} {
		for _, w := range l.wanted {
			r.add(l.what+" "+w, slices.Contains(l.have, w), w, strings.Join(l.have, ", "))
		}
	}
	for _, name := range want.sortedOptions() {
		wanted := want.Options[name]
		is, listed := info.Option(name)
		found := fmt.Sprint(is)
		if !listed {
			found = "not listed"
		}
		if wanted == nil {
			r.add("option "+name, !listed, "not listed", found)
		} else {
			r.add("option "+name, listed && is == *wanted, fmt.Sprint(*wanted), found)
		}
	}
}

// pin compares what the key says of its PIN; none is tried.
func (r *ciReport) pin(ctx context.Context, key *openedKey, info *ctap2.GetInfoResponse, want *wantPIN) error {
	if want == nil {
		return nil
	}
	state, err := key.PINState(ctx)
	if err != nil {
		return err
	}
	atLeast := func(check string, wanted, is *uint) {
		if wanted != nil {
			found := "not told"
			if is != nil {
				found = fmt.Sprint(*is)
			}
			r.add(check, is != nil && *is >= *wanted, fmt.Sprintf("at least %d", *wanted), found)
		}
	}
	same := func(check string, wanted *bool, is bool) {
		if wanted != nil {
			r.add(check, is == *wanted, fmt.Sprint(*wanted), fmt.Sprint(is))
		}
	}
	same("pin set", want.Set, state.Set)
	atLeast("pin minLength", want.MinLength, info.MinPINLength)
	var left *uint
	if state.Retries != nil {
		left = &state.Retries.Left
	}
	atLeast("pin retries", want.Retries, left)
	same("pin forceChange", want.ForceChange, state.MustChange)
	same("pin complexity", want.Complexity, info.PINComplexityPolicy != nil && *info.PINComplexityPolicy)
	return nil
}

// certification compares what is published of the model.
func (r *ciReport) certification(info *ctap2.GetInfoResponse, want *wantCertification, known entries) {
	var entry *metadata.Entry
	why := "no metadata is stored: fidokey metadata update"
	if known != nil {
		var err error
		why = "the metadata do not have the model"
		if entry, err = known(info.AAGUID.String()); err != nil {
			why = err.Error()
		}
	}
	level, bad := why, why
	certified := false
	if entry != nil {
		level, bad = "not certified", ""
		if c := entry.Certification(time.Now()); c != nil {
			level = string(c.Status)
			is := strings.TrimPrefix(string(c.Status), string(metadata.StatusCertified)+"_")
			if c.Status == metadata.StatusCertified {
				is = "L1" // as it was called before there were levels
			}
			i := slices.Index(certificationLevels, is)
			certified = i >= 0 && i >= slices.Index(certificationLevels, want.Level)
		}
		for _, report := range entry.Bad(time.Now()) {
			bad = strings.TrimPrefix(bad+", "+string(report.Status), ", ")
		}
	}
	if want.Level != "" {
		r.add("certification level", certified, "at least "+want.Level, level)
	}
	if want.Trusted != nil {
		r.add("certification trusted", (entry != nil && bad == "") == *want.Trusted, fmt.Sprint(*want.Trusted), cmp.Or(bad, "nothing is known against the model"))
	}
}

// getInfoRounds are asked for the median of how long an answer takes.
const getInfoRounds = 5

func (r *ciReport) getInfo(ctx context.Context, key *openedKey, limit time.Duration) error {
	var took []time.Duration
	for range getInfoRounds {
		began := time.Now()
		if _, err := ctap2.Do(ctx, key.dev, ctap2.GetInfo{}); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	r.latency("getInfo", limit, took[len(took)/2])
	return nil
}

// latency compares how long something took with the limit, if there is one.
func (r *ciReport) latency(what string, limit, took time.Duration) {
	if limit > 0 {
		r.timed("latency "+what, took <= limit, "at most "+limit.String(), took.Round(time.Microsecond*100).String(), took)
	}
}

// relyingParty registers and signs in at one, and leaves nothing on the key.
func (r *ciReport) relyingParty(ctx context.Context, key *openedKey, info *ctap2.GetInfoResponse, want *wantRegistration, limits *wantLatency, known entries) (err error) {
	if want.Discoverable {
		if _, err := key.CredentialMetadata(ctx); err != nil {
			r.add("register "+want.RP, false, "a credential", "not tried, for it could not be deleted again: "+err.Error())
			return gone(ctx, err)
		}
	}
	page := webauthn.Client{Origin: "https://" + want.RP}
	options := want.creation()
	began := time.Now()
	made, err := page.Create(ctx, key.Key, options)
	took := time.Since(began)
	if err != nil {
		r.timed("register "+want.RP, false, "a credential", err.Error(), took)
		return gone(ctx, err)
	}
	if want.Discoverable {
		defer func() {
			_, failed := key.DeleteCredential(context.WithoutCancel(ctx), made.ID)
			if failed != nil {
				err = errors.Join(err, fmt.Errorf("the credential of %s is still on the key: %w", want.RP, failed))
			}
		}()
	}
	expected := webauthn.Expected{
		Challenge: options.Challenge, Origin: page.Origin, RPID: want.RP, AAGUID: info.AAGUID, Metadata: known,
		UserVerified: want.UserVerification == "required", Algorithms: want.algorithms(),
	}
	r.judged("register "+want.RP, webauthn.CheckRegistration(made, expected), took)
	r.latency("register "+want.RP, limits.Register, took)

	request := &webauthn.RequestOptions{Challenge: random(32), RPID: want.RP, UserVerification: want.UserVerification}
	if !want.Discoverable {
		request.AllowCredentials = webauthn.CredentialList{{Type: ctap2.PublicKeyType, ID: made.ID}}
	}
	began = time.Now()
	signed, err := page.Get(ctx, key.Key, request, nil)
	took = time.Since(began)
	if err != nil {
		r.timed("sign in "+want.RP, false, "an assertion", err.Error(), took)
		return gone(ctx, err)
	}
	expected.Challenge, expected.Registration = request.Challenge, made
	r.judged("sign in "+want.RP, webauthn.CheckAuthentication(signed, expected), took)
	r.latency("sign in "+want.RP, limits.SignIn, took)
	return nil
}

// judged is what a relying party finds in an answer.
func (r *ciReport) judged(check string, checks []webauthn.Check, took time.Duration) {
	found := "all checks hold"
	err := webauthn.Failed(checks)
	if err != nil {
		found = err.Error()
	}
	r.timed(check, err == nil, "all checks hold", found, took)
}

// gone is the error of a key that there is nothing more to ask of, or whose PIN is not
// to be tried again; what a key refused otherwise is none.
func gone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, client.ErrNoPIN) {
		return nil
	}
	if code, _ := classify(err); code == exitNoKey || code == exitSafety || code == exitPIN {
		return err
	}
	return nil
}

func (w *wantRegistration) algorithms() []cose.Algorithm {
	if a, err := cose.ParseAlgorithm(w.Algorithm); w.Algorithm != "" && err == nil {
		return []cose.Algorithm{a}
	}
	return []cose.Algorithm{cose.ES256, cose.EdDSA, cose.RS256}
}

// creation is what the relying party asks for.
func (w *wantRegistration) creation() *webauthn.CreationOptions {
	o := &webauthn.CreationOptions{
		RP: webauthn.RPEntity{ID: w.RP, Name: w.RP}, User: webauthn.UserEntity{ID: random(16), Name: "fidokey ci", DisplayName: "fidokey ci"},
		Challenge: random(32),
		AuthenticatorSelection: webauthn.AuthenticatorSelection{
			ResidentKey: "discouraged", UserVerification: w.UserVerification,
		},
	}
	if w.Discoverable {
		o.AuthenticatorSelection.ResidentKey = "required"
	}
	if w.Attestation {
		o.Attestation = "direct"
	}
	for _, a := range w.algorithms() {
		o.PubKeyCredParams = append(o.PubKeyCredParams, webauthn.CredentialParameters{Type: ctap2.PublicKeyType, Algorithm: a})
	}
	return o
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
