package main

import (
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSimulatorCard has the card in a reader of the test's own: the power of the
// control interface takes it out and puts it in.
func TestSimulatorCard(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	cards := make(chan net.Conn, 10)
	go func() {
		for {
			card, err := reader.Accept()
			if err != nil {
				return
			}
			card.SetDeadline(time.Now().Add(time.Minute))
			card.Write([]byte{0, 1, 4}) // the ATR is wanted
			cards <- card
		}
	}()
	doors := startSimulator(t, 2, "--vpcd="+reader.Addr().String(), "--contact",
		"--control", "127.0.0.1:0", "--control-token-file", token, "--control-bench")
	if doors["vpcd"] != reader.Addr().String() {
		t.Errorf("doors %v", doors)
	}

	const contact = "00143b8d8131fe15"
	for range 2 {
		card := <-cards
		answer := make([]byte, 2+20)
		if _, err := io.ReadFull(card, answer); err != nil || !strings.HasPrefix(hex.EncodeToString(answer), contact) {
			t.Errorf("ATR %x, %v", answer, err)
		}
		switchPower(t, doors["control"], "off")
		if _, err := io.ReadFull(card, answer[:1]); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("unplugged: %v", err)
		}
		card.Close()
		select {
		case <-cards:
			t.Error("unplugged, the card comes back")
		case <-time.After(100 * time.Millisecond):
		}
		switchPower(t, doors["control"], "on")
	}
	<-cards
}

// switchPower switches the power of the key.
func switchPower(t *testing.T, control, power string) {
	t.Helper()
	resp, err := http.Get("http://" + control + "/usb1/power/" + power)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}
