package nfc

import (
	"context"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/transport"
)

const (
	maxData     = 0xffff  // of a command: the length field of extended APDUs
	maxResponse = 1 << 16 // of a response in parts, which has no length field
)

// command sends one command in the form that the Device uses, and returns the
// data of the whole response.
func (d *Device) command(ctx context.Context, a apdu) ([]byte, StatusWord, error) {
	if d.extended {
		return d.transmitAll(ctx, a, apdu.extended)
	}
	// Some readers refuse an Le in any block but the last.
	chained := false
	for len(a.data) > chainBlock {
		d.halfSent = true
		block := apdu{cla: a.cla | claChain, ins: a.ins, p1: a.p1, p2: a.p2, data: a.data[:chainBlock], le: -1}
		_, sw, err := d.transmit(ctx, block.short())
		if err != nil {
			return nil, 0, err
		}
		if sw != swOK {
			d.endChain(chained)
			return nil, 0, fmt.Errorf("chained command: %w", sw)
		}
		a.data, chained = a.data[chainBlock:], true
	}
	data, sw, err := d.transmitAll(ctx, a, apdu.short)
	if err == nil && sw != swOK && sw != swStatus {
		d.endChain(chained)
	}
	if err == nil {
		d.halfSent = false
	}
	return data, sw, err
}

// endChain is for a block that was refused. That may be the reader's doing, while the
// card still waits for the block; any other command ends a chain.
func (d *Device) endChain(begun bool) {
	d.halfSent = false
	if begun {
		_, _ = d.cancel()
	}
}

// transmitAll sends one APDU and collects the response, which a card may hand
// out in parts (ISO 7816-4, section 5.3.4).
func (d *Device) transmitAll(ctx context.Context, a apdu, encode func(apdu) []byte) ([]byte, StatusWord, error) {
	data, sw, err := d.transmitLe(ctx, a, encode)
	late := false
	for err == nil && sw.sw1() == sw1More {
		if ctx.Err() != nil && !late && !d.cancelling {
			// The work is done, and the answer on its way: a credential may have
			// been made.
			late = true
			var stop func()
			ctx, stop = context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
			defer stop()
		}
		var part []byte
		part, sw, err = d.getResponse(ctx, int(sw.sw2()))
		if err == nil && sw != swOK && sw != swStatus && sw.sw1() != sw1More {
			// Not wrapped: a command that was refused is sent again, and this one
			// was carried out.
			err = fmt.Errorf("%w: the rest of the response: %v", ErrFraming, error(sw))
		}
		if err == nil && len(part) == 0 && sw.sw1() == sw1More {
			err = fmt.Errorf("%w: an empty part of a response, and more to come", ErrFraming)
		}
		if len(data)+len(part) > maxResponse {
			err = fmt.Errorf("%w: more than %d bytes", ErrFraming, maxResponse)
		}
		data = append(data, part...)
	}
	if err != nil {
		return nil, 0, err
	}
	return data, sw, nil
}

// getResponse fetches the next part of a response. GET RESPONSE is of ISO's
// class; some cards want it in that of CTAP, which is remembered.
func (d *Device) getResponse(ctx context.Context, le int) ([]byte, StatusWord, error) {
	part, sw, err := d.transmitLe(ctx, apdu{cla: d.responseClass, ins: insISOResponse, le: le}, apdu.short)
	if err != nil || d.responseClass != claISO || sw != ErrClass && sw != ErrInstruction {
		return part, sw, err
	}
	part, sw, err = d.transmitLe(ctx, apdu{cla: claCTAP, ins: insISOResponse, le: le}, apdu.short)
	if err == nil && (sw == swOK || sw.sw1() == sw1More) {
		d.responseClass = claCTAP
		tolerate(ctx, "GET RESPONSE", nil, "wanted in class %02x, not %02x", claCTAP, claISO)
	}
	return part, sw, err
}

// tolerate reports what a key should have done otherwise.
func tolerate(ctx context.Context, where string, raw []byte, format string, args ...any) {
	transport.Tolerate(ctx, transport.Finding{What: fmt.Sprintf(format, args...), Where: where, Raw: raw})
}

// transmitLe sends one APDU, and once more if the card wants another Le.
func (d *Device) transmitLe(ctx context.Context, a apdu, encode func(apdu) []byte) ([]byte, StatusWord, error) {
	data, sw, err := d.transmit(ctx, encode(a))
	if err == nil && sw.sw1() == sw1WrongLe {
		a.le = int(sw.sw2())
		data, sw, err = d.transmit(ctx, encode(a))
	}
	return data, sw, err
}

// late waits some more for an answer, which may tell of a credential. A card that
// keeps it for longer has an unknown part of the command.
func (d *Device) late(card latecomer, ended error) ([]byte, error) {
	ctx, stop := context.WithTimeout(context.Background(), cancelTimeout)
	defer stop()
	if d.cancelling {
		stop()
	}
	response, err := card.Late(ctx)
	if err != nil {
		d.unselected = errors.New("the card did not answer in time to the command before")
		return nil, ended
	}
	return response, nil
}

// transmit sends the bytes of one APDU.
func (d *Device) transmit(ctx context.Context, raw []byte) ([]byte, StatusWord, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	response, err := d.card.Transmit(ctx, raw)
	if err != nil && ctx.Err() != nil {
		if late, ok := cardAs[latecomer](d.card); ok {
			response, err = d.late(late, err)
		}
	}
	if err != nil {
		return nil, 0, err
	}
	if len(response) < 2 {
		return nil, 0, fmt.Errorf("%w: %d bytes, without a status word", ErrFraming, len(response))
	}
	n := len(response) - 2
	return response[:n:n], StatusWord(response[n])<<8 | StatusWord(response[n+1]), nil
}
