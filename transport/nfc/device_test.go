package nfc_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/nfc"
)

var _ transport.Device = (*nfc.Device)(nil)

type vectors struct {
	AID, Select                             ctaptest.Hex
	SelectResponseU2F                       ctaptest.Hex
	SelectResponseFIDO2Only                 ctaptest.Hex
	GetInfoShort, GetInfoShortNoGetResponse ctaptest.Hex
	GetInfoExtended, StatusUpdate           ctaptest.Hex
	NFCCTAPGetResponse                      ctaptest.Hex
	NFCCTAPGetResponseCancel                ctaptest.Hex
	ISOGetResponse, ControlEnd              ctaptest.Hex
	Chained301Bytes                         struct {
		Message ctaptest.Hex
		Chunk   int
		APDUs   []ctaptest.Hex
	}
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	var v vectors
	ctaptest.Vectors(t, "nfc", &v)
	return v
}

// A fakeCard answers each APDU with the next of its responses; the last one
// stays.
type fakeCard struct {
	responses [][]byte
	transmit  func(ctx context.Context, apdu []byte) ([]byte, error) // instead of responses
	onCancel  [][]byte                                               // the responses from a cancel on
	got       [][]byte
	closed    int
}

func (c *fakeCard) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	c.got = append(c.got, slices.Clone(apdu))
	if c.transmit != nil {
		return c.transmit(ctx, apdu)
	}
	if c.onCancel != nil && bytes.HasPrefix(apdu, []byte{0x80, 0x11, 0x11}) {
		c.responses = c.onCancel
	}
	response := c.responses[0]
	if len(c.responses) > 1 {
		c.responses = c.responses[1:]
	}
	return response, nil
}

func (c *fakeCard) Close() error { c.closed++; return nil }

