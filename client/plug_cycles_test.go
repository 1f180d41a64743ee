package client_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

// TestPlugCycles has a key plugged in, used and unplugged again and again, over a
// socket and as a card: no goroutine and no descriptor is left.
func TestPlugCycles(t *testing.T) {
	a, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	dir, err := os.MkdirTemp("", "fidokey") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	ctx, cancel := context.WithCancel(t.Context())
	open, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		// Not TCP, whose port another program may take while the key is unplugged.
		ended <- simulator.ServeUnix(ctx, a, simulator.DoorConfig{Address: path, Ready: func(a net.Addr) { open <- a.String() }})
	}()
	use := func(k *client.Key) {
		t.Helper()
		if _, err := k.Info(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.PowerOff()
		if _, err := k.U2FVersion(t.Context()); err == nil {
			t.Fatal("a key that is unplugged answers")
		}
		k.Close()
		a.PowerOn()
	}
	cycle := func() {
		t.Helper()
		port, err := hid.DialUnix(<-open)
		if err != nil {
			t.Fatal(err)
		}
		dev, err := hid.Open(t.Context(), port)
		if err != nil {
			t.Fatal(err)
		}
		use(client.New(dev, client.Options{}))

		card, err := nfc.Open(t.Context(), simulator.NewCard(a))
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-open: // again, since the power was cut
			use(client.New(card, client.Options{}))
		case err := <-ended:
			t.Fatal("the door does not open again: ", err)
		}
	}
	for range 10 {
		cycle()
	}
	goroutines, files := settled(t)
	cycles := 2000 / ctaptest.Sample(t, 10) // twelve hours of a person who does so every twenty seconds
	for range cycles {
		cycle()
	}
	moreGoroutines, moreFiles := settled(t)
	if moreGoroutines > goroutines+2 || moreFiles > files+2 {
		t.Errorf("%d goroutines and %d open files, %d and %d after %d cycles", goroutines, files, moreGoroutines, moreFiles, cycles)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// settled counts goroutines and open files, once those that end have ended.
func settled(t *testing.T) (goroutines, files int) {
	t.Helper()
	time.Sleep(100 * time.Millisecond)
	if runtime.GOOS == "linux" {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		files = len(open)
	}
	return runtime.NumGoroutine(), files
}
