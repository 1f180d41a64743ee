package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/simulator"
)

const (
	// uhidMaxMsgSize keeps messages short enough for uhid, which loses reports of
	// longer ones (bytes).
	uhidMaxMsgSize = 1200

	// udpDefault is what programs that speak this form expect.
	udpDefault = "8111:7112"

	// usbipDefault is where "usbip attach" looks.
	usbipDefault = "127.0.0.1:3240"
)

type simulatorRunOptions struct {
	profile, state, seed, touch string
	udp, tcp, unix, usbip       string
	attestation, enterprise     string
	vpcd                        string
	uhid, vhci                  bool
	allowRemote, contact        bool
	control                     controlOptions
}

func newSimulatorRunCmd(e *env) *cobra.Command {
	var o simulatorRunOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Plug the simulator into this system until interrupted",
		Long: `Plug the simulator into this system until the command is interrupted. It can
have several doors, all to the same key; a line on standard output says when each
of them is open. The key is a test instrument, not a safe place for secrets: they
lie in an ordinary file.

--uhid makes it a HID device of the Linux kernel through /dev/uhid, so that every
program sees a security key. This needs root, or the right to write to that file,
and the kernel module uhid.

--vhci makes it a USB key of this Linux system, with USB's descriptors and whole
long messages. This needs root and the kernel module vhci-hcd. --usbip offers the
same key to whoever imports it, one host at a time, at ` + usbipDefault + ` unless
another address is given: usbip attach -r 127.0.0.1 -b 1-1. Attaching powers the
key up, detaching unplugs it.

--tcp and --unix carry each report behind its length in two bytes, --udp each
report in a datagram. fidokey reaches them with --device tcp:HOST:PORT,
unix:PATH or udp:HOST:PORT. They are for this machine only.

--vpcd puts it as a card into the virtual reader of vsmartcard, so that every program
finds it through PC/SC: contactless, where to lay it on the reader is a touch, or
with --contact. A key with other doors too has its power from those, else from the
reader. '--profile nfc-card-no-button' is a key to be laid on the reader anew for
each touch, which '--control' can do by power off and on.

--control steers the key over HTTP: touch, power, clock, faults, state. Requests
carry the token that is in --control-token-file, as 'Authorization: Bearer TOKEN'.

--udp=PORT answers whoever asks, --udp=PORT:REPLYPORT always that port; --udp
alone means ` + udpDefault + `.

With --json each door is an answer of its own, on a line.`,
		Example: `  fidokey simulator run --unix key.sock --profile ctap-2.3
  sudo fidokey simulator run --uhid --state key.db
  fidokey simulator run --vpcd --profile nfc-card`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSimulator(cmd.Context(), e, o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.profile, "profile", "default", "the key to play: "+profileHelp)
	flags.StringVar(&o.state, "state", "", "the key's state: a file, or ':memory:' (default: as --simulator-state)")
	flags.StringVar(&o.seed, "seed", "", "hexadecimal digits that fix every key, ID and nonce: for tests, where runs must be the same")
	flags.StringVar(&o.touch, "touch", "auto", "how the key is touched: "+touchHelp)
	flags.StringVar(&o.attestation, "attestation", "", "vouch for credentials with a key and its certificates: a PEM file with both, the key's own certificate first")
	flags.StringVar(&o.enterprise, "enterprise-attestation", "", "the same for enterprise attestation")
	flags.BoolVar(&o.uhid, "uhid", false, "be a HID device of the Linux kernel")
	flags.BoolVar(&o.vhci, "vhci", false, "be a USB key of this Linux system")
	flags.StringVar(&o.usbip, "usbip", "", "offer a USB key by USB/IP on a TCP address: HOST:PORT")
	flags.Lookup("usbip").NoOptDefVal = usbipDefault
	flags.StringVar(&o.udp, "udp", "", "listen on a UDP port: PORT or PORT:REPLYPORT")
	flags.Lookup("udp").NoOptDefVal = udpDefault
	flags.StringVar(&o.tcp, "tcp", "", "listen on a TCP address: HOST:PORT")
	flags.StringVar(&o.unix, "unix", "", "listen on a Unix socket: a path")
	flags.StringVar(&o.vpcd, "vpcd", "", "be a card in the virtual PC/SC reader at HOST:PORT")
	flags.Lookup("vpcd").NoOptDefVal = simulator.VPCDAddress
	flags.BoolVar(&o.contact, "contact", false, "be a card with contacts, in place of one for NFC")
	flags.BoolVar(&o.allowRemote, "allow-remote", false, "let --tcp, --usbip, --vpcd and --control go where other machines can reach them, and use the key")
	o.control.addFlags(cmd)
	return cmd
}