// open selects the applet of a fake card, which then answers as given.
func open(t testing.TB, responses [][]byte, options ...nfc.Option) (*nfc.Device, *fakeCard) {
	t.Helper()
	card := &fakeCard{responses: [][]byte{unhex("5532465f56329000")}}
	d, err := nfc.Open(t.Context(), card, options...)
	if err != nil {
		t.Fatal(err)
	}
	card.got = nil
	card.responses = responses
	return d, card
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func script(responses ...string) [][]byte {
	var all [][]byte
	for _, s := range responses {
		all = append(all, unhex(s))
	}
	return all
}

// wantAPDUs fails unless the card got exactly these APDUs since the last call.
func wantAPDUs(t *testing.T, card *fakeCard, want ...[]byte) {
	t.Helper()
	if !slices.EqualFunc(card.got, want, bytes.Equal) {
		t.Errorf("the card got\n%x, want\n%x", card.got, want)
	}
	card.got = nil
}

func TestOpenKnownAnswers(t *testing.T) {
	v := readVectors(t)
	if !bytes.Contains(v.Select, v.AID) {
		t.Fatal("the vectors do not fit together")
	}
	for want, response := range map[string][]byte{"U2F_V2": v.SelectResponseU2F, "FIDO_2_0": v.SelectResponseFIDO2Only} {
		for _, options := range [][]nfc.Option{nil, {nfc.ExtendedLength()}} {
			card := &fakeCard{responses: [][]byte{response}}
			d, err := nfc.Open(t.Context(), card, options...)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Version(); got != want {
				t.Errorf("version %q, want %q", got, want)
			}
			wantAPDUs(t, card, v.Select)
		}
	}
}

func TestExchangeKnownAnswers(t *testing.T) {
	v := readVectors(t)
	answer := unhex("00a1039000")
	for name, test := range map[string]struct {
		options []nfc.Option
		message []byte
		want    []ctaptest.Hex
	}{
		"short":          {nil, []byte{4}, []ctaptest.Hex{v.GetInfoShort}},
		"extended":       {[]nfc.Option{nfc.ExtendedLength()}, []byte{4}, []ctaptest.Hex{v.GetInfoExtended}},
		"without status": {[]nfc.Option{nfc.WithoutStatusUpdates()}, []byte{4}, []ctaptest.Hex{v.GetInfoShortNoGetResponse}},
		"one block":      {nil, v.Chained301Bytes.Message[:v.Chained301Bytes.Chunk], nil},
		"chained":        {nil, v.Chained301Bytes.Message, v.Chained301Bytes.APDUs},
	} {
		d, card := open(t, [][]byte{answer})
		if len(test.options) > 0 {
			d, card = open(t, [][]byte{answer}, test.options...)
		}
		if len(test.want) > 1 {
			card.responses = [][]byte{unhex("9000"), answer}
		}
		got, err := d.Exchange(t.Context(), test.message)
		if err != nil || !bytes.Equal(got, answer[:3]) {
			t.Errorf("%s: answer %x, error %v", name, got, err)
		}
		if test.want == nil {
			if len(card.got) != 1 {
				t.Errorf("%s: %d APDUs, want 1", name, len(card.got))
			}
			continue
		}
		var want [][]byte
		for _, apdu := range test.want {
			want = append(want, apdu)
		}
		wantAPDUs(t, card, want...)
	}
}

func TestExtendedLengthIsNotChained(t *testing.T) {
	d, card := open(t, script("009000"), nfc.ExtendedLength())
	message := bytes.Repeat([]byte{1}, 7609)
	if _, err := d.Exchange(t.Context(), message); err != nil {
		t.Fatal(err)
	}
	wantAPDUs(t, card, slices.Concat(unhex("80108000 00 1db9"), message, unhex("0000")))
}

func TestStatusUpdates(t *testing.T) {
	v := readVectors(t)
	synctest.Test(t, func(t *testing.T) {
		d, card := open(t, [][]byte{unhex("019100"), v.StatusUpdate, v.StatusUpdate, unhex("00a09000")})
		var seen []transport.Status
		ctx := transport.WithStatus(t.Context(), func(s transport.Status) { seen = append(seen, s) })
		start := time.Now()
		answer, err := d.Exchange(ctx, []byte{4})
		if err != nil || !bytes.Equal(answer, []byte{0, 0xa0}) {
			t.Errorf("answer %x, error %v", answer, err)
		}
		if want := []transport.Status{1, 2, 2}; !slices.Equal(seen, want) {
			t.Errorf("reported %v, want %v", seen, want)
		}
		if took := time.Since(start); took != 300*time.Millisecond {
			t.Errorf("took %v, want 300 ms for three polls", took)
		}
		poll := v.NFCCTAPGetResponse
		wantAPDUs(t, card, v.GetInfoShort, poll, poll, poll)
	})
}

func TestLongResponses(t *testing.T) {
	v := readVectors(t)
	long := bytes.Repeat([]byte{7}, 256)
	for name, test := range map[string]struct {
		responses [][]byte
		want      []byte
		apdus     [][]byte
	}{
		"in parts": {
			[][]byte{slices.Concat([]byte{0}, long[1:], unhex("6100")), slices.Concat(long, unhex("6110")), slices.Concat(long[:16], unhex("9000"))},
			slices.Concat([]byte{0}, long[1:], long, long[:16]),
			[][]byte{v.GetInfoShort, unhex("00c0000000"), v.ISOGetResponse},
		},
		"nothing in the first part": {
			script("6103", "0001029000"), unhex("000102"), [][]byte{v.GetInfoShort, unhex("00c0000003")},
		},
		"other Le": {
			script("6c03", "0001029000"), unhex("000102"), [][]byte{v.GetInfoShort, unhex("80108000010403")},
		},
		"other Le in a part": {
			script("006103", "6c02", "01029000"), unhex("000102"),
			[][]byte{v.GetInfoShort, unhex("00c0000003"), unhex("00c0000002")},
		},
	} {
		d, card := open(t, test.responses)
		answer, err := d.Exchange(t.Context(), []byte{4})
		if err != nil || !bytes.Equal(answer, test.want) {
			t.Errorf("%s: answer %x, error %v", name, answer, err)
		}
		wantAPDUs(t, card, test.apdus...)
	}
	d, card := open(t, script("6c10", "00019000"), nfc.ExtendedLength())
	if _, err := d.Exchange(t.Context(), []byte{4}); err != nil {
		t.Error(err)
	}
	wantAPDUs(t, card, v.GetInfoExtended, unhex("8010800000000104 0010"))
}

func TestRefusals(t *testing.T) {
	long := bytes.Repeat([]byte{1}, 300)
	for name, test := range map[string]struct {
		responses [][]byte
		message   []byte
		is        error
		want      string
		apdus     int
	}{
		"status word":           {script("6a80"), long[:1], nfc.ErrWrongData, "wrong data (status word 6a80)", 1},
		"no CTAP2":              {script("6e00"), long[:1], nfc.ErrClass, "class not supported", 1},
		"pretender":             {script("6985", "5532465f56329000", "6985"), long[:1], nfc.ErrPretender, "only pretends", 3},
		"pretender, chained":    {script("6985", "5532465f56329000", "6985"), long, nfc.ErrConditionsNotSatisfied, "only pretends", 3},
		"nothing to select":     {script("6999", "6a82"), long[:1], nfc.ErrFileNotFound, "applet not selected (status word 6999), and then SELECT", 2},
		"unknown status word":   {script("6789"), long[:1], nfc.StatusWord(0x6789), "message: status word 6789", 1},
		"chain refused":         {script("6700"), long, nfc.ErrWrongLength, "chained command: wrong length", 1},
		"Le refused twice":      {script("6c10"), long[:1], nfc.StatusWord(0x6c10), "status word 6c10", 2},
		"no status word":        {script("00"), long[:1], nfc.ErrFraming, "1 bytes, without a status word", 1},
		"no data":               {script("9000"), long[:1], nfc.ErrFraming, "answer without a status", 1},
		"status update without": {script("9100"), long[:1], nfc.ErrFraming, "status update without a status", 1},
		"empty parts":           {script("6110"), long[:1], nfc.ErrFraming, "an empty part", 2},
		"endless parts": {[][]byte{append(bytes.Repeat([]byte{0}, 256), 0x61, 0)}, long[:1], nfc.ErrFraming,
			"more than 65536 bytes", 257},
	} {
		d, card := open(t, test.responses)
		answer, err := d.Exchange(t.Context(), test.message)
		if answer != nil || !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: answer %x, error %v, want %v with %q", name, answer, err, test.is, test.want)
		}
		if len(card.got) != test.apdus {
			t.Errorf("%s: %d APDUs, want %d", name, len(card.got), test.apdus)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	gone := errors.New("no card")
	for name, test := range map[string]struct {
		ctx  context.Context
		card *fakeCard
		is   error
		want string
	}{
		"no applet": {t.Context(), &fakeCard{responses: script("6a82")}, nfc.ErrFileNotFound, "select FIDO applet: file or applet not found"},
		"no card": {t.Context(), &fakeCard{transmit: func(context.Context, []byte) ([]byte, error) { return nil, gone }},
			gone, "select FIDO applet: no card"},
		"ended context": {ended, &fakeCard{}, context.Canceled, "not sent: context canceled"},
	} {
		_, err := nfc.Open(test.ctx, test.card)
		if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %v with %q", name, err, test.is, test.want)
		}
		if test.card.closed != 1 {
			t.Errorf("%s: card closed %d times, want once", name, test.card.closed)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		card := &fakeCard{transmit: silence}
		if _, err := nfc.Open(t.Context(), card); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("silent card: error %v", err)
		}
	})
}

