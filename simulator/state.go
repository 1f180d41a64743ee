package simulator

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// device is the part of the stored state that there is one of. It is copied,
// changed and committed; its slices are never written to.
type device struct {
	MasterKey  []byte `cbor:"1,keyasint"` // wraps the credentials that are not discoverable
	PINHash    []byte `cbor:"2,keyasint"` // the first 16 bytes of SHA-256; empty without a PIN
	PINLength  uint   `cbor:"3,keyasint"` // Unicode code points
	PINRetries uint   `cbor:"4,keyasint"`
	SignCount  uint32 `cbor:"5,keyasint"` // one counter for all credentials
	NextSerial uint64 `cbor:"6,keyasint"` // for the next discoverable credential

	// What authenticatorConfig sets; see config.go.
	MinPINLength        uint     `cbor:"7,keyasint,omitempty"` // code points; 0: as in the profile
	MinPINLengthRPIDs   []string `cbor:"8,keyasint,omitempty"`
	PINComplexityPolicy bool     `cbor:"9,keyasint,omitempty"`
	ForcePINChange      bool     `cbor:"19,keyasint,omitempty"`
	AlwaysUV            *bool    `cbor:"20,keyasint,omitempty"` // nil: as in the profile
	Enterprise          bool     `cbor:"21,keyasint,omitempty"` // enterprise attestation is enabled
	LongTouchForReset   bool     `cbor:"22,keyasint,omitempty"`

	// Built-in user verification; see user_verification.go.
	UVFailures uint `cbor:"24,keyasint,omitempty"` // since the last success
	UVSincePIN uint `cbor:"25,keyasint,omitempty"` // successes since a PIN was entered

	Templates []template `cbor:"26,keyasint,omitempty"` // in the order of their enrollment

	// All three are nil until a persistent token is asked for; see identity.go.
	PersistentToken []byte `cbor:"27,keyasint,omitempty"`
	Identifier      []byte `cbor:"28,keyasint,omitempty"`
	CredStoreState  []byte `cbor:"29,keyasint,omitempty"`
}

const masterKeySize = 32

// newDevice is a device as it leaves the factory.
func (a *Authenticator) newDevice() (device, error) {
	key, err := a.random(masterKeySize)
	return device{MasterKey: key, PINRetries: maxPINRetries}, err
}

var errCounterFull = errors.New("signature counter has reached its end")

// countUp raises the signature counter.
func (d *device) countUp() error {
	if d.SignCount == math.MaxUint32 {
		return errCounterFull
	}
	d.SignCount++
	return nil
}

// state is what survives power-off, as it is in the storage.
type state struct {
	storage Storage
	device  device
	byID    map[string]*credential // the discoverable credentials
	byRP    map[rpIDHash]*rpCredentials

	largeBlobs  []byte // the serialized array; never written to
	attestation []byte // seed of the generated chain; nil before it is needed

	// attestationKeys are those of the seed that were needed so far.
	attestationKeys map[attestationName]*attestationKey
}

// rpIDHash is the SHA-256 of an RP ID.
type rpIDHash = [sha256.Size]byte

// Names of records.
const (
	deviceRecord     = "device"
	credentialPrefix = "credential/" // and the ID in hexadecimal
	largeBlobsRecord = "large-blobs" // not there: the initial array
	attestRecord     = "attestation" // not there: not needed yet
)

func credentialRecord(c *credential) string { return credentialPrefix + hex.EncodeToString(c.ID) }

// loadState reads the storage; an empty one becomes a new device.
func (a *Authenticator) loadState() error {
	records, err := a.config.Storage.Load()
	if err != nil {
		return err
	}
	a.state = newState(cuttable{a.config.Storage, a.faults})
	if len(records) == 0 {
		fresh, err := a.newDevice()
		if err != nil {
			return err
		}
		if err := a.state.commit(change{device: fresh}); err != nil {
			return err
		}
	} else if err := a.state.load(records); err != nil {
		return err
	}
	if a.profile.needsCertificates() {
		_, err = a.attestationSeed()
	}
	return err
}

func newState(s Storage) *state {
	return &state{
		storage: s,
		byID:    map[string]*credential{},
		byRP:    map[rpIDHash]*rpCredentials{},

		largeBlobs:      initialLargeBlobs(),
		attestationKeys: map[attestationName]*attestationKey{},
	}
}