// A simulatorDoor serves one door until its context ends.
type simulatorDoor func(ctx context.Context) error

func runSimulator(ctx context.Context, e *env, o simulatorRunOptions) error {
	config, plan, err := o.config()
	if err != nil {
		return err
	}
	if o.state == "" {
		o.state = e.global.simulatorState
	}
	key, path, err := newSimulator(o.state, config)
	if err != nil {
		return err
	}
	defer key.Close()
	e.jsonLines = true // programs read them while the command runs
	r := &readiness{env: e, state: path}
	doors, err := o.doors(key, r)
	if err != nil {
		return err
	}
	if o.control.address != "" {
		serve, err := o.control.door(e, key, plan, o.allowRemote, r.of("control"))
		if err != nil {
			return err
		}
		doors = append(doors, serve)
	}
	return serveAll(ctx, doors)
}

// config is the key's world but for its storage.
func (o *simulatorRunOptions) config() (c simulator.Config, s steering, err error) {
	if !o.uhid && !o.vhci && o.usbip == "" && o.udp == "" && o.tcp == "" && o.unix == "" && o.vpcd == "" {
		return c, s, usageError{errors.New("no door is given: use --uhid, --vhci, --usbip, --udp, --tcp, --unix or --vpcd")}
	}
	if o.contact && o.vpcd == "" {
		return c, s, usageError{errors.New("--contact is for a card: use --vpcd")}
	}
	touch, err := parseTouch(o.touch)
	if err != nil {
		return c, s, err
	}
	if c.Profile, err = simulator.LoadProfile(o.profile); err != nil {
		return c, s, usageError{err}
	}
	if o.seed != "" {
		seed, err := hex.DecodeString(o.seed)
		if err != nil {
			return c, s, usageError{fmt.Errorf("seed: %w", err)}
		}
		c.Random = simulator.NewSeeded(seed)
	}
	if c.Attestation, err = loadAttestation(o.attestation); err != nil {
		return c, s, err
	}
	if c.EnterpriseAttestation, err = loadAttestation(o.enterprise); err != nil {
		return c, s, err
	}
	if c.Attestation != nil {
		c.Profile.Attestation = simulator.AttestationChain
	}
	if o.uhid {
		c.MaxMsgSize = uhidMaxMsgSize
	}
	s = newSteering(touch)
	s.apply(&c)
	return c, s, nil
}

// loadAttestation reads a PEM file, if there is one.
func loadAttestation(path string) (*simulator.AttestationKey, error) {
	if path == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		return nil, fmt.Errorf("attestation key and certificates in %s: %w", path, err)
	}
	return &simulator.AttestationKey{Signer: pair.PrivateKey.(crypto.Signer), Chain: pair.Certificate}, nil
}

