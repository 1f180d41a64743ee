package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/simulator"
)

// newPlace is where a simulator with a profile is, which is touched as said.
func newPlace(t *testing.T, e *env, path, profile, touched string) place {
	t.Helper()
	touch, err := simulator.ParseTouch(touched)
	if err != nil {
		t.Fatal(err)
	}
	p, err := simulator.LoadProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	clock := simulator.NewVirtualClock()
	key, err := simulator.New(simulator.Config{Profile: p, Clock: clock, Presence: simulator.NewTouchPlan(clock, touch).Presence})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { key.Close() })
	device := deviceInfo{Path: path}
	return place{device, func(ctx context.Context, prompt client.Prompt) (*openedKey, error) {
		door := simulator.NewHID(key)
		opened, err := e.openPort(ctx, door.Port(), device, prompt)
		if err == nil {
			opened.afterClose = []func() error{door.Close}
		}
		return opened, err
	}}
}

func newEnv() *env {
	e := &env{stdout: io.Discard, stderr: io.Discard}
	e.global.timeout = listTimeout
	return e
}

// TestOpenModel chooses by what only the keys themselves can say.
func TestOpenModel(t *testing.T) {
	e := newEnv()
	broken := place{deviceInfo{Path: "broken"}, func(context.Context, client.Prompt) (*openedKey, error) { return nil, fs.ErrPermission }}
	places := []place{broken, newPlace(t, e, "usual", "default", "auto"), newPlace(t, e, "full", "ctap-2.3", "auto")}
	for name, want := range map[string]string{
		"f1d0ce1f-5e1f-4b1d-8a2c-6b0d1e9a7c35": "usual",
		"F1D0CE1F5E1F4B1D8A2C6B0D1E9A7C23":     "full",
		"fidokey sim":                          "usual", // not the model of the other
		"00000000-0000-0000-0000-000000000000": "",
		"nitrokey":                             "",
	} {
		key, err := e.openNamed(t.Context(), places, name, client.Prompt{})
		switch {
		case want == "":
			if code, _ := classify(err); code != exitNoKey || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: exit code %d, %v", name, code, err)
			}
		case err != nil || key.device.Path != want:
			t.Errorf("%s: %v", name, err)
		default:
			key.Close()
		}
	}
}

// TestOpenTouched opens the key that is touched, and none that is not.
func TestOpenTouched(t *testing.T) {
	e := newEnv()
	for touched := range 3 {
		var places []place
		for i := range 3 {
			how := "never"
			if i == touched {
				how = "0"
			}
			places = append(places, newPlace(t, e, fmt.Sprint(i), "default", how))
		}
		key, err := e.openTouched(t.Context(), places, client.Prompt{})
		if err != nil || key.device.Path != fmt.Sprint(touched) {
			t.Fatalf("%d was touched: %+v, %v", touched, key, err)
		}
		if _, err := key.Info(t.Context()); err != nil {
			t.Errorf("the key that was touched is of use: %v", err)
		}
		if err := key.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestForbidden: a device that the system keeps from this user is exit code 9, and
// the error names who helps.
func TestForbidden(t *testing.T) {
	denied := fmt.Errorf("open key: %w", fs.ErrPermission)
	for _, tt := range []struct {
		kept bool
		want string
	}{{false, "'fidokey doctor'"}, {true, "'fidokey register' and 'fidokey authenticate'"}} {
		e := &env{keysKept: tt.kept}
		err := e.sentOn(denied)
		if code, _ := classify(err); code != exitPermission || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("exit code %d: %v", code, err)
		}
		if err := e.sentOn(io.EOF); err != io.EOF {
			t.Errorf("another error is changed: %v", err)
		}
	}
}
