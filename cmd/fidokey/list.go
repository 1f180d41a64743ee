package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/metadata"
)

func newListCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the security keys that are plugged in",
		Long: `List the security keys that are plugged in: index, path, product, AAGUID and
model. Each key is asked what it is; none is touched. With '--device simulator'
the simulator is listed instead.`,
		Example: "  fidokey list",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runList(cmd.Context(), e) },
	}
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

func runList(ctx context.Context, e *env) error {
	e.global.timeout = min(e.global.timeout, listTimeout)
	places, err := e.places(ctx)
	if err != nil {
		return err
	}
	return e.list(ctx, places)
}

func (e *env) list(ctx context.Context, places []place) error {
	if len(places) == 0 {
		e.note("No security key found.")
	}
	keys := make([]listedKey, len(places))
	var all sync.WaitGroup
	for i, p := range places {
		all.Go(func() { keys[i] = e.identify(ctx, i+1, p) })
	}
	all.Wait()
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
	key, err := p.open(ctx, client.Prompt{})
	switch {
	case e.keysKept && errors.Is(err, fs.ErrPermission):
		listed.Error = keptError
		return listed
	case err != nil:
		listed.Error = err.Error()
		return listed
	}
	defer key.Close()
	listed.Device = key.device
	info, err := key.Info(ctx)
	if err != nil {
		listed.Error = err.Error()
		return listed
	}
	listed.AAGUID, listed.Name = &info.AAGUID, modelName(info.AAGUID)
	return listed
}

// modelName returns the name of a model, or "unknown model". What the FIDO Alliance
// calls it goes before the built-in table.
func modelName(a ctap2.AAGUID) string {
	if name, ok := storedName(a.String()); ok {
		return name
	}
	if m, ok := metadata.Lookup(a.String()); ok {
		return m.Name
	}
	return "unknown model"
}
