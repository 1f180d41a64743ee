package nfc

import (
	"context"

	"github.com/fidokey/fidokey/transport"
)

// What a test needs to be a smart-card service.
type (
	PCSCContext = pcscContext
	PCSCHandle  = pcscHandle
	PCSCError   = pcscError
	ReaderState = readerState
)

// A TestService is a smart-card service of a test's own.
type TestService struct{ s *service }

func NewTestService(establish func() (PCSCContext, error)) TestService {
	return TestService{newService(establish)}
}

func (t TestService) Readers(ctx context.Context) ([]ReaderInfo, error) { return t.s.readers(ctx) }

func (t TestService) Watch(ctx context.Context, f func([]ReaderInfo, error)) error {
	return t.s.watch(ctx, func(r []ReaderInfo, err error) bool { f(r, err); return false })
}

func (t TestService) WaitForCard(ctx context.Context, reader string) (ReaderInfo, error) {
	return t.s.waitForCard(ctx, reader)
}

func (t TestService) OpenReader(ctx context.Context, reader string) (Card, error) {
	return t.s.open(ctx, reader)
}

func (t TestService) Slot(reader string) *Slot { return &Slot{service: t.s, reader: reader} }

var (
	Explain                         = explain
	CardTransport                   = cardTransport
	Pretend                         = pretender
	_             transport.Carrier = (*readerCard)(nil)
	_             Transactor        = (*readerCard)(nil)
	_             latecomer         = (*readerCard)(nil)
)
