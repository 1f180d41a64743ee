package simulator

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
)

// Classes and instructions of the FIDO applet (CTAP 2.1, section 11.3; ISO
// 7816-4).
const (
	claISO   = 0x00 // SELECT, GET RESPONSE and U2F
	claCTAP  = 0x80
	claChain = 0x10 // more blocks of the same command follow

	insSelect          = 0xa4
	insGetResponse     = 0xc0
	insCTAPMessage     = 0x10 // NFCCTAP_MSG
	insCTAPGetResponse = 0x11 // NFCCTAP_GETRESPONSE
	insCTAPControl     = 0x12 // NFCCTAP_CONTROL

	p1SelectByName  = 0x04
	p1StatusUpdates = 0x80 // of NFCCTAP_MSG: the platform polls
	p1CTAPCancel    = 0x11 // of NFCCTAP_GETRESPONSE
	p1CTAPEnd       = 0x01 // of NFCCTAP_CONTROL
)

// A test tool that cannot take a card away sends this APDU instead, the twin of
// [powerCycleDatagram]; it belongs to no applet.
const insPowerCycle = 0xee

var powerCycleData = []byte{0x12, 0x56, 0xab, 0xf0}

// appletID is the application identifier of FIDO.
var appletID = []byte{0xa0, 0x00, 0x00, 0x06, 0x47, 0x2f, 0x00, 0x01}

// cardPatience is how long a command may take before the platform gets a status
// update, in real time.
const cardPatience = 100 * time.Millisecond

// maxChain is the length in bytes of the longest command in a chain.
const maxChain = 1 << 16

// A Card is an authenticator's side of the smart card binding, contactless or
// not: command APDUs go in at [Card.Transmit]. What carries them is a door.
//
// That the key lies in the field counts as a touch, once and for two minutes.
// After that Config.Presence is asked as over USB, unless the profile is that of a
// key without a button. To be put into a contact reader is no touch.
//
// The key has its power from the reader, unless it hangs on USB or lies on another
// reader as well: then the end of the field ends what this card was doing, and
// neither tokens nor what goes on over the other doors.
type Card struct {
	key     *Authenticator
	contact bool
	tap     *tap

	mu    sync.Mutex
	field context.Context // ends when the field goes
	leave context.CancelCauseFunc

	life atomic.Uint64 // of the key, in which the session began

	turn       sync.Mutex // held by whoever works; guards what follows
	leaveField func()     // tells the key
	cardSession
}

// A CardOption says what kind of card it is.
type CardOption func(*Card)

// ContactCard makes it a card with contacts, in place of one for NFC.
func ContactCard() CardOption { return func(c *Card) { c.contact = true } }

// cardSession is what a card forgets without a field.
type cardSession struct {
	selected bool
	chain    *commandAPDU // the blocks that have come, joined
	rest     []byte       // of an answer, for GET RESPONSE
	request  *cardRequest // which the platform polls for
}

// A cardRequest is a CTAP2 message that the authenticator works on.
type cardRequest struct {
	cancel context.CancelFunc
	status atomic.Uint32 // a transport.Status
	answer chan []byte   // has room for it
}

// NewCard returns a card that was laid on a reader just now. Close ends it, not a.
func NewCard(a *Authenticator, options ...CardOption) *Card {
	c := newCard(a, options)
	c.PowerOn()
	return c
}

// newCard returns a card without a field.
func newCard(a *Authenticator, options []CardOption) *Card {
	c := &Card{key: a, tap: &tap{}, leaveField: func() {}}
	for _, option := range options {
		option(c)
	}
	c.field, c.leave = context.WithCancelCause(context.Background())
	c.leave(transport.ErrClosed)
	c.begin()
	return c
}

// PowerOn lays the card on the reader, or again: an authenticator that has its
// power from nowhere else starts anew; see [Authenticator.PowerCycle].
func (c *Card) PowerOn() {
	c.PowerOff()
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	c.field, c.leave = context.WithCancelCause(context.Background())
	c.mu.Unlock()
	c.leaveField = c.key.enterField()
	c.begin()
}

// begin forgets what was before. The turn is the caller's.
func (c *Card) begin() {
	c.drop()
	c.cardSession = cardSession{}
	c.life.Store(c.key.life())
	c.tap.renew(c.key.config.Clock.Now(), !c.contact)
}

// sameLife reports whether the key has not lost its power otherwise than by the
// field.
func (c *Card) sameLife() bool {
	return c.key.life() == c.life.Load()
}

