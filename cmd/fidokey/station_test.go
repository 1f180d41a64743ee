package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// A station is a simulated key that a script has plugged in, with its person. It
// plays any profile, holds what the script wants, and can be interfered with.
type station struct {
	key   *simulator.Authenticator
	touch *simulator.TouchPlan
	pin   string
	// answers is simulator.Config.Answers, from when it is set.
	answers *atomic.Pointer[func(request, answer []byte) []byte]
}

// stationCmds are the commands that scripts have for it.
func stationCmds() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	return map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"plug": plug, "passkey": passkey, "touch": touch, "answer": answerWith, "pull": pull, "alwaysuv": alwaysUV, "noise": noise,
	}
}

// stationKey is where a script keeps its station.
type stationKey struct{}

func stationOf(ts *testscript.TestScript) *station {
	s, ok := ts.Value(stationKey{}).(*station)
	if !ok || s.key == nil {
		ts.Fatalf("no key is plugged in: plug PROFILE [PIN]")
	}
	return s
}

// plug PROFILE [PIN] plugs a key in, and names it in $KEY. With a PIN it is set.
func plug(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: plug PROFILE [PIN]")
	}
	s := ts.Value(stationKey{}).(*station)
	pin := ""
	if len(args) == 2 {
		pin = args[1]
	}
	device, stop, err := s.start(args[0], pin)
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("KEY", device)
}

// start plugs in a key with a profile, and with a PIN if that is not empty. It
// returns its --device.
func (s *station) start(profileName, pin string) (device string, stop func(), err error) {
	if err := s.make(profileName, pin); err != nil {
		return "", nil, err
	}
	address, leave, err := s.serve(func(ctx context.Context, ready func(net.Addr)) error {
		return simulator.ServeTCP(ctx, s.key, simulator.DoorConfig{Address: "127.0.0.1:0", Ready: ready})
	})
	key := s.key
	return "tcp:" + address, func() { leave(); key.Close() }, err
}

// make makes the key.
func (s *station) make(profileName, pin string) error {
	profile, err := simulator.LoadProfile(profileName)
	if err != nil {
		return err
	}
	clock := simulator.NewVirtualClock()
	*s = station{pin: pin, touch: simulator.NewTouchPlan(clock, simulator.Touch{Action: simulator.TouchKey}), answers: &atomic.Pointer[func(request, answer []byte) []byte]{}}
	answers := s.answers
	s.key, err = simulator.New(simulator.Config{Clock: clock, Presence: s.touch.Presence, Profile: profile, Answers: func(_ context.Context, request, answer []byte) []byte {
		if change := answers.Load(); change != nil {
			return (*change)(request, answer)
		}
		return answer
	}})
	if err == nil && pin != "" {
		err = s.client().SetPIN(context.Background())
	}
	return err
}

// serve opens a door, and returns what ready was told when it was open.
func (s *station) serve(door func(ctx context.Context, ready func(net.Addr)) error) (address string, stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- door(ctx, func(a net.Addr) {
			select {
			case ready <- a.String():
			default: // open again
			}
		})
	}()
	select {
	case address = <-ready:
		return address, sync.OnceFunc(func() { cancel(); <-ended }), nil
	case err = <-ended:
		cancel()
		return "", func() {}, err
	}
}

// client is a program past the door.
func (s *station) client() *client.Key {
	pin := func() ([]byte, error) { return []byte(s.pin), nil }
	return client.New(s.key, client.Options{MinRetries: 1, Prompt: client.Prompt{
		PIN:    func(context.Context, client.PINRequest) ([]byte, error) { return pin() },
		NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return pin() },
	}})
}

// passkey RPID USER [DISPLAYNAME [protect|blob|secret]...] makes a discoverable
// credential and names its ID in $ID.
func passkey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: passkey RPID USER [DISPLAYNAME [protect|blob|secret]...]")
	}
	r := client.Registration{
		ClientDataHash: make([]byte, 32), RP: ctap2.RP{ID: args[0], Name: "The " + args[0]},
		User:       ctap2.User{ID: []byte("id of " + args[1]), Name: args[1]},
		Parameters: []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}}, Discoverable: true,
	}
	if len(args) > 2 {
		r.User.DisplayName = args[2]
		extensions := args[3:]
		if slices.Contains(extensions, "protect") {
			r.Extensions.CredProtect = client.UserVerificationRequired
		}
		if slices.Contains(extensions, "blob") {
			r.Extensions.LargeBlob = client.LargeBlobRequired
		}
		r.Extensions.HMACSecret = slices.Contains(extensions, "secret")
	}
	made, err := stationOf(ts).client().Register(context.Background(), r)
	ts.Check(err)
	ts.Setenv("ID", hex.EncodeToString(made.Data.Credential.ID))
}

// touch HOW says how the key is touched from now on.
func touch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: touch auto|never|decline")
	}
	how, err := simulator.ParseTouch(args[0])
	ts.Check(err)
	stationOf(ts).touch.Set(how)
}

// answer COMMAND SKIP STATUS has a command, both in hexadecimal, fail once, after
// as many as SKIP went by.
func answerWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: answer COMMAND SKIP STATUS")
	}
	command, err1 := strconv.ParseUint(args[0], 16, 8)
	skip, err2 := strconv.ParseUint(args[1], 10, 8)
	status, err3 := hex.DecodeString(args[2])
	ts.Check(errors.Join(err1, err2, err3))
	ts.Check(stationOf(ts).key.Faults().Add(simulator.Fault{
		Kind: simulator.FaultCanned, Command: ctap2.Command(command), Skip: uint(skip), Answer: status,
	}))
}

// pull SKIP unplugs the key at the next report that it gets, after as many as SKIP
// came.
func pull(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: pull SKIP")
	}
	skip, err := strconv.ParseUint(args[0], 10, 8)
	ts.Check(err)
	ts.Check(stationOf(ts).key.Faults().Add(simulator.Fault{Kind: simulator.FaultUnplug, ToKey: true, Skip: uint(skip)}))
}

// alwaysuv makes the key verify its user always.
func alwaysUV(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(stationOf(ts).client().SetAlwaysUV(context.Background(), true))
}

// noise FILE BYTES writes a file that cannot be compressed.
func noise(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: noise FILE BYTES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	data := make([]byte, n)
	rand.Read(data)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}
