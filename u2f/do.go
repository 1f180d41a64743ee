package u2f

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/transport"
)

// A Messenger is a conversation with a key that carries U2F: a command APDU
// there, a response APDU back. The HID and NFC devices are Messengers.
type Messenger interface {
	Message(ctx context.Context, apdu []byte) ([]byte, error)
}

// A Request is a U2F command whose successful answer is a Resp.
type Request[Resp any] interface {
	// Command returns the command, or an error if it cannot be sent.
	Command() (Command, error)
	// Parse reads the data of the answer. Errors wrap [ErrMalformed].
	Parse(data []byte) (*Resp, error)
}

// ErrMalformed is what every error about an answer wraps that is not what the
// specification says it is.
var ErrMalformed = transport.ErrMalformed

// Do sends req to key and returns the answer. A status word other than 9000 comes
// back as an error that wraps the [StatusWord].
func Do[Resp any](ctx context.Context, key Messenger, req Request[Resp]) (*Resp, error) {
	c, err := req.Command()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", c.INS, err)
	}
	data, err := Send(ctx, key, c)
	if err != nil {
		return nil, err
	}
	resp, err := req.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", c.INS, err)
	}
	return resp, nil
}

// Send sends any command, in extended length, and returns the data of the answer
// without the status word. A command without data that the key finds to be of the
// wrong length is sent once more in the other form that is in use.
func Send(ctx context.Context, key Messenger, c Command) ([]byte, error) {
	data, err := exchange(ctx, key, c.extended())
	if len(c.Data) == 0 && errors.Is(err, ErrWrongLength) {
		if data, err = exchange(ctx, key, c.withLc()); err == nil {
			transport.Tolerate(ctx, transport.Finding{What: "a command without data is taken with an Lc of zero only", Where: c.INS.String()})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", c.INS, err)
	}
	return data, nil
}

// exchange sends one APDU and takes the status word off the answer.
func exchange(ctx context.Context, key Messenger, apdu []byte) ([]byte, error) {
	answer, err := key.Message(ctx, apdu)
	if err != nil {
		return nil, err
	}
	n := len(answer) - 2
	if n < 0 {
		return nil, fmt.Errorf("%w: %d bytes, without a status word", ErrMalformed, len(answer))
	}
	if sw := StatusWord(binary.BigEndian.Uint16(answer[n:])); sw != NoError {
		return nil, sw
	}
	return answer[:n:n], nil
}
