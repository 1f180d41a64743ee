package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport/hid"
)

// formatFido2Token is "info --format" for those who search the lines of
// libfido2's "fido2-token -I".
const formatFido2Token = "fido2-token"

// framed is a device that tells what it said of itself when it was opened, as
// those on USB do.
type framed interface {
	ProtocolVersion() byte
	Version() (major, minor, build byte)
	Capabilities() hid.Capability
}

// A fido2TokenReport is what a key is in the lines of "fido2-token -I", as far as
// they need no PIN. Numbers that the key does not tell are 0 there.
type fido2TokenReport struct {
	device                framed // nil: not on USB
	info                  *ctap2.GetInfoResponse
	pinRetries, uvRetries *uint
	sensor                *client.FingerprintSensor
}

// fido2Token asks what fido2-token asks.
func (e *env) fido2Token(ctx context.Context, key *openedKey) (report, error) {
	r := &fido2TokenReport{}
	r.device, _ = key.dev.(framed)
	var err error
	if r.info, err = key.Info(ctx); err != nil || !r.ctap2() {
		return r, err
	}
	// What the key refuses is "undefined" there; a context that ended is not.
	r.pinRetries, err = retriesLeft(ctx, key, ctap2.GetPINRetries)
	if err == nil {
		r.uvRetries, err = retriesLeft(ctx, key, ctap2.GetUVRetries)
	}
	if err != nil {
		return nil, err
	}
	if sensor, err := key.FingerprintSensor(ctx); err == nil {
		r.sensor = &sensor
	}
	return r, ctx.Err()
}

// ctap2 reports whether the key answered getInfo.
func (r *fido2TokenReport) ctap2() bool { return len(r.info.Raw) > 0 }

// retriesLeft asks how many tries are left; nil if the key does not say.
func retriesLeft(ctx context.Context, key *openedKey, sub ctap2.PINSubCommand) (*uint, error) {
	resp, err := client.Do(ctx, key.Key, ctap2.ClientPIN{PINUVAuthProtocol: 1, SubCommand: sub})
	var refused *ctap2.Error
	switch {
	case errors.As(err, &refused):
		return nil, nil
	case err != nil:
		return nil, err
	case sub == ctap2.GetUVRetries:
		return resp.UVRetries, nil
	}
	return resp.PINRetries, nil
}

func (r *fido2TokenReport) print(w *printer) {
	if r.device != nil {
		printFrame(w, r.device)
	}
	if !r.ctap2() {
		return
	}
	r.printIdentity(w)
	r.printLimits(w)
	r.printVerification(w)
	if r.sensor != nil {
		kind := "unknown"
		if r.sensor.Kind != 0 {
			kind = r.sensor.Kind.String()
		}
		w.printf("sensor type: %d (%s)", r.sensor.Kind, kind)
		w.printf("max samples: %d", r.sensor.SamplesNeeded)
	}
}

func printFrame(w *printer, d framed) {
	major, minor, build := d.Version()
	caps := d.Capabilities()
	has := func(flag hid.Capability, yes, no string) string {
		if caps&flag != 0 {
			return yes
		}
		return no
	}
	w.printf("proto: 0x%02x", d.ProtocolVersion())
	w.printf("major: 0x%02x", major)
	w.printf("minor: 0x%02x", minor)
	w.printf("build: 0x%02x", build)
	w.printf("caps: 0x%02x (%s, %s, %s)", byte(caps),
		has(hid.CapabilityWink, "wink", "nowink"), has(hid.CapabilityCBOR, "cbor", "nocbor"), has(hid.CapabilityNMSG, "nomsg", "msg"))
}

// joined prints a list, if there is anything in it.
func joined[T any](w *printer, name string, items []T) {
	if len(items) == 0 {
		return
	}
	var texts []string
	for _, item := range items {
		texts = append(texts, fmt.Sprint(item))
	}
	w.printf("%s: %s", name, strings.Join(texts, ", "))
}

// positive prints a number, if there is one and it is not 0.
func positive(w *printer, name string, n *uint) {
	if value(n) > 0 {
		w.printf("%s: %d", name, *n)
	}
}

// value is 0 for a number that is absent.
func value[N uint | uint64](n *N) N {
	if n == nil {
		return 0
	}
	return *n
}