// PowerOff takes the card away. What runs ends without an answer.
func (c *Card) PowerOff() {
	c.mu.Lock()
	c.leave(transport.ErrClosed)
	c.mu.Unlock()
	c.turn.Lock()
	defer c.turn.Unlock()
	c.leaveField()
	c.leaveField = func() {}
	c.begin()
}

// Close takes the card away.
func (c *Card) Close() error {
	c.PowerOff()
	return nil
}

// Transmit takes one command APDU and returns the response with its status word.
// Without a field the error wraps [transport.ErrClosed]. When ctx ends it is
// returned as soon as possible; a request that the platform can poll for goes
// on.
func (c *Card) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	field := c.field
	c.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(field, func() { cancel(context.Cause(field)) })
	defer stop()
	if field.Err() != nil {
		return nil, fmt.Errorf("simulator: card: %w", context.Cause(field))
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("simulator: card: %w", context.Cause(ctx))
	}
	if on, _ := c.key.Powered(); !on {
		return nil, fmt.Errorf("simulator: card: %w", errPowerOff)
	}
	if !c.sameLife() {
		c.begin()
	}
	cmd, sw := decodeAPDU(apdu)
	if sw != swOK {
		return sw.append(nil), nil
	}
	answer, sw, err := c.execute(ctx, cmd)
	switch { // an answer of the last moment is lost
	case field.Err() != nil:
		err = context.Cause(field)
	case !c.sameLife():
		err = fmt.Errorf("%w: %w", transport.ErrClosed, errPowerCycled)
	}
	if err != nil {
		return nil, fmt.Errorf("simulator: card: %w", err)
	}
	return c.respond(cmd, answer, sw), nil
}

// execute serves one command, or one block of a chain.
func (c *Card) execute(ctx context.Context, cmd commandAPDU) (answer []byte, sw statusWord, err error) {
	if cmd.cla == claISO && cmd.ins == insPowerCycle && bytes.Equal(cmd.data, powerCycleData) {
		c.key.PowerCycle()
		c.begin()
		return nil, swOK, nil
	}
	class := cmd.cla &^ claChain
	rest := c.rest
	c.rest = nil
	if cmd.ins == insGetResponse && (cmd.cla == claISO || cmd.cla == claCTAP) {
		c.chain = nil
		if len(rest) == 0 {
			return nil, swConditions, nil
		}
		return rest, swOK, nil
	}
	if class != claCTAP || cmd.ins != insCTAPGetResponse {
		c.drop()
	}
	if class == claISO && cmd.ins == insSelect {
		c.chain = nil
		return c.selectApplet(ctx, cmd)
	}
	switch {
	case !c.selected, c.key.Profile().Quirks.CardUnusable:
		return nil, swConditions, nil
	case class != claISO && class != claCTAP:
		return nil, swWrongClass, nil
	}
	whole, sw := c.join(cmd)
	if whole == nil {
		return nil, sw, nil
	}
	if class == claCTAP {
		return c.ctap(ctx, *whole)
	}
	return c.u2f(ctx, *whole)
}

// respond returns as much of an answer as the command wants, and keeps the rest
// for GET RESPONSE.
func (c *Card) respond(cmd commandAPDU, answer []byte, sw statusWord) []byte {
	if len(answer) <= cmd.le {
		return sw.append(bytes.Clone(answer))
	}
	c.rest = answer[cmd.le:]
	sw = swMore
	if len(c.rest) < 0x100 {
		sw |= statusWord(len(c.rest))
	}
	return sw.append(bytes.Clone(answer[:cmd.le]))
}

// join collects the blocks of a chain (ISO 7816-4, section 5.3.3). It returns nil
// as long as the command is not complete.
func (c *Card) join(cmd commandAPDU) (*commandAPDU, statusWord) {
	last := cmd.cla&claChain == 0
	cmd.cla &^= claChain
	chain := c.chain
	c.chain = nil
	if chain != nil {
		if chain.cla != cmd.cla || chain.ins != cmd.ins {
			return nil, swChainBroken
		}
		cmd.data = slices.Concat(chain.data, cmd.data)
	}
	if len(cmd.data) > maxChain {
		return nil, swWrongLength
	}
	if last {
		return &cmd, swOK
	}
	cmd.data = bytes.Clone(cmd.data)
	c.chain = &cmd
	return nil, swOK
}

// origin is where the requests of this card come from.
func (c *Card) origin() origin {
	if c.contact {
		return origin{door: c, transport: transportSmartCard, tap: c.tap}
	}
	return origin{door: c, transport: transportNFC, tap: c.tap}
}

