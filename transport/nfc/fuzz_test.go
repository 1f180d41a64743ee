package nfc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/fidokey/fidokey/transport/nfc"
)

var errNoCard = errors.New("no card")

// FuzzExchange lets a card answer with arbitrary responses. Each is one byte of
// length and that many bytes; at their end the card is gone.
func FuzzExchange(f *testing.F) {
	for _, seed := range []string{
		"05 00a0019000", "03 019100 03 029100 03 009000", "03 006101 03 019000",
		"02 6c05 03 009000", "02 6985", "02 6100", "01 90", "00", "02 9000 03 009000",
	} {
		f.Add(false, uint16(1), unhex(seed))
		f.Add(true, uint16(400), unhex(seed))
	}
	f.Fuzz(func(t *testing.T, extended bool, size uint16, stream []byte) {
		synctest.Test(t, func(t *testing.T) {
			var options []nfc.Option
			if extended {
				options = append(options, nfc.ExtendedLength())
			}
			d, card := open(t, nil, options...)
			card.transmit = func(context.Context, []byte) ([]byte, error) {
				if len(stream) == 0 {
					return nil, errNoCard
				}
				n := min(1+int(stream[0]), len(stream))
				response := stream[1:n]
				stream = stream[n:]
				return response, nil
			}
			total := len(stream)
			answer, err := d.Exchange(t.Context(), make([]byte, max(size, 1)))
			if (len(answer) == 0) == (err == nil) {
				t.Errorf("answer %x, error %v", answer, err)
			}
			if len(answer) > total {
				t.Errorf("%d bytes of answer from %d bytes", len(answer), total)
			}
		})
	})
}

// FuzzMessage sends arbitrary U2F APDUs: what is taken arrives with its header
// and its data.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		"00030000", "0003000000", "00030000000000", "000103000201ff", "000103000201ff00", "0001030000000201ff", "0001030000000201ff0000",
	} {
		f.Add(unhex(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, card := open(t, script("9000"), nfc.ExtendedLength())
		answer, err := d.Message(t.Context(), raw)
		if err != nil {
			if len(card.got) != 0 {
				t.Errorf("%x was refused after it had been sent", raw)
			}
			return
		}
		if len(answer) != 2 || string(card.got[0][:4]) != string(raw[:4]) {
			t.Errorf("%x arrived as %x, answer %x", raw, card.got[0], answer)
		}
		// Once in the extended form, an APDU stays the same.
		again, sent := card.got[0], len(card.got)
		if _, err := d.Message(t.Context(), again); err != nil || string(card.got[sent]) != string(again) {
			t.Errorf("%x became %x, error %v", again, card.got[sent:], err)
		}
	})
}
