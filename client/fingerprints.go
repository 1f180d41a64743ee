package client

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/transport"
)

var (
	// ErrNoFingerprints is returned for a key that has no authenticatorBioEnrollment.
	ErrNoFingerprints = errors.New("the key has no fingerprint sensor, or none that can be managed")
	// ErrFingerKnown is returned for a finger that is enrolled already.
	ErrFingerKnown = errors.New("this finger is enrolled already")
)

// FingerprintSensor is what a key says of its sensor.
type FingerprintSensor struct {
	Modality      uint                  // ctap2.ModalityFingerprint
	Kind          ctap2.FingerprintKind // 0: not told
	SamplesNeeded uint                  // good ones to enrol a finger; 0: not told
	MaxNameBytes  uint                  // of a fingerprint's name, in UTF-8; 0: not told
}

// Fingerprint is an enrolled finger.
type Fingerprint struct {
	ID   []byte
	Name string // may be empty
}

// Enrollment is how a finger shall be enrolled.
type Enrollment struct {
	Name string // of at most FingerprintSensor.MaxNameBytes; may be empty
	// SampleTimeout is how long the key waits for the finger, for each sample; 0
	// leaves it to the key. It must be shorter than Options.Timeout.
	SampleTimeout time.Duration
}

// FingerprintSensor asks what the sensor is like (CTAP 2.1, sections 6.7.2 and
// 6.7.3). It needs no PIN.
func (k *Key) FingerprintSensor(ctx context.Context) (FingerprintSensor, error) {
	ctx, b, err := k.bioEnrollment(ctx)
	if err != nil {
		return FingerprintSensor{}, err
	}
	modality, err := ctap2.Do(ctx, k.dev, ctap2.BioEnrollment{Preview: b.preview, GetModality: true})
	if err != nil {
		return FingerprintSensor{}, err
	}
	s, err := b.sensor(ctx)
	if modality.Modality == nil {
		ctap2.Missing(ctx, b.command(), "modality (1)", modality.Raw)
	} else {
		s.Modality = *modality.Modality
	}
	return s, err
}

// Fingerprints lists the enrolled fingers (CTAP 2.1, section 6.7.6).
func (k *Key) Fingerprints(ctx context.Context) ([]Fingerprint, error) {
	ctx, b, err := k.bioEnrollment(ctx)
	if err != nil {
		return nil, err
	}
	return authorized(ctx, k, bioGrant, func(token *pin.Token) ([]Fingerprint, error) {
		resp, err := b.send(ctx, token, ctap2.EnumerateEnrollments, nil)
		if errors.Is(err, ctap2.ErrInvalidOption) {
			return nil, nil // there are none
		} else if err != nil {
			return nil, err
		}
		if resp.TemplateInfos == nil {
			ctap2.Missing(ctx, b.command(), "templateInfos (7)", resp.Raw)
		}
		var all []Fingerprint
		for _, t := range resp.TemplateInfos {
			all = append(all, Fingerprint{ID: t.TemplateID, Name: whole(t.TemplateFriendlyName)})
		}
		return all, nil
	})
}

// RenameFingerprint gives an enrolled finger another name (CTAP 2.1, section
// 6.7.7). A name that is too long is refused before it is sent; an ID that the
// key does not have is ctap2.ErrInvalidOption.
func (k *Key) RenameFingerprint(ctx context.Context, id []byte, name string) error {
	ctx, b, err := k.bioEnrollment(ctx)
	if err != nil {
		return err
	}
	if err := b.checkName(ctx, name); err != nil {
		return err
	}
	_, err = b.authorized(ctx, ctap2.SetFriendlyName, &ctap2.BioEnrollmentParams{TemplateID: id, TemplateFriendlyName: &name})
	return err
}

// RemoveFingerprint forgets an enrolled finger (CTAP 2.1, section 6.7.8). An ID
// that the key does not have is ctap2.ErrInvalidOption.
func (k *Key) RemoveFingerprint(ctx context.Context, id []byte) error {
	ctx, b, err := k.bioEnrollment(ctx)
	if err != nil {
		return err
	}
	if len(id) == 0 {
		return errors.New("no fingerprint is named")
	}
	defer func() { k.info = nil }() // options uv and bioEnroll
	_, err = b.authorized(ctx, ctap2.RemoveEnrollment, &ctap2.BioEnrollmentParams{TemplateID: id})
	return err
}

