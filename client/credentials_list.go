package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/transport"
)

// maxListed is how many relying parties and credentials are read from one key,
// whatever it announces. Real ones have room for some hundreds.
const maxListed = 10_000

// maxListedBytes is how many bytes of answers are kept, which is so many credentials. The
// rest of the program needs ten times as much for them.
const maxListedBytes = 3 << 20

// weight is what an answer with these names counts for. A byte of a name that is not
// printed as it is counts for more: it may be six in JSON.
func weight(raw []byte, rp *ctap2.RP, user *ctap2.User) int {
	const escaped = 8
	n := len(raw)
	of := func(names ...string) {
		for _, name := range names {
			for i := range len(name) {
				if name[i] < ' ' || name[i] > '~' {
					n += escaped
				}
			}
		}
	}
	if rp != nil {
		of(rp.ID, rp.Name)
	}
	if user != nil {
		of(user.Name, user.DisplayName)
	}
	return n
}

// A lister reads lists with one token. Nothing may come between the messages of
// a list: the key forgets where it was (CTAP 2.1, section 6.8.1).
type lister struct {
	management
	token *pin.Token
	read  int     // so far
	bytes int     // of the answers that were read, by weight
	short []error // lists that ended before what the key had announced
}

// A series is what a Begin and its GetNexts answer.
type series struct {
	what        string
	begin, next ctap2.CredentialSubCommand
	params      *ctap2.CredentialManagementParams
	total       func(*ctap2.CredentialManagementResponse) *uint
	totalName   string
	// id tells the answers apart; it is empty for one that names nothing.
	id func(*ctap2.CredentialManagementResponse) string
}

var errEndsEarly = errors.New("fewer came than announced")

// all reads the relying parties first, and then the credentials of each.
func (l *lister) all(ctx context.Context) ([]RelyingParty, error) {
	rps, err := l.relyingParties(ctx)
	if err != nil {
		return rps, l.verdict(err)
	}
	for i := range rps {
		if rps[i].Credentials, err = l.credentials(ctx, rps[i].IDHash); err != nil {
			return rps, l.verdict(fmt.Errorf("credentials of %q: %w", rps[i].ID, err))
		}
	}
	return rps, l.verdict(nil)
}

// verdict is err, if any, or that some list was too short. Once something was
// read, it says that it is not all.
func (l *lister) verdict(err error) error {
	err = errors.Join(append(l.short, err)...)
	if err == nil || l.read == 0 {
		return err
	}
	return fmt.Errorf("%w: %w", ErrIncomplete, err)
}

func (l *lister) relyingParties(ctx context.Context) ([]RelyingParty, error) {
	answers, err := l.series(ctx, series{
		what:      "relying parties",
		begin:     ctap2.EnumerateRPsBegin,
		next:      ctap2.EnumerateRPsGetNextRP,
		total:     func(r *ctap2.CredentialManagementResponse) *uint { return r.TotalRPs },
		totalName: "totalRPs (5)",
		id: func(r *ctap2.CredentialManagementResponse) string {
			if len(r.RPIDHash) == 0 && r.RP != nil {
				return r.RP.ID
			}
			return string(r.RPIDHash)
		},
	})
	var rps []RelyingParty
	for _, a := range answers {
		rps = append(rps, l.relyingParty(ctx, a))
	}
	if len(answers) == 0 && refusesRPList(err) {
		err = l.withoutRPList(ctx, err)
	}
	return rps, err
}

// refusesRPList reports whether an error is one with which keys answer
// enumerateRPsBegin that do not have it, or have nothing to list.
func refusesRPList(err error) bool {
	for _, status := range []ctap2.Status{ctap2.ErrMissingParameter, ctap2.ErrInvalidCBOR, ctap2.ErrInvalidParameter, ctap2.ErrInvalidSubcommand} {
		if errors.Is(err, status) {
			return true
		}
	}
	return false
}

