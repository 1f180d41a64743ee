package winwebauthn

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	dll = windows.NewLazySystemDLL("webauthn.dll")

	getAPIVersionNumber       = dll.NewProc("WebAuthNGetApiVersionNumber")
	makeCredential            = dll.NewProc("WebAuthNAuthenticatorMakeCredential")
	getAssertion              = dll.NewProc("WebAuthNAuthenticatorGetAssertion")
	freeCredentialAttestation = dll.NewProc("WebAuthNFreeCredentialAttestation")
	freeAssertion             = dll.NewProc("WebAuthNFreeAssertion")
	getCancellationID         = dll.NewProc("WebAuthNGetCancellationId")
	cancelCurrentOperation    = dll.NewProc("WebAuthNCancelCurrentOperation")
	getErrorName              = dll.NewProc("WebAuthNGetErrorName")
)

var errNothing = errors.New("an answer is missing, though Windows reports success")

// A System is Windows with a webauthn.dll.
type System struct{ api uint32 }

// Open returns an error on Windows without webauthn.dll.
func Open() (*System, error) {
	for _, f := range []*windows.LazyProc{
		getAPIVersionNumber, makeCredential, getAssertion, freeCredentialAttestation, freeAssertion,
		getCancellationID, cancelCurrentOperation, getErrorName,
	} {
		if err := f.Find(); err != nil {
			return nil, fmt.Errorf("this Windows has no WebAuthn, which came with Windows 10 version 1903: %w", err)
		}
	}
	api, _, _ := getAPIVersionNumber.Call()
	return &System{uint32(api)}, nil
}

// MakeCredential makes a credential. The end of ctx takes Windows' window away.
func (s *System) MakeCredential(ctx context.Context, r *Registration) (*Attestation, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cancellation, stop := cancelWith(ctx)
	defer stop()
	var made *credentialAttestation
	result, _, _ := makeCredential.Call(
		uintptr(window()),
		uintptr(unsafe.Pointer(r.rp())),
		uintptr(unsafe.Pointer(r.user())),
		uintptr(unsafe.Pointer(r.parameters())),
		uintptr(unsafe.Pointer(newClientData(r.ClientDataJSON))),
		uintptr(unsafe.Pointer(r.options(s.api, cancellation))),
		uintptr(unsafe.Pointer(&made)),
	)
	if err := failure(ctx, uint32(result)); err != nil {
		return nil, err
	}
	if made == nil {
		return nil, errNothing
	}
	defer freeCredentialAttestation.Call(uintptr(unsafe.Pointer(made)))
	return made.result(), nil
}

// GetAssertion signs in. The end of ctx takes Windows' window away.
func (s *System) GetAssertion(ctx context.Context, a *Assertion) (*Signed, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cancellation, stop := cancelWith(ctx)
	defer stop()
	var signed *assertion
	result, _, _ := getAssertion.Call(
		uintptr(window()),
		uintptr(unsafe.Pointer(wide(a.RPID))),
		uintptr(unsafe.Pointer(newClientData(a.ClientDataJSON))),
		uintptr(unsafe.Pointer(a.options(cancellation))),
		uintptr(unsafe.Pointer(&signed)),
	)
	if err := failure(ctx, uint32(result)); err != nil {
		return nil, err
	}
	if signed == nil {
		return nil, errNothing
	}
	defer freeAssertion.Call(uintptr(unsafe.Pointer(signed)))
	return signed.result(), nil
}

// window is what Windows' own window goes in front of. That of the console does
// not do: a modern terminal is another.
func window() windows.HWND {
	if w := windows.GetForegroundWindow(); w != 0 {
		return w
	}
	return windows.GetDesktopWindow()
}

// cancelWith returns the ID of a call that ends with ctx; nil if Windows gives none.
func cancelWith(ctx context.Context) (id *guid, stop func() bool) {
	id = new(guid)
	if result, _, _ := getCancellationID.Call(uintptr(unsafe.Pointer(id))); int32(result) < 0 {
		return nil, func() bool { return false }
	}
	return id, context.AfterFunc(ctx, func() { cancelCurrentOperation.Call(uintptr(unsafe.Pointer(id))) })
}

// failure returns the error of a call, or nil.
func failure(ctx context.Context, result uint32) error {
	if int32(result) >= 0 {
		return nil
	}
	name, _, _ := getErrorName.Call(uintptr(result))
	err := &Error{HRESULT: result, Name: Name(windows.UTF16PtrToString(*(**uint16)(unsafe.Pointer(&name))))}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}