func (s *state) load(records map[string][]byte) error {
	if err := ctapcbor.Unmarshal(records[deviceRecord], &s.device); err != nil {
		return fmt.Errorf("stored record %q: %w", deviceRecord, err)
	}
	if len(s.device.MasterKey) != masterKeySize {
		return fmt.Errorf("stored record %q: master key of %d bytes", deviceRecord, len(s.device.MasterKey))
	}
	if array := records[largeBlobsRecord]; array != nil {
		s.largeBlobs = array
	}
	s.attestation = records[attestRecord]
	var credentials []*credential
	for name, record := range records {
		if !strings.HasPrefix(name, credentialPrefix) {
			continue
		}
		c := &credential{}
		if err := ctapcbor.Unmarshal(record, c); err != nil {
			return fmt.Errorf("stored record %q: %w", name, err)
		}
		if err := c.check(); err != nil {
			return fmt.Errorf("stored record %q: %w", name, err)
		}
		if c.CredProtect > userVerificationRequired {
			return fmt.Errorf("stored record %q: credProtect level %d", name, c.CredProtect)
		}
		credentials = append(credentials, c)
	}
	slices.SortFunc(credentials, bySerial)
	for _, c := range credentials {
		s.put(c)
	}
	return nil
}

func bySerial(c, d *credential) int { return cmp.Compare(c.Serial, d.Serial) }

// A change is what one command does to the state.
type change struct {
	device device        // as it is afterwards
	remove []*credential // before put
	put    []*credential // new ones, or new versions with the same ID

	largeBlobs  []byte // nil: as they are
	attestation []byte // the same
}

// commit stores a change as one transaction. With an error nothing has changed,
// neither in the storage nor in memory.
func (s *state) commit(c change) error {
	records := map[string][]byte{}
	for _, credential := range c.remove {
		records[credentialRecord(credential)] = nil
	}
	for _, credential := range c.put {
		record, err := ctapcbor.Marshal(credential)
		if err != nil {
			return err
		}
		records[credentialRecord(credential)] = record
	}
	if c.largeBlobs != nil {
		records[largeBlobsRecord] = c.largeBlobs
	}
	if c.attestation != nil {
		records[attestRecord] = c.attestation
	}
	record, err := ctapcbor.Marshal(c.device)
	if err != nil {
		return err
	}
	records[deviceRecord] = record
	if err := s.storage.Commit(records); err != nil {
		return fmt.Errorf("storage: %w", err)
	}

	s.device = c.device
	if c.largeBlobs != nil {
		s.largeBlobs = c.largeBlobs
	}
	if c.attestation != nil {
		s.attestation = c.attestation
	}
	for _, credential := range c.remove {
		s.remove(credential)
	}
	for _, credential := range c.put {
		s.put(credential)
	}
	return nil
}

// put adds a credential to the indexes, or replaces the one with its ID.
func (s *state) put(c *credential) {
	if old := s.byID[string(c.ID)]; old != nil {
		s.remove(old)
	}
	s.byID[string(c.ID)] = c
	if s.byRP[c.RPIDHash] == nil {
		s.byRP[c.RPIDHash] = &rpCredentials{byUser: map[string]*credential{}}
	}
	s.byRP[c.RPIDHash].put(c)
}

func (s *state) remove(c *credential) {
	delete(s.byID, string(c.ID))
	ofRP := s.byRP[c.RPIDHash]
	ofRP.remove(c)
	if len(ofRP.all) == 0 {
		delete(s.byRP, c.RPIDHash)
	}
}

// rpCredentials are the discoverable credentials of one RP. No lookup that a
// single command makes goes through all of them.
type rpCredentials struct {
	all    []*credential // in the order of their serial numbers
	byUser map[string]*credential
	levels [4]int // how many there are of each level of credProtect
}

// place returns where a serial number is, or belongs.
func (r *rpCredentials) place(serial uint64) int {
	i, _ := slices.BinarySearchFunc(r.all, serial, func(c *credential, serial uint64) int {
		return cmp.Compare(c.Serial, serial)
	})
	return i
}

func (r *rpCredentials) put(c *credential) {
	r.all = slices.Insert(r.all, r.place(c.Serial), c)
	r.byUser[string(c.User.ID)] = c
	r.levels[c.CredProtect]++
}

func (r *rpCredentials) remove(c *credential) {
	i := r.place(c.Serial)
	r.all = slices.Delete(r.all, i, i+1)
	delete(r.byUser, string(c.User.ID))
	r.levels[c.CredProtect]--
}
