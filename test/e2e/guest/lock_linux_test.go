package guest

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

func openKey(ctx context.Context, t *testing.T, k *key) (*hid.Device, error) {
	t.Helper()
	port, err := hid.OpenPath(hid.Hidraw, k.node)
	if err != nil {
		t.Fatal(err)
	}
	return hid.Open(ctx, port)
}

// TestTurnsWithLibfido2: libfido2's tool waits as long as we have the key open,
// and then does its work.
func TestTurnsWithLibfido2(t *testing.T) {
	k := plug(t, "auto")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dev, err := openKey(ctx, t, k)
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		out string
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := try(t, "", "fido2-token", "-I", k.node)
		done <- result{out, err}
	}()
	for begin := time.Now(); time.Since(begin) < 2*time.Second; {
		if _, err := dev.Exchange(ctx, []byte{4}); err != nil {
			t.Fatalf("while the tool waits: %v", err)
		}
		select {
		case r := <-done:
			t.Fatalf("the tool did not wait: %v\n%s", r.err, r.out)
		default:
		}
	}
	if err := dev.Close(); err != nil {
		t.Error(err)
	}
	if r := <-done; r.err != nil {
		t.Error(r.err)
	} else {
		wantLines(t, r.out, "FIDO_2_0")
	}
}

// TestLockedByAnotherProgram: we wait for one that locks the node as libfido2
// does, and say so when it takes too long.
func TestLockedByAnotherProgram(t *testing.T) {
	k := plug(t, "auto")
	other, err := os.OpenFile(k.node, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := openKey(short, t, k); !errors.Is(err, transport.ErrBusy) {
		t.Errorf("error %v, want %v", err, transport.ErrBusy)
	}
	time.AfterFunc(500*time.Millisecond, func() { other.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dev, err := openKey(ctx, t, k)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if _, err := dev.Exchange(ctx, []byte{4}); err != nil {
		t.Error(err)
	}
}
