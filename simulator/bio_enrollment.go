package simulator

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/fidokey/fidokey/ctap2"
)

// Subcommands of authenticatorBioEnrollment, CTAP 2.1 section 6.7.
const (
	enrollBegin              = 0x01
	enrollCaptureNextSample  = 0x02
	cancelCurrentEnrollment  = 0x03
	enumerateEnrollments     = 0x04
	setFriendlyName          = 0x05
	removeEnrollment         = 0x06
	getFingerprintSensorInfo = 0x07
)

const modalityFingerprint = 1

// templateIDSize is the length in bytes of the random ID of a template.
const templateIDSize = 4

// bioEnrollmentRequest is a decoded authenticatorBioEnrollment; nil members are
// absent.
type bioEnrollmentRequest struct {
	modality       *uint64
	subCommand     *uint64
	rawParams      []byte // subCommandParams, as they came
	templateID     []byte
	friendlyName   *string
	timeout        *uint64 // milliseconds
	protocol       *uint64
	pinUVAuthParam []byte
	getModality    bool
}

func decodeBioEnrollment(params []byte) (*bioEnrollmentRequest, error) {
	m, fault := decodeParams(params)
	req := &bioEnrollmentRequest{
		modality:   optional(m.at(1), item.uint),
		subCommand: optional(m.at(2), item.uint),
		rawParams:  m.at(3).raw,
	}
	sub := m.at(3).members()
	req.templateID = sub.at(1).bytes()
	req.friendlyName = optional(sub.at(2), item.text)
	req.timeout = optional(sub.at(3), item.uint)
	req.protocol = optional(m.at(4), item.uint)
	req.pinUVAuthParam = m.at(5).bytes()
	req.getModality = m.at(6).bool()
	return req, fault.err
}

// bioEnrollmentResponse has the members that the subcommand answers with.
type bioEnrollmentResponse struct {
	Modality         uint            `cbor:"1,keyasint,omitempty"`
	FingerprintKind  FingerprintKind `cbor:"2,keyasint,omitempty"`
	MaxSamples       uint            `cbor:"3,keyasint,omitempty"`
	TemplateID       []byte          `cbor:"4,keyasint,omitempty"`
	LastSample       *SampleQuality  `cbor:"5,keyasint,omitempty"`
	RemainingSamples *uint           `cbor:"6,keyasint,omitempty"`
	Templates        []templateInfo  `cbor:"7,keyasint,omitempty"`
	MaxNameBytes     uint            `cbor:"8,keyasint,omitempty"`
}

// bioEnrollment is authenticatorBioEnrollment, CTAP 2.1 section 6.7.
func (a *Authenticator) bioEnrollment(c *call, req *bioEnrollmentRequest) (*bioEnrollmentResponse, error) {
	switch {
	case req.getModality:
		return &bioEnrollmentResponse{Modality: modalityFingerprint}, nil
	case req.subCommand == nil:
		return nil, ctap2.ErrMissingParameter
	}
	switch *req.subCommand {
	case cancelCurrentEnrollment, getFingerprintSensorInfo:
	case enrollBegin, enrollCaptureNextSample, enumerateEnrollments, setFriendlyName, removeEnrollment:
		if req.pinUVAuthParam == nil {
			return nil, ctap2.ErrPUATRequired
		}
	default:
		return nil, ctap2.ErrInvalidSubcommand
	}
	switch {
	case req.modality == nil:
		return nil, ctap2.ErrMissingParameter
	case *req.modality != modalityFingerprint:
		return nil, ctap2.ErrInvalidParameter
	}
	switch *req.subCommand {
	case cancelCurrentEnrollment:
		a.session.enrollment = nil
		return nil, nil
	case getFingerprintSensorInfo:
		return a.sensorInfo(), nil
	}
	if err := a.authorizeEnrollment(req); err != nil {
		return nil, err
	}
	switch *req.subCommand {
	case enrollBegin:
		return a.beginEnrollment(c, req)
	case enrollCaptureNextSample:
		return a.continueEnrollment(c, req)
	case enumerateEnrollments:
		return a.enumerateTemplates()
	case setFriendlyName:
		return nil, a.nameTemplate(req)
	default:
		return nil, a.removeTemplate(req)
	}
}

