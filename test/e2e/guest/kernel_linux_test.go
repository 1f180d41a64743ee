package guest

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport/hid"
)

// TestHidraw drives the key through the kernel with our own transport: found by
// its usage page, and not one report lost.
func TestHidraw(t *testing.T) {
	k := plug(t, "auto")
	infos, err := hid.Devices(hid.Hidraw)
	if err != nil || len(infos) != 1 {
		t.Fatalf("devices: %v, %v", infos, err)
	}
	if i := infos[0]; i.Path != k.node || i.VendorID != 0x1209 || i.ProductID != 0xf1d0 {
		t.Errorf("device: %+v", i)
	}
	port, err := hid.OpenPath(hid.Hidraw, infos[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dev, err := hid.Open(ctx, port)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()

	info, err := ctap2.Do(ctx, dev, ctap2.GetInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Versions) == 0 {
		t.Errorf("getInfo: %+v", info)
	}
	if err := dev.Wink(ctx); err != nil {
		t.Error(err)
	}
	payload := make([]byte, 1024)
	begin := time.Now()
	for i := range 10 {
		rand.Read(payload)
		answer, err := dev.Ping(ctx, payload)
		if err != nil {
			t.Fatalf("PING %d: %v", i, err)
		}
		if !bytes.Equal(answer, payload) {
			t.Fatalf("PING %d came back changed", i)
		}
	}
	t.Logf("10 PINGs of %d bytes: %v", len(payload), time.Since(begin))
}
