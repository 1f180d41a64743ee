package main

import (
	"context"
	"fmt"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/metadata"
	"github.com/fidokey/fidokey/transport/hid"
)

func newListCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the security keys that are plugged in",
		Long: `List the security keys that are plugged in: index, path, product, AAGUID and
model. Each key is asked what it is; none is touched. With '--device simulator'
the simulator is listed instead.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runList(cmd.Context(), e) },
	}
	addJSONFlag(e, cmd, "the list")
	return cmd
}

// listedKey is one key in "list --json".
type listedKey struct {
	Index  int           `json:"index"`
	Device deviceInfo    `json:"device"`
	AAGUID *ctap2.AAGUID `json:"aaguid,omitempty"`
	Name   string        `json:"name,omitempty"`
	Error  string        `json:"error,omitempty"` // why the key did not say what it is
}

// listTimeout bounds how long one dead key can hold up the list.
const listTimeout = 5 * time.Second

func runList(ctx context.Context, e *env) error {
	e.global.timeout = min(e.global.timeout, listTimeout)
	keys, err := e.listKeys(ctx)
	if err != nil {
		return err
	}
	if e.global.json {
		return e.writeJSON(keys)
	}
	if len(keys) == 0 {
		fmt.Fprintln(e.stderr, "No security key found.")
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "#\tPATH\tPRODUCT\tAAGUID\tMODEL")
	for _, k := range keys {
		aaguid, name := "-", k.Name
		if k.AAGUID != nil {
			aaguid = k.AAGUID.String()
		}
		if k.Error != "" {
			name = k.Error
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", k.Index, k.Device.Path, k.Device.name(), aaguid, name)
	}
	return w.Flush()
}

// listKeys asks all keys at the same time.
func (e *env) listKeys(ctx context.Context) ([]listedKey, error) {
	if e.global.device == simulatorName {
		key, err := e.openSimulator(ctx, client.Prompt{})
		if err != nil {
			return nil, err
		}
		defer key.Close()
		return []listedKey{identify(ctx, 1, key, key.device, nil)}, nil
	}
	devices, err := hid.Devices(hid.Backend(e.global.backend))
	if err != nil {
		return nil, err
	}
	keys := make([]listedKey, len(devices))
	var all sync.WaitGroup
	for i, d := range devices {
		all.Go(func() {
			key, err := e.openHID(ctx, d, client.Prompt{})
			keys[i] = identify(ctx, i+1, key, describe(d), err)
			if err == nil {
				key.Close()
			}
		})
	}
	all.Wait()
	return keys, nil
}

// identify asks a key what it is, unless opening it failed with err.
func identify(ctx context.Context, index int, key *openedKey, device deviceInfo, err error) listedKey {
	listed := listedKey{Index: index, Device: device}
	var info *ctap2.GetInfoResponse
	if err == nil {
		info, err = key.Info(ctx)
	}
	if err != nil {
		listed.Error = err.Error()
		return listed
	}
	listed.AAGUID, listed.Name = &info.AAGUID, modelName(info.AAGUID)
	return listed
}

// modelName returns the name of a model, or "unknown model".
func modelName(a ctap2.AAGUID) string {
	if m, ok := metadata.Lookup(a.String()); ok {
		return m.Name
	}
	return "unknown model"
}