// authorizeEnrollment is the first steps of the subcommands that need a token;
// its RP ID does not matter.
func (a *Authenticator) authorizeEnrollment(req *bioEnrollmentRequest) error {
	if !req.hasMandatoryParams() {
		return ctap2.ErrMissingParameter
	}
	p, err := a.pinUVAuthProtocol(req.protocol)
	if err != nil {
		return err
	}
	if req.friendlyName != nil && uint(len(*req.friendlyName)) > a.profile.Fingerprints.maxNameBytes() {
		return ctap2.ErrInvalidLength
	}
	if !p.authorizes(req.message(), req.pinUVAuthParam, ctap2.PermissionBE) {
		return ctap2.ErrPINAuthInvalid
	}
	return nil
}

// message is what pinUvAuthParam authenticates.
func (req *bioEnrollmentRequest) message() []byte {
	return slices.Concat([]byte{modalityFingerprint, byte(*req.subCommand)}, req.rawParams)
}

func (req *bioEnrollmentRequest) hasMandatoryParams() bool {
	switch *req.subCommand {
	case enrollCaptureNextSample, removeEnrollment:
		return req.templateID != nil
	case setFriendlyName:
		return req.templateID != nil && req.friendlyName != nil
	}
	return true
}

// sensorInfo is getFingerprintSensorInfo, section 6.7.3.
func (a *Authenticator) sensorInfo() *bioEnrollmentResponse {
	sensor := a.profile.Fingerprints
	return &bioEnrollmentResponse{
		FingerprintKind: cmp.Or(sensor.Kind, FingerprintTouch),
		MaxSamples:      sensor.samples(),
		MaxNameBytes:    sensor.maxNameBytes(),
	}
}

func (s FingerprintSensor) samples() uint      { return cmp.Or(s.Samples, 4) }
func (s FingerprintSensor) maxTemplates() uint { return cmp.Or(s.MaxTemplates, 5) }
func (s FingerprintSensor) maxNameBytes() uint { return cmp.Or(s.MaxNameBytes, 64) }

// A template is a finger that the key knows. The first two members are the
// specification's templateInfo, the third is not told to anyone.
type template struct {
	ID     []byte `cbor:"1,keyasint"`
	Name   string `cbor:"2,keyasint,omitempty"`
	Finger string `cbor:"3,keyasint,omitempty"` // as in Sample
}

// templateInfo is a template in an answer.
type templateInfo struct {
	ID   []byte  `cbor:"1,keyasint"`
	Name *string `cbor:"2,keyasint,omitempty"`
}

// templateOf reports whether a finger is enrolled.
func (a *Authenticator) templateOf(finger string) bool {
	return slices.ContainsFunc(a.state.device.Templates, func(t template) bool { return t.Finger == finger })
}

// An enrollment is the state between enrollBegin and the last good sample.
type enrollment struct {
	id        []byte
	finger    *string // of the first good sample
	remaining uint
}

// beginEnrollment is enrollBegin, section 6.7.4. It ends an enrollment that
// runs.
func (a *Authenticator) beginEnrollment(c *call, req *bioEnrollmentRequest) (*bioEnrollmentResponse, error) {
	a.session.enrollment = nil
	if uint(len(a.state.device.Templates)) >= a.profile.Fingerprints.maxTemplates() {
		return nil, ctap2.ErrFPDatabaseFull
	}
	id, err := a.newTemplateID()
	if err != nil {
		return nil, err
	}
	e := &enrollment{id: id, remaining: a.profile.Fingerprints.samples()}
	resp, err := a.capture(c, e, req)
	if err != nil {
		return nil, err
	}
	resp.TemplateID = id
	return resp, nil
}