func (r *fido2TokenReport) printIdentity(w *printer) {
	info := r.info
	joined(w, "version strings", info.Versions)
	joined(w, "extension strings", info.Extensions)
	joined(w, "transport strings", info.Transports)
	var algorithms []string
	for _, a := range info.Algorithms {
		name, ok := fido2TokenAlgorithms[a.Algorithm]
		if !ok {
			name = "unknown"
		}
		algorithms = append(algorithms, fmt.Sprintf("%s (%s)", name, a.Type))
	}
	joined(w, "algorithms", algorithms)
	w.printf("aaguid: %x", info.AAGUID[:])
	if len(info.EncIdentifier) > 0 {
		w.printf("encid: %x", []byte(info.EncIdentifier))
	}
	if len(info.EncCredStoreState) > 0 {
		w.printf("encstate: %x", []byte(info.EncCredStoreState))
	}
	var options []string
	for _, id := range canonicalOrder(info.Options) {
		no := "no"
		if info.Options[id] {
			no = ""
		}
		options = append(options, no+id)
	}
	joined(w, "options", options)
	var certifications []string
	for _, id := range canonicalOrder(info.Certifications) {
		certifications = append(certifications, fmt.Sprintf("%s %d", id, info.Certifications[id]))
	}
	joined(w, "certifications", certifications)
	joined(w, "attestation formats strings", info.AttestationFormats)
}

// fido2TokenAlgorithms are the names that libfido2 has for algorithms.
var fido2TokenAlgorithms = map[cose.Algorithm]string{
	cose.ES256: "es256", cose.ES384: "es384", cose.RS256: "rs256", cose.EdDSA: "eddsa",
}

func (r *fido2TokenReport) printLimits(w *printer) {
	info := r.info
	w.printf("fwversion: 0x%x", value(info.FirmwareVersion))
	w.printf("maxmsgsiz: %d", info.MaxMsgSize)
	w.printf("maxcredcntlst: %d", value(info.MaxCredentialCountInList))
	w.printf("maxcredlen: %d", value(info.MaxCredentialIDLength))
	w.printf("maxcredblob: %d", value(info.MaxCredBlobLength))
	w.printf("maxlargeblob: %d", value(info.MaxSerializedLargeBlobArray))
	positive(w, "maxrpids in minpinlen", info.MaxRPIDsForSetMinPINLength)
	if n := info.RemainingDiscoverableCredentials; n != nil {
		w.printf("remaining rk(s): %d", *n)
	}
	positive(w, "minpinlen", info.MinPINLength)
	positive(w, "maxpinlen", info.MaxPINLength)
}

func (r *fido2TokenReport) printVerification(w *printer) {
	info := r.info
	retries := func(name string, n *uint) {
		if n == nil {
			w.printf("%s: undefined", name)
		} else {
			w.printf("%s: %d", name, *n)
		}
	}
	isTrue := func(b *bool) bool { return b != nil && *b }
	joined(w, "pin protocols", info.PINUVAuthProtocols)
	retries("pin retries", r.pinRetries)
	w.printf("pin change required: %t", isTrue(info.ForcePINChange))
	if p := info.PINComplexityPolicy; p != nil {
		w.printf("pin complexity policy: %t", *p)
	}
	if url := info.PINComplexityPolicyURL; len(url) > 0 {
		w.printf("pin complexity policy url: %s", url)
	}
	retries("uv retries", r.uvRetries)
	positive(w, "platform uv attempt(s)", info.PreferredPlatformUVAttempts)
	if m := value(info.UVModality); m != 0 {
		w.printf("uv modality: 0x%x (%s)", m, strings.Join(modalities(m), ", "))
	}
	if n := info.UVCountSinceLastPINEntry; n != nil {
		w.printf("uv count since last pin: %d", *n)
	}
	w.printf("long touch for reset: %t", isTrue(info.LongTouchForReset))
	joined(w, "transports for reset strings", info.TransportsForReset)
	joined(w, "config commands", info.AuthenticatorConfigCommands)
}

// modalityNames are libfido2's words for the user verification methods of the
// FIDO registry, from the lowest bit up.
var modalityNames = []string{
	"test of user presence", "fingerprint check", "pin check", "voice recognition", "face recognition",
	"location check", "eyeprint check", "drawn pattern check", "handprint verification", "none",
	"all required", "external pin", "external drawn pattern check",
}

func modalities(flags uint) (names []string) {
	for bit := 0; flags>>bit != 0; bit++ {
		switch {
		case flags>>bit&1 == 0:
		case bit < len(modalityNames):
			names = append(names, modalityNames[bit])
		default:
			names = append(names, fmt.Sprintf("unknown 0x%x", uint(1)<<bit))
		}
	}
	return names
}

// canonicalOrder returns the keys of a map in the order in which CBOR has them:
// the shorter first (CTAP 2.1, section 8). libfido2 takes no other.
func canonicalOrder[V any](m map[string]V) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
}
