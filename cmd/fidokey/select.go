package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
)

func newSelectCmd(e *env) *cobra.Command {
	var pathOnly bool
	cmd := &cobra.Command{
		Use:   "select",
		Short: "Touch the key you mean, and see which one it is",
		Long: `Have all keys blink, and show the one that is touched: path, serial number, AAGUID
and model. With --path-only just the path, as --device takes it:

  fidokey info --device "$(fidokey select --path-only)"`,
		Example: "  fidokey select --path-only",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if pathOnly && e.global.json {
				return usageError{errors.New("--path-only is for people and shells, --json for programs: choose one")}
			}
			return e.selectKey(cmd.Context(), pathOnly)
		},
	}
	cmd.Flags().BoolVar(&pathOnly, "path-only", false, "print nothing but the path")
	return cmd
}

// selectReport is the answer of "select".
type selectReport struct {
	AAGUID ctap2.AAGUID `json:"aaguid"`
	Name   string       `json:"name"`

	device   deviceInfo
	pathOnly bool
}

func (r selectReport) print(w *printer) {
	if r.pathOnly {
		w.printf("%s", r.device.Path)
		return
	}
	w.line("Device", "%s", r.device.Path)
	if r.device.Product != "" {
		w.line("Product", "%s", r.device.name())
	}
	if r.device.Serial != "" {
		w.line("Serial number", "%s", r.device.Serial)
	}
	w.line("AAGUID", "%v", r.AAGUID)
	w.line("Model", "%s", r.Name)
}

func (e *env) selectKey(ctx context.Context, pathOnly bool) error {
	key, err := e.touchedKey(ctx)
	if err != nil {
		return err
	}
	info, err := key.Info(ctx)
	if err = errors.Join(err, key.Close()); err != nil {
		return err
	}
	return e.say(&key.device, selectReport{info.AAGUID, modelName(info.AAGUID), key.device, pathOnly})
}

// touchedKey waits for a touch of any key, or of the one that --device names.
func (e *env) touchedKey(ctx context.Context) (*openedKey, error) {
	prompt := client.Prompt{Touch: func(t client.Touch) {
		e.wait("Touch the security key that you mean...", eventTouch, map[string]any{"command": t.Command.String()})
	}}
	if e.global.device != "" {
		key, err := e.openKey(ctx, prompt)
		if err != nil {
			return nil, err
		}
		if err := key.Select(ctx); err != nil {
			return nil, errors.Join(err, key.Close())
		}
		return key, nil
	}
	places, err := e.places(ctx)
	if err != nil {
		return nil, err
	}
	places = slices.DeleteFunc(places, place.onReader)
	if len(places) == 0 {
		return nil, errNoKey
	}
	return e.openTouched(ctx, places, prompt)
}