// continueEnrollment is enrollCaptureNextSample, section 6.7.4.
func (a *Authenticator) continueEnrollment(c *call, req *bioEnrollmentRequest) (*bioEnrollmentResponse, error) {
	e := a.session.enrollment
	if e == nil || !bytes.Equal(e.id, req.templateID) {
		return nil, ctap2.ErrInvalidOption
	}
	return a.capture(c, e, req)
}

// capture takes one sample. With the last good one the template is stored.
func (a *Authenticator) capture(c *call, e *enrollment, req *bioEnrollmentRequest) (*bioEnrollmentResponse, error) {
	sample, err := a.waitForFinger(c, "", req.timeLimit())
	if errors.Is(err, ctap2.ErrUserActionTimeout) {
		sample = Sample{Quality: SampleNoActivity}
	} else if err != nil {
		return nil, err
	}
	next := *e
	quality := a.judge(e, sample)
	if quality == SampleGood {
		next.finger = &sample.Finger
		next.remaining--
	}
	if next.remaining == 0 {
		t := template{ID: e.id, Finger: sample.Finger}
		if err := a.setDevice(func(d *device) { d.Templates = append(slices.Clone(d.Templates), t) }); err != nil {
			return nil, err
		}
		a.session.enrollment = nil
	} else {
		a.session.enrollment = &next
	}
	return &bioEnrollmentResponse{LastSample: &quality, RemainingSamples: &next.remaining}, nil
}

// timeLimit is how long a finger is waited for.
func (req *bioEnrollmentRequest) timeLimit() time.Duration {
	if req.timeout == nil || *req.timeout == 0 {
		return touchTimeLimit
	}
	return time.Duration(min(*req.timeout, math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond
}

// judge says what a sample is worth for an enrollment.
func (a *Authenticator) judge(e *enrollment, s Sample) SampleQuality {
	switch {
	case s.Quality != SampleGood:
		return s.Quality
	case a.templateOf(s.Finger):
		return SampleExists
	case e.finger != nil && *e.finger != s.Finger:
		return SampleMergeFailure
	}
	return SampleGood
}

func (a *Authenticator) newTemplateID() ([]byte, error) {
	for range maxDraws {
		id, err := a.random(templateIDSize)
		if err != nil || a.templateIndex(id) < 0 {
			return id, err
		}
	}
	return nil, errNotRandom
}

// templateIndex returns where a template is, or -1.
func (a *Authenticator) templateIndex(id []byte) int {
	return slices.IndexFunc(a.state.device.Templates, func(t template) bool { return bytes.Equal(t.ID, id) })
}

// enumerateTemplates is enumerateEnrollments, section 6.7.6.
func (a *Authenticator) enumerateTemplates() (*bioEnrollmentResponse, error) {
	if len(a.state.device.Templates) == 0 {
		return nil, ctap2.ErrInvalidOption
	}
	resp := &bioEnrollmentResponse{}
	for _, t := range a.state.device.Templates {
		info := templateInfo{ID: t.ID}
		if t.Name != "" || a.profile.Disputes.EmptyTemplateName {
			info.Name = &t.Name
		}
		resp.Templates = append(resp.Templates, info)
	}
	return resp, nil
}

// nameTemplate is setFriendlyName, section 6.7.7.
func (a *Authenticator) nameTemplate(req *bioEnrollmentRequest) error {
	i := a.templateIndex(req.templateID)
	if i < 0 {
		return ctap2.ErrInvalidOption
	}
	return a.setDevice(func(d *device) {
		d.Templates = slices.Clone(d.Templates)
		d.Templates[i].Name = *req.friendlyName
	})
}

// removeTemplate is removeEnrollment, section 6.7.8.
func (a *Authenticator) removeTemplate(req *bioEnrollmentRequest) error {
	i := a.templateIndex(req.templateID)
	if i < 0 {
		return ctap2.ErrInvalidOption
	}
	return a.setDevice(func(d *device) { d.Templates = slices.Delete(slices.Clone(d.Templates), i, i+1) })
}