// doors lists those that were asked for.
func (o *simulatorRunOptions) doors(key *simulator.Authenticator, r *readiness) ([]simulatorDoor, error) {
	var doors []simulatorDoor
	if o.uhid {
		ready := r.of("uhid")
		doors = append(doors, func(ctx context.Context) error {
			return key.WhilePowered(ctx, func(ctx context.Context) error {
				door := simulator.NewHID(key)
				defer door.Close()
				return simulator.ServeUHID(ctx, door, simulator.UHIDConfig{Ready: func() { ready(nil) }})
			})
		})
	}
	if o.vhci {
		ready := r.of("vhci")
		c := simulator.VHCIConfig{Ready: func() { ready(nil) }}
		doors = append(doors, func(ctx context.Context) error { return simulator.ServeVHCI(ctx, key, c) })
	}
	if o.usbip != "" {
		c := simulator.DoorConfig{Address: o.usbip, AllowRemote: o.allowRemote, Ready: r.of("usbip")}
		doors = append(doors, func(ctx context.Context) error {
			return simulator.ServeUSBIP(ctx, key, c, simulator.USBIdentity{})
		})
	}
	if o.udp != "" {
		port, reply, err := parseUDP(o.udp)
		if err != nil {
			return nil, usageError{err}
		}
		c := simulator.DoorConfig{Address: net.JoinHostPort("127.0.0.1", port), Ready: r.of("udp")}
		doors = append(doors, func(ctx context.Context) error { return simulator.ServeUDP(ctx, key, c, reply) })
	}
	if o.tcp != "" {
		c := simulator.DoorConfig{Address: o.tcp, AllowRemote: o.allowRemote, Ready: r.of("tcp")}
		doors = append(doors, func(ctx context.Context) error { return simulator.ServeTCP(ctx, key, c) })
	}
	if o.unix != "" {
		c := simulator.DoorConfig{Address: o.unix, Ready: r.of("unix")}
		doors = append(doors, func(ctx context.Context) error { return simulator.ServeUnix(ctx, key, c) })
	}
	if o.vpcd != "" {
		c := simulator.DoorConfig{Address: o.vpcd, AllowRemote: o.allowRemote, Ready: r.of("vpcd")}
		var kind []simulator.CardOption
		if o.contact {
			kind = append(kind, simulator.ContactCard())
		}
		doors = append(doors, func(ctx context.Context) error { return simulator.ServeVPCD(ctx, key, c, kind...) })
	}
	return doors, nil
}

// parseUDP reads PORT or PORT:REPLYPORT.
func parseUDP(s string) (port string, reply uint16, err error) {
	port, after, fixed := strings.Cut(s, ":")
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", 0, fmt.Errorf("udp %q: must be PORT or PORT:REPLYPORT", s)
	}
	if fixed {
		n, err := strconv.ParseUint(after, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("udp %q: must be PORT or PORT:REPLYPORT", s)
		}
		reply = uint16(n)
	}
	return port, reply, nil
}

// serveAll serves all doors until ctx ends, or one of them fails.
func serveAll(ctx context.Context, doors []simulatorDoor) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var failed error
	var open sync.WaitGroup
	for _, serve := range doors {
		open.Go(func() {
			if err := serve(ctx); err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
				cancel(err)
			}
		})
	}
	open.Wait()
	return failed
}

// readiness says which doors are open.
type readiness struct {
	*env
	state string
	mu    sync.Mutex
}

// of returns what a door calls when it is open; only the first call is told of,
// for a door opens again when the key is plugged in again.
func (r *readiness) of(door string) func(net.Addr) {
	var once sync.Once
	return func(address net.Addr) { once.Do(func() { r.print(door, address) }) }
}

// doorReport is an answer of "simulator run", which has one for each door.
type doorReport struct {
	Door    string `json:"door"`
	Status  string `json:"status"` // "ready"
	State   string `json:"state"`
	Address string `json:"address,omitempty"`
}

func (d doorReport) print(w *printer) {
	w.printf("%s: ready (state %s)", strings.TrimSpace(d.Door+" "+d.Address), d.State)
}

// print writes one line.
func (r *readiness) print(door string, address net.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := doorReport{Door: door, Status: "ready", State: r.state}
	if address != nil {
		report.Address = address.String()
	}
	_ = r.say(nil, report) // the key is there, whoever reads
}
