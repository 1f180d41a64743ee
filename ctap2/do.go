package ctap2

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/transport"
)

// A Request is a CTAP2 command whose successful answer decodes into Resp.
// Embed [Reply] to get Response.
type Request[Resp any] interface {
	Command() Command
	Response() *Resp
}

// Reply is embedded in a request struct; it names the type of the answer.
type Reply[Resp any] struct{}

// Response returns a new, empty answer.
func (Reply[Resp]) Response() *Resp { return new(Resp) }

// Empty is the answer of commands that return no map.
type Empty struct{}

// Error is what a key refused, and how. It unwraps to the [Status].
type Error struct {
	Command Command
	Status  Status
}

func (e *Error) Error() string { return fmt.Sprintf("%v: %v", e.Command, e.Status) }

func (e *Error) Unwrap() error { return e.Status }

// ErrMalformed is what every error about an answer wraps that is not what the
// specification says it is.
var ErrMalformed = transport.ErrMalformed

// checker is an answer that knows which of its members must be there, and how.
type checker interface{ check() error }

var emptyMap = []byte{0xa0}

// Encode returns req as it goes to the authenticator: the command byte and, if
// the request has any member, one CBOR map.
func Encode[Resp any](req Request[Resp]) ([]byte, error) {
	params, err := ctapcbor.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("%v: encode: %w", req.Command(), err)
	}
	msg := []byte{byte(req.Command())}
	if !bytes.Equal(params, emptyMap) {
		msg = append(msg, params...)
	}
	return msg, nil
}

// Do sends req to dev and returns the decoded answer. A status other than
// CTAP2_OK comes back as an [*Error], an answer that cannot be read as an error
// that wraps [ErrMalformed].
func Do[Resp any](ctx context.Context, dev transport.Device, req Request[Resp]) (*Resp, error) {
	msg, err := Encode(req)
	if err != nil {
		return nil, err
	}
	answer, err := dev.Exchange(ctx, msg)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", req.Command(), err)
	}
	resp := req.Response()
	if err := Decode(ctx, answer, req.Command(), resp); err != nil {
		return nil, unreadable(dev, msg, err)
	}
	return resp, nil
}

// Send sends a command with parameters as they are, a vendor's or a broken one
// for instance, and returns what follows the status byte as it came. params are
// nil for a command without. A status other than CTAP2_OK comes back as an
// [*Error].
func Send(ctx context.Context, dev transport.Device, command Command, params []byte) ([]byte, error) {
	msg := append([]byte{byte(command)}, params...)
	answer, err := dev.Exchange(ctx, msg)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", command, err)
	}
	rest, err := body(answer, command)
	return rest, unreadable(dev, msg, err)
}

// A misread device knows more about a message whose answer cannot be read: it was sent,
// and the key may have done what it says.
type misread interface {
	Misread(msg []byte, err error) error
}

// unreadable has the device add to an error about an answer what it knows.
func unreadable(dev transport.Device, msg []byte, err error) error {
	if d, ok := dev.(misread); ok && errors.Is(err, ErrMalformed) {
		return d.Misread(msg, err)
	}
	return err
}

// body returns what follows the status byte.
func body(answer []byte, command Command) ([]byte, error) {
	if len(answer) == 0 {
		return nil, fmt.Errorf("%v: %w: no status byte", command, ErrMalformed)
	}
	if status := Status(answer[0]); status != StatusOK {
		return nil, &Error{Command: command, Status: status}
	}
	return answer[1:], nil
}

// Decode reads an answer, a status byte with its CBOR, into resp. Keys answer
// some commands with the status alone where a map is due; that counts as an
// empty map.
func Decode(ctx context.Context, answer []byte, command Command, resp any) error {
	body, err := body(answer, command)
	if err != nil {
		return err
	}
	if _, nothing := resp.(*Empty); nothing {
		if len(body) > 0 {
			transport.Tolerate(ctx, Finding{What: "a body where none is due", Where: command.String(), Raw: body})
		}
		return nil
	}
	if len(body) == 0 {
		body = emptyMap
	}
	tolerate(ctx, command, body)
	if body[0]>>5 != 5 {
		return fmt.Errorf("%v: %w: not a CBOR map", command, ErrMalformed)
	}
	if err := ctapcbor.Unmarshal(body, resp); err != nil {
		return fmt.Errorf("%v: %w: %w", command, ErrMalformed, err)
	}
	if err := keepRest(resp, body); err != nil {
		return fmt.Errorf("%v: %w: %w", command, ErrMalformed, err)
	}
	if c, ok := resp.(checker); ok {
		if err := c.check(); err != nil {
			return fmt.Errorf("%v: %w: %w", command, ErrMalformed, err)
		}
	}
	return nil
}
