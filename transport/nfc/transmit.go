package nfc

import (
	"context"
	"fmt"
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
	for len(a.data) > chainBlock {
		block := apdu{cla: a.cla | claChain, ins: a.ins, p1: a.p1, p2: a.p2, data: a.data[:chainBlock], le: -1}
		_, sw, err := d.transmit(ctx, block.short())
		if err != nil {
			return nil, 0, err
		}
		if sw != swOK {
			return nil, 0, fmt.Errorf("chained command: %w", sw)
		}
		a.data = a.data[chainBlock:]
	}
	return d.transmitAll(ctx, a, apdu.short)
}

// transmitAll sends one APDU and collects the response, which a card may hand
// out in parts (ISO 7816-4, section 5.3.4).
func (d *Device) transmitAll(ctx context.Context, a apdu, encode func(apdu) []byte) ([]byte, StatusWord, error) {
	data, sw, err := d.transmitLe(ctx, a, encode)
	for err == nil && sw.sw1() == sw1More {
		var part []byte
		part, sw, err = d.transmitLe(ctx, apdu{cla: claISO, ins: insISOResponse, le: int(sw.sw2())}, apdu.short)
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

// transmitLe sends one APDU, and once more if the card wants another Le.
func (d *Device) transmitLe(ctx context.Context, a apdu, encode func(apdu) []byte) ([]byte, StatusWord, error) {
	data, sw, err := d.transmit(ctx, encode(a))
	if err == nil && sw.sw1() == sw1WrongLe {
		a.le = int(sw.sw2())
		data, sw, err = d.transmit(ctx, encode(a))
	}
	return data, sw, err
}

// transmit sends the bytes of one APDU.
func (d *Device) transmit(ctx context.Context, raw []byte) ([]byte, StatusWord, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	response, err := d.card.Transmit(ctx, raw)
	if err != nil {
		return nil, 0, err
	}
	if len(response) < 2 {
		return nil, 0, fmt.Errorf("%w: %d bytes, without a status word", ErrFraming, len(response))
	}
	n := len(response) - 2
	return response[:n:n], StatusWord(response[n])<<8 | StatusWord(response[n+1]), nil
}
