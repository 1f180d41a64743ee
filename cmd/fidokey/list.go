package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/metadata"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

func newListCmd(e *env) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the security keys that are plugged in",
		Long: `List the security keys that are plugged in: index, path, product, AAGUID and
model. Each key is asked what it is; none is touched. With '--device simulator'
the simulator is listed instead. --watch lists them again whenever a key was plugged
in or unplugged, laid on a reader or taken away, until it is interrupted; with --json
each answer is on a line of its own.`,
		Example: "  fidokey list\n  fidokey list --watch",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e.global.timeout = min(e.global.timeout, listTimeout)
			if watch {
				return e.watchList(cmd.Context())
			}
			return e.listNow(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "list them again whenever that has changed")
	return cmd
}

// listReport is the answer of "list".
type listReport struct {
	Keys []listedKey `json:"keys"`
}

// listedKey is one key in the list.
type listedKey struct {
	Index  int           `json:"index"`
	Device deviceInfo    `json:"device"`
	AAGUID *ctap2.AAGUID `json:"aaguid,omitempty"`
	Name   string        `json:"name,omitempty"`
	Error  string        `json:"error,omitempty"` // why the key did not say what it is

	gone bool // from the reader that it was seen in
}

func (r listReport) print(w *printer) {
	if len(r.Keys) == 0 {
		return
	}
	var rows [][]string
	for _, k := range r.Keys {
		aaguid, name := "-", cmp.Or(k.Error, k.Name)
		if k.AAGUID != nil {
			aaguid = k.AAGUID.String()
		}
		rows = append(rows, []string{fmt.Sprint(k.Index), k.Device.Path, k.Device.name(), aaguid, name})
	}
	w.table([]string{"#", "path", "product", "aaguid", "model"}, rows)
}

// listTimeout bounds how long one dead key can hold up the list.
const listTimeout = 5 * time.Second

func (e *env) listNow(ctx context.Context) error {
	places, err := e.places(ctx)
	if err != nil {
		return err
	}
	return e.list(e.identifyAll(ctx, places))
}

// settleTime is how long a key that was plugged in is left alone: it starts, and the
// system gives this user the right to it.
const settleTime = 300 * time.Millisecond

// watchList lists the keys, and again whenever that has changed, until ctx ends.
func (e *env) watchList(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	tell := func() {
		select {
		case changed <- struct{}{}:
		default: // it is told already
		}
	}
	go func() { _ = hid.Watch(ctx, hid.Backend(e.global.backend), func([]hid.Info, error) { tell() }) }() // until ctx ends
	go func() { _ = nfc.Watch(ctx, func([]nfc.ReaderInfo, error) { tell() }) }()
	e.jsonLines = true
	var last []listedKey
	for first := true; ; first = false {
		places, err := e.places(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		keys := e.identifyAll(ctx, places)
		if ctx.Err() != nil {
			return nil
		}
		if first || !reflect.DeepEqual(keys, last) {
			if err := e.list(keys); err != nil {
				return err
			}
		}
		last = keys
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(settleTime):
		case <-ctx.Done():
			return nil
		}
	}
}

// identifyAll asks all keys at the same time. Those that were taken away meanwhile are
// not there.
func (e *env) identifyAll(ctx context.Context, places []place) []listedKey {
	keys := make([]listedKey, len(places))
	var all sync.WaitGroup
	for i, p := range places {
		all.Go(func() { keys[i] = e.identify(ctx, i+1, p) })
	}
	all.Wait()
	keys = slices.DeleteFunc(keys, func(k listedKey) bool { return k.gone })
	for i := range keys {
		keys[i].Index = i + 1
	}
	return keys
}

func (e *env) list(keys []listedKey) error {
	if len(keys) == 0 {
		e.note("No security key found.")
	}
	if slices.ContainsFunc(keys, func(k listedKey) bool { return k.Error == keptError }) {
		e.note(keptHint)
	}
	return e.say(nil, listReport{keys})
}

// keptError is the error of a key that is seen and not reached.
const keptError = "kept from this program by Windows"

// identify asks a key what it is.
func (e *env) identify(ctx context.Context, index int, p place) listedKey {
	listed := listedKey{Index: index, Device: p.device}
	key, err := p.open(context.WithValue(ctx, asksNobody{}, true), client.Prompt{})
	switch {
	case e.keysKept && errors.Is(err, fs.ErrPermission):
		listed.Error = keptError
		return listed
	case err != nil:
		listed.Error, listed.gone = err.Error(), e.tookAway(p, err)
		return listed
	}
	defer key.Close()
	listed.Device = key.device
	info, err := key.Info(ctx)
	if err != nil {
		listed.Error, listed.gone = err.Error(), e.tookAway(p, err)
		return listed
	}
	listed.AAGUID, listed.Name = &info.AAGUID, modelName(info.AAGUID)
	return listed
}

// tookAway reports whether a key that was seen in a reader is not in it any more.
func (e *env) tookAway(p place, err error) bool {
	return e.global.device == "" && p.onReader() && (errors.Is(err, nfc.ErrNoCard) || errors.Is(err, transport.ErrClosed))
}

// modelName returns the name of a model, or "unknown model".
func modelName(a ctap2.AAGUID) string { return cmp.Or(knownModel(a), "unknown model") }

// knownModel returns the name of a model, if it is known. What the FIDO Alliance calls it
// goes before the built-in table.
func knownModel(a ctap2.AAGUID) string {
	if name, ok := storedName(a.String()); ok {
		return name
	}
	m, _ := metadata.Lookup(a.String())
	return m.Name
}
