package hid_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

var (
	ourKey   = hid.Info{Path: "/dev/hidraw3", Product: "soft key", Serial: "1", VendorID: 0x1209, ProductID: 0xf1d0}
	elsewhat = hid.Info{Path: "/dev/hidraw4", Product: "other key", VendorID: 0x1050, ProductID: 0x0407}
)

func at(path string) hid.Info { i := ourKey; i.Path = path; return i }

// A desk is a table of what is plugged in, from a number of seconds on.
type desk struct {
	begin  time.Time
	times  []int // seconds
	states map[int][]hid.Info
	open   func(path string) (hid.Port, error)
	opened []string
}

func newDesk(states map[int][]hid.Info) *desk {
	d := &desk{begin: time.Now(), states: states}
	for second := range states {
		d.times = append(d.times, second)
	}
	slices.Sort(d.times)
	d.open = func(string) (hid.Port, error) { return newFake(), nil }
	return d
}

func (d *desk) devices() ([]hid.Info, error) {
	var now []hid.Info
	for _, second := range d.times {
		if time.Since(d.begin) >= time.Duration(second)*time.Second {
			now = d.states[second]
		}
	}
	if now == nil {
		return nil, errors.New("list HID devices: try again")
	}
	return now, nil
}

func (d *desk) slot() *hid.Slot {
	return hid.NewTestSlot(ourKey, d.devices, func(path string) (hid.Port, error) {
		d.opened = append(d.opened, path)
		return d.open(path)
	})
}

type infos = []hid.Info

func TestSlot(t *testing.T) {
	for name, test := range map[string]struct {
		states map[int]infos
		opened string // "": an error
		want   string // of the error
		took   time.Duration
	}{
		"same place": {map[int]infos{0: {ourKey}, 5: {}, 9: {ourKey}}, "/dev/hidraw3", "", 9 * time.Second},
		"other place": {map[int]infos{0: {ourKey, elsewhat}, 5: {elsewhat}, 9: {elsewhat, at("/dev/hidraw7")}},
			"/dev/hidraw7", "", 9 * time.Second},
		"place taken by another kind": {map[int]infos{0: {ourKey}, 5: {{Path: "/dev/hidraw3", Product: "other key"}}, 9: {{Path: "/dev/hidraw3", Product: "other key"}, at("/dev/hidraw5")}},
			"/dev/hidraw5", "", 9 * time.Second},
		"another kind comes first": {map[int]infos{0: {ourKey}, 5: {}, 6: {elsewhat}, 9: {elsewhat, at("/dev/hidraw5")}},
			"/dev/hidraw5", "", 9 * time.Second},
		"a twin stays": {map[int]infos{0: {ourKey, at("/dev/hidraw1")}, 5: {at("/dev/hidraw1")}, 9: {at("/dev/hidraw1"), ourKey}},
			"/dev/hidraw3", "", 9 * time.Second},
		"the list fails once": {map[int]infos{0: {ourKey}, 5: nil, 6: {}, 8: nil, 9: {ourKey}}, "/dev/hidraw3", "", 9 * time.Second},
		"a twin comes as well": {map[int]infos{0: {ourKey}, 5: {}, 9: {ourKey, at("/dev/hidraw5")}}, "",
			"/dev/hidraw5 looks like another one", 9 * time.Second},
		"a twin is taken for it": {map[int]infos{0: {ourKey, at("/dev/hidraw1")}, 5: {at("/dev/hidraw1")}, 6: {}, 9: {at("/dev/hidraw1")}}, "",
			"/dev/hidraw1 looks like another one", 9 * time.Second},
		"stays":        {map[int]infos{0: {ourKey}}, "", "the key is still plugged in: ", 60 * time.Second},
		"stays away":   {map[int]infos{0: {ourKey}, 5: {}}, "", "the key is not plugged in: ", 60 * time.Second},
		"no more list": {map[int]infos{0: {ourKey}, 5: {}, 6: nil}, "", "try again", 60 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithTimeout(t.Context(), time.Minute)
				defer stop()
				d := newDesk(test.states)
				slot := d.slot()
				var dev transport.Device
				err := slot.Removed(ctx)
				if err == nil {
					dev, err = slot.Inserted(ctx)
				}
				wantElapsed(t, d.begin, test.took)
				if test.opened == "" {
					if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, context.DeadlineExceeded) != (test.took == time.Minute) {
						t.Errorf("error %v, want one with %q", err, test.want)
					}
					if len(d.opened) != 0 {
						t.Errorf("opened %v", d.opened)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				dev.Close()
				if want := []string{test.opened}; !slices.Equal(d.opened, want) {
					t.Errorf("opened %v, want %v", d.opened, want)
				}
			})
		})
	}
}

// TestSlotWaitsForRights: a node is there before udev has given the user rights
// to it, and some keys need a moment until they answer.
func TestSlotWaitsForRights(t *testing.T) {
	for name, test := range map[string]struct {
		ready, took time.Duration // after the key was plugged in
		silent      bool          // until it is ready, else it cannot be opened
		is          error         // nil: it opens
	}{
		"at once":              {0, 0, false, nil},
		"after two seconds":    {2 * time.Second, 2 * time.Second, false, nil},
		"never":                {time.Hour, 5 * time.Second, false, fs.ErrPermission},
		"never answers":        {time.Hour, 5 * time.Second, true, context.DeadlineExceeded},
		"in the next interval": {50 * time.Millisecond, 100 * time.Millisecond, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(map[int]infos{0: {ourKey}})
				d.open = func(path string) (hid.Port, error) {
					p := newFake()
					if time.Since(d.begin) < test.ready {
						if !test.silent {
							return nil, fmt.Errorf("open key: %w", fs.ErrPermission)
						}
						p.handle = func(uint32, byte, []byte) bool { return true }
					}
					return p, nil
				}
				dev, err := d.slot().Inserted(t.Context())
				if !errors.Is(err, test.is) {
					t.Errorf("error %v, want %v", err, test.is)
				}
				wantElapsed(t, d.begin, test.took)
				if err == nil {
					dev.Close()
				}
			})
		})
	}
}

func TestSlotWithoutAList(t *testing.T) {
	slot := hid.NewTestSlot(ourKey, func() ([]hid.Info, error) { return nil, transport.ErrUnsupported }, nil)
	if err := slot.Removed(t.Context()); !errors.Is(err, transport.ErrUnsupported) {
		t.Errorf("error %v, want %v", err, transport.ErrUnsupported)
	}
}