// silence is a card that does not answer until the context ends.
func silence(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestInvalidInputCausesNoIO(t *testing.T) {
	ended, end := context.WithCancelCause(t.Context())
	cause := errors.New("window closed")
	end(cause)
	d, card := open(t, script("009000"))
	for name, call := range map[string]func() error{
		"empty message": func() error { _, err := d.Exchange(t.Context(), nil); return err },
		"long message":  func() error { _, err := d.Exchange(t.Context(), make([]byte, 0x10000)); return err },
		"ended context": func() error {
			_, err := d.Exchange(ended, []byte{4})
			if !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
				t.Errorf("ended context: error %v, want %v and %v", err, cause, context.Canceled)
			}
			return err
		},
		"ended context of a U2F message": func() error { _, err := d.Message(ended, unhex("00030000")); return err },
		"short APDU":                     func() error { _, err := d.Message(t.Context(), unhex("000300")); return err },
	} {
		if call() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	wantAPDUs(t, card)
}

func TestCancel(t *testing.T) {
	v := readVectors(t)
	for name, test := range map[string]struct {
		afterCancel [][]byte
		want        []byte // nil: the context's error
		took        time.Duration
	}{
		"cancelled":               {script("2d9000"), nil, 0},
		"cancelled a bit later":   {script("019100", "019100", "2d9000"), nil, 200 * time.Millisecond},
		"done in spite":           {script("00a101029000"), unhex("00a10102"), 0},
		"done a bit later":        {script("019100", "00a101029000"), unhex("00a10102"), 100 * time.Millisecond},
		"failed in spite":         {script("279000"), nil, 0},
		"nothing to cancel":       {script("6985"), nil, 0},
		"no data":                 {script("9000"), nil, 0},
		"status updates for ever": {script("029100"), nil, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, card := open(t, [][]byte{v.StatusUpdate})
				reports := 0
				ctx := transport.WithStatus(t.Context(), func(transport.Status) { reports++ })
				cause := errors.New("user went away")
				ctx, end := context.WithCancelCause(ctx)
				card.onCancel = test.afterCancel
				time.AfterFunc(150*time.Millisecond, func() { end(cause) })
				start := time.Now()
				answer, err := d.Exchange(ctx, []byte{4})
				switch {
				case test.want != nil:
					if err != nil || !bytes.Equal(answer, test.want) {
						t.Errorf("answer %x, error %v", answer, err)
					}
				case answer != nil, !errors.Is(err, cause), !errors.Is(err, context.Canceled):
					t.Errorf("answer %x, error %v, want %v", answer, err, cause)
				case !strings.Contains(err.Error(), "waiting for a touch: user went away"):
					t.Errorf("error %q does not say what was going on", err)
				}
				if took := time.Since(start); took != 150*time.Millisecond+test.took {
					t.Errorf("took %v, want %v after the cancel", took, test.took)
				}
				if reports != 2 {
					t.Errorf("%d statuses reported, want the 2 before the cancel", reports)
				}
				if !bytes.Equal(card.got[2], v.NFCCTAPGetResponseCancel) {
					t.Errorf("%x sent when ctx ended, want %x", card.got[2], v.NFCCTAPGetResponseCancel)
				}
			})
		})
	}
}

