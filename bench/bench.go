package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
)

// Options say how a bench is used.
type Options struct {
	// State is the folder for the state where the file names none.
	State string
	// Owner is who locks keys; empty: this process.
	Owner string
	// Backend is how HID devices are reached.
	Backend hid.Backend
	// Say tells the person at the bench what to do; nil: there is none.
	Say func(text string)
}

// A Bench is a bench file at work.
type Bench struct {
	*File
	options Options
	places  map[string]*Place

	devices func() ([]hid.Info, error)
	open    func(path string) (hid.Port, error)
	lock    func(ctx context.Context, port hid.Port) error
	usbPort func(path string) string
}

// Load reads a bench file. Close lets go of what its drivers hold.
func Load(path string, o Options) (*Bench, error) {
	f, err := LoadFile(path)
	if err != nil {
		return nil, err
	}
	if f.State == "" {
		f.State = o.State
	}
	b := &Bench{
		File: f, options: o, places: map[string]*Place{},
		devices: func() ([]hid.Info, error) { return hid.Devices(o.Backend) },
		open:    func(path string) (hid.Port, error) { return hid.OpenPath(o.Backend, path) },
		lock:    hid.Lock,
		usbPort: hid.USBPort,
	}
	for name, key := range f.Keys {
		p := &Place{Name: name, Key: key, bench: b}
		p.finger = &finger{place: p}
		if err := p.prepare(); err != nil {
			return nil, errors.Join(fmt.Errorf("key %s: %w", name, err), b.Close())
		}
		b.places[name] = p
	}
	return b, nil
}

// Owner is who locks keys here; empty: each process for itself.
func (b *Bench) Owner() string { return b.options.Owner }

// Places returns the places of all keys, by name.
func (b *Bench) Places() []*Place {
	var all []*Place
	for _, name := range slices.Sorted(maps.Keys(b.places)) {
		all = append(all, b.places[name])
	}
	return all
}

// Place returns the place of a key. An empty name is the only key that there is.
func (b *Bench) Place(name string) (*Place, error) {
	if all := b.Places(); name == "" && len(all) == 1 {
		return all[0], nil
	}
	if p := b.places[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%w %q: there are %s", ErrNoSuchKey, name, strings.Join(slices.Sorted(maps.Keys(b.places)), ", "))
}

// Close lets go of what the drivers hold: GPIO lines, serial ports.
func (b *Bench) Close() (err error) {
	for _, p := range b.places {
		err = errors.Join(err, p.close())
	}
	return err
}

var (
	// ErrNoSuchKey is wrapped by the error for a name that the file does not have.
	ErrNoSuchKey = errors.New("the bench file has no key")
	// ErrNotThere is wrapped by the error for a key that is not plugged in.
	ErrNotThere = errors.New("the key is not on the bench")
	// ErrAmbiguous is wrapped by the error for a key that is not told from another.
	ErrAmbiguous = errors.New("the bench file does not tell the key from another")
	// ErrNoDriver is wrapped by the error for what no driver can do here.
	ErrNoDriver = errors.New("the bench file has no driver for it")
	// ErrPower is wrapped by the error for a power driver that did not do what it
	// should have.
	ErrPower = errors.New("the power was not switched")
	// ErrNotReleased is wrapped by the error for what may not be done to a key.
	ErrNotReleased = errors.New("the key may not be wiped")
	// ErrLocked is wrapped by the error for a key that another job has.
	ErrLocked = errors.New("the key is locked")
)

// A Place is where one key is on the bench.
type Place struct {
	Name string
	*Key
	bench  *Bench
	finger *finger
	soft   *simulated // for match.device: simulator

	mu        sync.Mutex
	longReset bool     // longTouchForReset, when getInfo was asked last
	lastPath  string   // where the key was found last
	others    []string // paths of keys that look alike and stayed when ours was unplugged
	switching bool     // the power, so that errors of the port are our own doing
	faults    []string // of the transport, that were not
}

// simulated is a simulator in this process.
type simulated struct {
	key  *simulator.Authenticator
	plan *simulator.TouchPlan
}

// prepare tells the drivers what they are for.
func (p *Place) prepare() error {
	if p.Match.Device == inProcess {
		if err := p.simulate(); err != nil {
			return err
		}
	}
	if p.Reader != nil && p.Reader.Field.name == "" && p.soft == nil {
		p.Reader.Field = Driver{&pcscField{}, "pcsc", []string{"field"}}
	}
	p.introduce(p.Power, false, false)
	p.introduce(p.Touch, true, false)
	if p.Reader != nil {
		p.introduce(p.Reader.Field, false, true)
	}
	return nil
}

func (p *Place) introduce(d Driver, touch, field bool) {
	switch s := d.Switch.(type) {
	case *simulatorSwitch:
		s.touch = touch
		if p.soft != nil {
			s.key, s.plan = p.soft.key, p.soft.plan
		}
	case *gpio:
		s.rest = !touch
	case *person:
		s.name, s.touch, s.field = p.Name, touch, field
		s.say = func(format string, args ...any) {
			if p.bench.options.Say != nil {
				p.bench.options.Say(fmt.Sprintf(format, args...))
			}
		}
	case *pcscField:
		s.reader = p.Reader.Name
	}
}

func (p *Place) simulate() error {
	name := p.Profile
	if name == "" {
		name = "default"
	}
	profile, err := simulator.LoadProfile(name)
	if err != nil {
		return err
	}
	clock := simulator.NewVirtualClock()
	plan := simulator.NewTouchPlan(clock, simulator.Touch{Action: simulator.TouchNever})
	key, err := simulator.New(simulator.Config{Clock: clock, Presence: plan.Presence, Profile: profile})
	p.soft = &simulated{key, plan}
	return err
}

func (p *Place) close() (err error) {
	// Of a key that was not touched from here another program may have the finger.
	if p.finger.isUsed() {
		err = p.finger.rest(context.Background())
	}
	drivers := []Driver{p.Power, p.Touch}
	if p.Reader != nil {
		drivers = append(drivers, p.Reader.Field)
	}
	err = errors.Join(err, closeAll(drivers...))
	if p.soft != nil && p.soft.key != nil {
		err = errors.Join(err, p.soft.key.Close())
	}
	return err
}