// EnrollFingerprint takes samples of a finger until the key knows it (CTAP 2.1,
// section 6.7.4). Prompt.Sample is told of each. On an error, also that of a
// cancelled context, nothing of the finger stays on the key.
func (k *Key) EnrollFingerprint(ctx context.Context, e Enrollment) (Fingerprint, error) {
	ctx, b, err := k.bioEnrollment(ctx)
	if err != nil {
		return Fingerprint{}, err
	}
	if e.SampleTimeout < 0 || e.SampleTimeout >= k.options.Timeout {
		return Fingerprint{}, fmt.Errorf("time for a sample of %v: it must be shorter than that for a command, %v", e.SampleTimeout, k.options.Timeout)
	}
	if e.Name != "" {
		if err := b.checkName(ctx, e.Name); err != nil {
			return Fingerprint{}, err
		}
	}
	defer func() { k.info = nil }() // options uv and bioEnroll
	return authorized(ctx, k, bioGrant, func(token *pin.Token) (Fingerprint, error) {
		run := enrollment{bioEnrollment: b, Enrollment: e, token: token}
		return run.enroll(ctx)
	})
}

var bioGrant = pin.Grant{Permissions: ctap2.PermissionBE}

// bioEnrollment is the command as a key has it.
type bioEnrollment struct {
	key     *Key
	preview bool
}

// bioEnrollment begins a flow with fingerprints. Where a key has both the command
// and its prototype, the command is used. The options are false while there are
// no fingerprints.
func (k *Key) bioEnrollment(ctx context.Context) (context.Context, bioEnrollment, error) {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return ctx, bioEnrollment{}, err
	}
	if _, present := info.Option(ctap2.OptionBioEnroll); present {
		return ctx, bioEnrollment{key: k}, nil
	}
	if _, present := info.Option(ctap2.OptionUVMgmtPreview); present && info.HasVersion(ctap2.VersionFIDO21Pre) {
		return ctx, bioEnrollment{key: k, preview: true}, nil
	}
	return ctx, bioEnrollment{}, ErrNoFingerprints
}

func (b bioEnrollment) command() ctap2.Command {
	return ctap2.BioEnrollment{Preview: b.preview}.Command()
}

// send sends a subcommand, authenticated with the token unless that is nil.
func (b bioEnrollment) send(ctx context.Context, token *pin.Token, sub ctap2.BioSubCommand, params *ctap2.BioEnrollmentParams) (*ctap2.BioEnrollmentResponse, error) {
	req := ctap2.BioEnrollment{Preview: b.preview, Modality: ctap2.ModalityFingerprint, SubCommand: sub, Params: params}
	if token != nil {
		message, err := req.AuthMessage()
		if err != nil {
			return nil, err
		}
		req.PINUVAuthProtocol, req.PINUVAuthParam = uint(token.Protocol()), token.Authenticate(message)
	}
	return ctap2.Do(ctx, b.key.dev, req)
}

func (b bioEnrollment) authorized(ctx context.Context, sub ctap2.BioSubCommand, params *ctap2.BioEnrollmentParams) (*ctap2.BioEnrollmentResponse, error) {
	return authorized(ctx, b.key, bioGrant, func(token *pin.Token) (*ctap2.BioEnrollmentResponse, error) {
		return b.send(ctx, token, sub, params)
	})
}

func (b bioEnrollment) sensor(ctx context.Context) (FingerprintSensor, error) {
	s := FingerprintSensor{Modality: ctap2.ModalityFingerprint}
	resp, err := b.send(ctx, nil, ctap2.GetFingerprintSensorInfo, nil)
	if err != nil {
		return s, err
	}
	if resp.FingerprintKind != nil {
		s.Kind = *resp.FingerprintKind
	}
	if n := resp.MaxCaptureSamplesRequiredForEnroll; n != nil {
		s.SamplesNeeded = *n
	}
	if n := resp.MaxTemplateFriendlyName; n != nil {
		s.MaxNameBytes = *n
	}
	return s, nil
}

// checkName refuses a name that the key would refuse, or cut off.
func (b bioEnrollment) checkName(ctx context.Context, name string) error {
	if !utf8.ValidString(name) {
		return fmt.Errorf("%w: a name that is not UTF-8 text", ErrWouldRefuse)
	}
	s, err := b.sensor(ctx)
	if err != nil {
		return err
	}
	if most := s.MaxNameBytes; most != 0 && uint(len(name)) > most {
		return fmt.Errorf("%w: a name of %d bytes in UTF-8, for there is room for %d", ErrWouldRefuse, len(name), most)
	}
	return nil
}

const (
	// maxSamples ends an enrolment that leads nowhere. Sensors ask for up to a
	// dozen good samples.
	maxSamples = 100
	// maxIdle is how many samples in a row may pass without a finger, or with one
	// that is enrolled already.
	maxIdle = 3
)