func TestTimeouts(t *testing.T) {
	for name, test := range map[string]struct {
		transmit func(context.Context, []byte) ([]byte, error)
		want     string
	}{
		"silence":    {silence, "no answer"},
		"processing": {func(context.Context, []byte) ([]byte, error) { return unhex("019100"), nil }, "still processing"},
		"touch":      {func(context.Context, []byte) ([]byte, error) { return unhex("029100"), nil }, "waiting for a touch"},
		"slow parts": {func(context.Context, []byte) ([]byte, error) {
			time.Sleep(100 * time.Millisecond)
			return unhex("0061ff"), nil
		}, "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, card := open(t, nil)
				card.transmit = test.transmit
				start := time.Now()
				_, err := d.Exchange(t.Context(), []byte{4})
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), test.want+": ") {
					t.Errorf("error %v, want %v with %q", err, context.DeadlineExceeded, test.want)
				}
				if took := time.Since(start); took < nfc.DefaultTimeout || took > nfc.DefaultTimeout+5*time.Second {
					t.Errorf("took %v, want %v and some two seconds to cancel, and two for what has begun", took, nfc.DefaultTimeout)
				}
				if _, err := d.Message(t.Context(), unhex("00030000")); name == "silence" && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("U2F: error %v, want %v", err, context.DeadlineExceeded)
				}
			})
		})
	}
}

func TestCardErrorStaysInTheErrorOfAnEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, card := open(t, nil)
		gone := errors.New("card removed")
		card.transmit = func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, gone
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_, err := d.Exchange(ctx, bytes.Repeat([]byte{1}, 500)) // in blocks
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, gone) {
			t.Errorf("error %v, want %v and %v", err, context.DeadlineExceeded, gone)
		}
	})
}

func TestStatusWordNames(t *testing.T) {
	for sw, want := range map[nfc.StatusWord]string{
		nfc.ErrWrongData: "wrong data", 0x9000: "no error", 0x61ab: "status word 61ab",
	} {
		if got := sw.String(); got != want {
			t.Errorf("%04x is %q, want %q", uint16(sw), got, want)
		}
	}
}

func TestNoCancelWithoutStatusUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, card := open(t, nil, nfc.WithoutStatusUpdates())
		card.transmit = silence
		if _, err := d.Exchange(t.Context(), []byte{4}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		wantAPDUs(t, card, unhex("80100000010400"))
	})
}

func TestCallsWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, card := open(t, nil)
		card.transmit = func(context.Context, []byte) ([]byte, error) {
			time.Sleep(10 * time.Second)
			return unhex("009000"), nil
		}
		first := make(chan error)
		go func() {
			_, err := d.Exchange(t.Context(), []byte{4})
			first <- err
		}()
		synctest.Wait()
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := d.Exchange(ctx, []byte{5}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
		wantAPDUs(t, card, unhex("80108000010400"))
	})
}

func TestClose(t *testing.T) {
	v := readVectors(t)
	for name, response := range map[string]string{"done": "9000", "unknown": "6d00"} {
		d, card := open(t, script(response))
		for range 2 {
			if err := d.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		wantAPDUs(t, card, v.ControlEnd)
		if card.closed != 1 {
			t.Errorf("%s: card closed %d times, want once", name, card.closed)
		}
		if _, err := d.Exchange(t.Context(), []byte{4}); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("%s: error %v, want %v", name, err, transport.ErrClosed)
		}
		wantAPDUs(t, card)
	}
}

func TestMessage(t *testing.T) {
	data := strings.Repeat("07", 64)
	handle := strings.Repeat("08", 300)
	for name, test := range map[string]struct {
		raw       string
		responses [][]byte
		want      string
		short     [][]byte
		extended  string
	}{
		"version":          {"00030000000000", script("5532465f56329000"), "5532465f56329000", script("0003000000"), "00030000000000"},
		"version, short":   {"0003000000", script("5532465f56329000"), "5532465f56329000", script("0003000000"), "00030000000000"},
		"version, Lc of 0": {"000300000000000000", script("5532465f56329000"), "5532465f56329000", script("0003000000"), "00030000000000"},
		"no Le":            {"00030000", script("9000"), "9000", script("00030000"), "00030000"},
		"register":         {"00010300000040" + data + "0000", script("6985"), "6985", script("0001030040" + data + "00"), "00010300000040" + data + "0000"},
		"register, short":  {"0001030040" + data + "00", script("059000"), "059000", script("0001030040" + data + "00"), "00010300000040" + data + "0000"},
		"data, no Le":      {"0001030040" + data, script("059000"), "059000", script("0001030040" + data), "00010300000040" + data},
		"long, no Le":      {"00010300000040" + data, script("059000"), "059000", script("0001030040" + data), "00010300000040" + data},
		"in parts":         {"00030000000000", script("556101", "329000"), "55329000", script("0003000000", "00c0000001"), ""},
		"chained": {"0002030000012c" + handle + "0000", script("9000", "019000"), "019000",
			script("10020300f0"+handle[:480], "000203003c"+handle[480:]+"00"), ""},
	} {
		d, card := open(t, test.responses)
		answer, err := d.Message(t.Context(), unhex(test.raw))
		if err != nil || !bytes.Equal(answer, unhex(test.want)) {
			t.Errorf("%s: answer %x, error %v", name, answer, err)
		}
		wantAPDUs(t, card, test.short...)
		if test.extended == "" {
			continue
		}
		d, card = open(t, test.responses, nfc.ExtendedLength())
		if _, err := d.Message(t.Context(), unhex(test.raw)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantAPDUs(t, card, unhex(test.extended))
	}
}

func TestMalformedAPDUs(t *testing.T) {
	d, card := open(t, script("9000"))
	for _, raw := range []string{
		"", "000300", // no header
		"0001030002ff",           // short data is missing
		"000103000100ffff",       // behind Le
		"00010300 00 00",         // half an extended Le
		"00010300 00 0002 ff",    // extended data is missing
		"00010300 00 0001 ff 00", // half an Le again
	} {
		if _, err := d.Message(t.Context(), unhex(raw)); err == nil {
			t.Errorf("%s: no error", raw)
		}
	}
	wantAPDUs(t, card)
}