// selectApplet begins a session.
func (c *Card) selectApplet(ctx context.Context, cmd commandAPDU) ([]byte, statusWord, error) {
	switch {
	case cmd.cla != claISO || cmd.p1 != p1SelectByName:
		return nil, swWrongParameters, nil
	case !bytes.Equal(cmd.data, appletID):
		return nil, swNotFound, nil
	}
	if err := c.forgetSeries(ctx); err != nil {
		return nil, 0, err
	}
	c.selected = true
	if p := c.key.Profile(); p.hasU2F() || p.Quirks.SelectSaysU2F {
		return []byte(ctap2.VersionU2F), swOK, nil
	}
	return []byte(ctap2.VersionFIDO20), swOK, nil
}

// forgetSeries ends what the platform before had begun.
func (c *Card) forgetSeries(ctx context.Context) error {
	_, err := c.key.inTurn(ctx, func(ctx context.Context) []byte {
		c.key.newCall(ctx, c.origin())
		c.key.session.series = nil
		return nil
	})
	return err
}

// ctap serves a command of the class of CTAP2 (CTAP 2.1, section 11.3.7).
func (c *Card) ctap(ctx context.Context, cmd commandAPDU) ([]byte, statusWord, error) {
	switch cmd.ins {
	case insCTAPMessage:
		return c.message(ctx, cmd)
	case insCTAPGetResponse:
		return c.poll(ctx, cmd)
	case insCTAPControl:
		if cmd.p1 != p1CTAPEnd || cmd.p2 != 0 {
			return nil, swWrongParameters, nil
		}
		c.selected = false
		return nil, swOK, c.forgetSeries(ctx)
	case u2fRegister, u2fAuthenticate, u2fVersion:
		return nil, swWrongClass, nil
	}
	return nil, swUnknownINS, nil
}

// u2f serves a command of the class of U2F.
func (c *Card) u2f(ctx context.Context, cmd commandAPDU) (answer []byte, sw statusWord, err error) {
	switch cmd.ins {
	case insCTAPMessage, insCTAPGetResponse, insCTAPControl:
		return nil, swWrongClass, nil
	}
	_, err = c.key.inTurn(ctx, func(ctx context.Context) []byte {
		answer, sw = c.key.steeredU2F(c.key.newCall(ctx, c.origin()), cmd)
		return nil
	})
	return answer, sw, err
}

// message hands a CTAP2 message to the authenticator.
func (c *Card) message(ctx context.Context, cmd commandAPDU) ([]byte, statusWord, error) {
	switch {
	case cmd.p1&^p1StatusUpdates != 0 || cmd.p2 != 0:
		return nil, swWrongParameters, nil
	case len(cmd.data) == 0:
		return nil, swWrongLength, nil
	}
	c.mu.Lock()
	working, cancel := context.WithCancel(c.field)
	c.mu.Unlock()
	r := &cardRequest{cancel: cancel, answer: make(chan []byte, 1)}
	r.status.Store(uint32(transport.StatusProcessing))
	working = transport.WithStatus(working, func(s transport.Status) { r.status.Store(uint32(s)) })
	msg, from := bytes.Clone(cmd.data), c.origin()
	go func() {
		defer cancel()
		r.answer <- c.key.exchange(working, from, msg)
	}()
	c.request = r
	if cmd.p1 == p1StatusUpdates {
		return c.await(ctx, cardPatience)
	}
	answer, sw, err := c.await(ctx, 0)
	if err != nil {
		c.drop() // nobody can ask for it
	}
	return answer, sw, err
}

// poll is NFCCTAP_GETRESPONSE: it asks for the answer of a message, or cancels it.
func (c *Card) poll(ctx context.Context, cmd commandAPDU) ([]byte, statusWord, error) {
	switch {
	case cmd.p1 != 0 && cmd.p1 != p1CTAPCancel || cmd.p2 != 0:
		return nil, swWrongParameters, nil
	case c.request == nil:
		return nil, swConditions, nil
	case cmd.p1 == p1CTAPCancel:
		c.request.cancel()
		return c.await(ctx, 0)
	}
	return c.await(ctx, cardPatience)
}

// await returns the answer, or a status update when patience ends; 0 is endless.
func (c *Card) await(ctx context.Context, patience time.Duration) ([]byte, statusWord, error) {
	var tired <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		tired = timer.C
	}
	select {
	case answer := <-c.request.answer:
		c.request = nil
		return answer, swOK, nil
	case <-tired:
		return []byte{byte(c.request.status.Load())}, swStatusUpdate, nil
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
	}
}

// drop ends the request that the platform no longer polls for.
func (c *Card) drop() {
	if c.request != nil {
		c.request.cancel()
		<-c.request.answer
		c.request = nil
	}
}
