package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/transport"
)

// Allow lists and exclude lists may be longer than what a key takes. Then the
// list is gone through with silent assertions, and only the credential that was
// found goes into the request that counts (CTAP 2.1, sections 6.1.1 and 6.2.1).

// sendable returns the list as it goes out: with identifier and type only, for
// some old keys refuse transports, and without identifiers that are too long for
// this key to have made.
func sendable(info *ctap2.GetInfoResponse, list []ctap2.Descriptor) []ctap2.Descriptor {
	longest := uint(math.MaxInt)
	if n := info.MaxCredentialIDLength; n != nil && *n > 0 {
		longest = *n
	}
	var out []ctap2.Descriptor
	for _, d := range list {
		if d.Type == "" {
			d.Type = ctap2.PublicKeyType
		}
		if len(d.ID) > 0 && uint(len(d.ID)) <= longest {
			out = append(out, ctap2.Descriptor{ID: d.ID, Type: d.Type})
		}
	}
	return out
}

// listEntries is how many credentials go into one list. A key that names no
// limit, or zero, may well look at the first entry only.
func listEntries(info *ctap2.GetInfoResponse) int {
	count, length := info.MaxCredentialCountInList, info.MaxCredentialIDLength
	if count == nil || *count == 0 || length != nil && *length == 0 {
		return 1
	}
	return int(min(*count, math.MaxInt))
}

// fits reports whether a request is short enough for the key.
func fits[Resp any](info *ctap2.GetInfoResponse, req ctap2.Request[Resp]) bool {
	msg, err := ctap2.Encode(req)
	return err == nil && uint(len(msg)) <= info.MessageSize()
}

// longestParam stands for a pinUvAuthParam that is not there yet.
var longestParam = [32]byte{}

// A search looks through a list for a credential that the key has, without a
// touch.
type search struct {
	k     *Key
	rpID  string
	token *pin.Token // nil: credentials that ask for user verification stay hidden
	most  int        // entries to ask for at once
	// odd is the first answer that is neither a credential nor NO_CREDENTIALS.
	odd error
}

// find returns the first credential of the list that the key has, or nil.
func (s *search) find(ctx context.Context, list []ctap2.Descriptor) (*ctap2.Descriptor, error) {
	s.most = listEntries(s.k.info)
	for len(list) > 0 {
		chunk := s.chunk(list)
		found, err := s.ask(ctx, chunk)
		switch {
		case found != nil:
			return found, nil
		case err != nil && !meansAbsence(err):
			return nil, err
		case err != nil && s.odd == nil:
			s.odd = err
			transport.Tolerate(ctx, ctap2.Finding{
				What: fmt.Sprintf("a silent search for credentials is answered with: %v", err), Where: ctap2.CommandGetAssertion.String(),
			})
		}
		if err != nil && len(chunk) > 1 {
			s.most = 1 // it may be because of one of them: all again, one by one
			continue
		}
		list = list[len(chunk):]
	}
	return nil, nil
}

// chunk returns as much of the list as one request takes, at least one entry.
func (s *search) chunk(list []ctap2.Descriptor) []ctap2.Descriptor {
	n := 1
	for n < min(len(list), s.most) && fits(s.k.info, s.request(list[:n+1])) {
		n++
	}
	return list[:n]
}

// request is never one for the relying party's client data: what the key signs
// here nobody has agreed to.
func (s *search) request(chunk []ctap2.Descriptor) ctap2.GetAssertion {
	hash := make([]byte, 32)
	req := ctap2.GetAssertion{RPID: s.rpID, ClientDataHash: hash, AllowList: chunk, Options: &ctap2.Options{UP: new(false)}}
	if s.token != nil {
		req.PINUVAuthParam, req.PINUVAuthProtocol = s.token.Authenticate(hash), uint(s.token.Protocol())
	}
	return req
}

// ask returns the credential of the chunk that the key has, or neither a
// credential nor an error.
func (s *search) ask(ctx context.Context, chunk []ctap2.Descriptor) (*ctap2.Descriptor, error) {
	resp, err := ctap2.Do(ctx, s.k.dev, s.request(chunk))
	switch {
	case errors.Is(err, ctap2.ErrNoCredentials):
		return nil, nil
	case err != nil:
		return nil, err
	case len(chunk) == 1:
		return &chunk[0], nil
	case resp.Credential == nil:
		return nil, errUnnamed
	}
	i := slices.IndexFunc(chunk, func(d ctap2.Descriptor) bool { return bytes.Equal(d.ID, resp.Credential.ID) })
	if i < 0 {
		return nil, fmt.Errorf("%v: %w: the credential was not asked for", ctap2.CommandGetAssertion, ctap2.ErrMalformed)
	}
	return &chunk[i], nil
}

// errUnnamed is an answer for one credential of several that does not say which.
var errUnnamed = errors.New("an assertion that names no credential")

// meansAbsence reports whether an error may be a key's way to say that it does
// not have a credential: all but those about the person, the token and the
// conversation.
func meansAbsence(err error) bool {
	if errors.Is(err, errUnnamed) {
		return true
	}
	var refused *ctap2.Error
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Status {
	case ctap2.ErrPUATRequired, ctap2.ErrPINAuthInvalid, ctap2.ErrPINTokenExpired, ctap2.ErrPINAuthBlocked, ctap2.ErrPINBlocked,
		ctap2.ErrKeepaliveCancel, ctap2.ErrTimeout, ctap2.ErrChannelBusy, ctap2.ErrInvalidChannel,
		ctap2.ErrOperationDenied, ctap2.ErrUserActionTimeout, ctap2.ErrActionTimeout:
		return false
	}
	return true
}
