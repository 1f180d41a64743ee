package guest

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/fidokey/fidokey/transport/hid"
)

// usbDoors are those behind which the key is a USB device.
var usbDoors = []door{vhci, usbip}

// atUSBDoors runs a test with a key at each of them, and tells how long it took.
func atUSBDoors(t *testing.T, touch string, test func(t *testing.T, k *key)) {
	for _, d := range usbDoors {
		t.Run(string(d), func(t *testing.T) {
			begin := time.Now()
			k := plugAt(t, d, touch, t.TempDir()+"/state")
			plugged := time.Since(begin)
			test(t, k)
			t.Logf("%s at %s: plugged in within %v, all in %v", d, k.node, plugged, time.Since(begin))
		})
	}
}

// TestUSBLongMessages: messages of the greatest length go there and back, none of
// 129 reports each way lost.
func TestUSBLongMessages(t *testing.T) {
	atUSBDoors(t, "auto", func(t *testing.T, k *key) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		dev, err := openKey(ctx, t, k)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		const times, size = 5, 7609
		begin := time.Now()
		echo(ctx, t, dev, times, size)
		t.Logf("%d PINGs of %d bytes through hidraw: %v each", times, size, time.Since(begin)/times)
	})
}

// echo sends PINGs and compares the answers.
func echo(ctx context.Context, t *testing.T, dev *hid.Device, times, size int) {
	t.Helper()
	payload := make([]byte, size)
	for i := range times {
		rand.Read(payload)
		answer, err := dev.Ping(ctx, payload)
		if err != nil {
			t.Fatalf("PING %d: %v", i, err)
		}
		if !bytes.Equal(answer, payload) {
			t.Fatalf("PING %d came back changed", i)
		}
	}
}