// withoutRPList asks a key that refuses to list its relying parties whether there
// are any: that nothing is there must not be a guess.
func (l *lister) withoutRPList(ctx context.Context, refusal error) error {
	m, err := l.metadata(ctx, l.token)
	if err != nil {
		return refusal
	}
	if m.Existing > 0 {
		return fmt.Errorf("%w; it holds %d: %w", ErrNoRPList, m.Existing, refusal)
	}
	l.tolerate(ctx, fmt.Sprintf("%v in place of NO_CREDENTIALS", refusal), nil)
	return nil
}

func (l *lister) credentials(ctx context.Context, rpIDHash [32]byte) ([]StoredCredential, error) {
	answers, err := l.series(ctx, series{
		what:      "credentials",
		begin:     ctap2.EnumerateCredentialsBegin,
		next:      ctap2.EnumerateCredentialsGetNextCredential,
		params:    &ctap2.CredentialManagementParams{RPIDHash: rpIDHash[:]},
		total:     func(r *ctap2.CredentialManagementResponse) *uint { return r.TotalCredentials },
		totalName: "totalCredentials (9)",
		id: func(r *ctap2.CredentialManagementResponse) string {
			if r.CredentialID == nil {
				return ""
			}
			return string(r.CredentialID.ID)
		},
	})
	var credentials []StoredCredential
	for _, a := range answers {
		credentials = append(credentials, l.credential(ctx, a))
	}
	return credentials, err
}

// series reads a list. If it ends early, another program may have come between:
// it is read once more before that is believed.
func (l *lister) series(ctx context.Context, s series) ([]*ctap2.CredentialManagementResponse, error) {
	all, err := l.once(ctx, s)
	if errors.Is(err, errEndsEarly) {
		var again []*ctap2.CredentialManagementResponse
		if again, err = l.once(ctx, s); err == nil || len(again) > len(all) {
			all = again
		}
	}
	if errors.Is(err, errEndsEarly) {
		l.short = append(l.short, err)
		err = nil
	}
	return all, err
}

// once reads a list. What was read before an error comes with it.
func (l *lister) once(ctx context.Context, s series) (all []*ctap2.CredentialManagementResponse, err error) {
	resp, err := l.send(ctx, l.token, s.begin, s.params)
	if errors.Is(err, ctap2.ErrNoCredentials) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	total := s.total(resp)
	if s.id(resp) == "" && (total == nil || *total == 0) {
		l.tolerate(ctx, fmt.Sprintf("no %s are told as an answer without any, not as NO_CREDENTIALS", s.what), resp.Raw)
		return nil, nil
	}
	if total == nil {
		ctap2.Missing(ctx, l.command(), s.totalName, resp.Raw)
	}
	seen := map[string]bool{}
	for {
		id := s.id(resp)
		switch {
		case id == "":
			return all, fmt.Errorf("%v: %w: one of the %s has no ID", l.command(), ctap2.ErrMalformed, s.what)
		case seen[id]:
			return all, fmt.Errorf("%v: %w: one of the %s comes twice", l.command(), ctap2.ErrMalformed, s.what)
		case l.read >= maxListed || l.bytes+weight(resp.Raw, resp.RP, resp.User) > maxListedBytes:
			return all, fmt.Errorf("%v: %w: there is no end to the %s", l.command(), ctap2.ErrMalformed, s.what)
		}
		seen[id] = true
		l.read++
		l.bytes += weight(resp.Raw, resp.RP, resp.User)
		all = append(all, resp)
		if total != nil && uint(len(all)) >= *total {
			return all, nil
		}
		resp, err = l.send(ctx, nil, s.next, nil)
		switch {
		case err == nil:
		case !endOfList(err):
			return all, err
		case total == nil:
			return all, nil
		default:
			return all, fmt.Errorf("%w: %d of %d %s: %w", errEndsEarly, len(all), *total, s.what, err)
		}
	}
}

// endOfList reports whether an error is how a key says that nothing follows.
func endOfList(err error) bool {
	return errors.Is(err, ctap2.ErrNotAllowed) || errors.Is(err, ctap2.ErrNoCredentials)
}

func (m management) tolerate(ctx context.Context, what string, raw []byte) {
	transport.Tolerate(ctx, ctap2.Finding{What: what, Where: m.command().String(), Raw: raw})
}