// An enrollment is one that runs.
type enrollment struct {
	bioEnrollment
	Enrollment
	token  *pin.Token
	stored bool // the last sample was taken: the template is on the key
}

func (e *enrollment) enroll(ctx context.Context) (Fingerprint, error) {
	resp, err := e.send(ctx, e.token, ctap2.EnrollBegin, e.params(nil))
	if err != nil {
		var refused *ctap2.Error
		if !errors.As(err, &refused) {
			err = e.undo(ctx, nil, err)
		}
		return Fingerprint{}, err
	}
	finger := Fingerprint{ID: resp.TemplateID, Name: e.Name}
	if err = e.samples(ctx, finger.ID, resp); err == nil && e.Name != "" {
		_, err = e.send(ctx, e.token, ctap2.SetFriendlyName, &ctap2.BioEnrollmentParams{TemplateID: finger.ID, TemplateFriendlyName: &e.Name})
	}
	if err != nil {
		return Fingerprint{}, e.undo(ctx, finger.ID, err)
	}
	return finger, nil
}

// params leaves the map away if there is nothing in it.
func (e *enrollment) params(id []byte) *ctap2.BioEnrollmentParams {
	p := ctap2.BioEnrollmentParams{TemplateID: id, TimeoutMilliseconds: uint(e.SampleTimeout.Milliseconds())}
	if id == nil && p.TimeoutMilliseconds == 0 {
		return nil
	}
	return &p
}

// samples goes on from the first sample until no more are needed.
func (e *enrollment) samples(ctx context.Context, id []byte, resp *ctap2.BioEnrollmentResponse) error {
	if len(id) == 0 {
		return e.malformed("templateId (4) is missing")
	}
	idle := 0
	for range maxSamples {
		if resp.LastEnrollSampleStatus == nil || resp.RemainingSamples == nil {
			return e.malformed("lastEnrollSampleStatus or remainingSamples (5, 6) are missing")
		}
		status, remaining := *resp.LastEnrollSampleStatus, *resp.RemainingSamples
		if tell := e.key.prompt.Sample; tell != nil {
			tell(status, remaining)
		}
		e.stored = remaining == 0 && status == ctap2.SampleGood
		switch {
		case status == ctap2.SampleDatabaseFull:
			return &ctap2.Error{Command: e.command(), Status: ctap2.ErrFPDatabaseFull}
		case e.stored:
			return nil
		case remaining == 0:
			return e.malformed(fmt.Sprintf("no more samples are needed, and the last one was %v", status))
		case status != ctap2.SampleNoUserActivity && status != ctap2.SampleExists:
			idle = 0
		default:
			if idle++; idle == maxIdle && status == ctap2.SampleExists {
				return ErrFingerKnown
			} else if idle == maxIdle {
				return &ctap2.Error{Command: e.command(), Status: ctap2.ErrUserActionTimeout}
			}
		}
		var err error
		if resp, err = e.send(ctx, e.token, ctap2.EnrollCaptureNextSample, e.params(id)); err != nil {
			return err
		}
	}
	return fmt.Errorf("%v: the finger is not known after %d samples", e.command(), maxSamples)
}

// malformed is an answer to a sample that does not tell whether it was the last.
func (e *enrollment) malformed(what string) error {
	return &mayBeDone{fingerMayBeStored, fmt.Errorf("%v: %w: %s", e.command(), ctap2.ErrMalformed, what)}
}

// undo ends the enrolment on the key, as far as the key still listens, and returns
// the error of the flow: failed, and whether something may be left. A template is
// removed only if this enrolment has stored it, or may have.
func (e *enrollment) undo(ctx context.Context, id []byte, failed error) error {
	ctx = context.WithoutCancel(ctx)
	_, err := e.send(ctx, nil, ctap2.CancelCurrentEnrollment, nil)
	var unknown *mayBeDone
	maybe := errors.As(failed, &unknown)
	if (e.stored || maybe) && len(id) > 0 {
		_, removed := e.send(ctx, e.token, ctap2.RemoveEnrollment, &ctap2.BioEnrollmentParams{TemplateID: id})
		var refused *ctap2.Error
		switch certain := removed == nil || errors.As(removed, &refused); {
		case !certain && !maybe:
			failed = &mayBeDone{"the fingerprint may be stored", failed}
		case certain && maybe:
			failed = unknown.err
		}
		if e.stored {
			err = errors.Join(err, removed)
		}
	}
	if err != nil {
		transport.Tolerate(ctx, ctap2.Finding{What: fmt.Sprintf("an enrolment that failed may not have ended on the key: %v", err), Where: e.command().String()})
	}
	return failed
}
