package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
)

// A setting is one of a key that 'fidokey config' switches.
type setting struct {
	name       string
	subCommand ctap2.ConfigSubCommand
	state      func(info *ctap2.GetInfoResponse) (on, known bool)
	set        func(ctx context.Context, key *client.Key, on bool) error
	isOn       string // what the key does when it is on
	isOff      string
	explained  string // in the help of the command
	lasting    bool   // only a reset switches it off
}

// settings are those of authenticatorConfig (CTAP 2.2, section 6.11).
var settings = []*setting{
	{
		name: "always-uv", subCommand: ctap2.ToggleAlwaysUV,
		state: func(info *ctap2.GetInfoResponse) (on, known bool) { return info.Option(ctap2.OptionAlwaysUV) },
		set:   func(ctx context.Context, key *client.Key, on bool) error { return key.SetAlwaysUV(ctx, on) },
		isOn:  "asks for the PIN or a finger at every registration and sign-in",
		isOff: "asks for the PIN or a finger where the relying party wants it",
		explained: `Have the key verify its user at every registration and sign-in, or where the relying
party asks for it. A key that always verifies its user does not work as a second
factor over U2F. Some keys switch it off only by a reset.`,
	},
	{
		name: "enterprise-attestation", subCommand: ctap2.EnableEnterpriseAttestation, lasting: true,
		state: func(info *ctap2.GetInfoResponse) (on, known bool) { return info.Option(ctap2.OptionEP) },
		set: func(ctx context.Context, key *client.Key, _ bool) error {
			return key.EnableEnterpriseAttestation(ctx)
		},
		isOn:  "may tell the relying parties of its company which key it is",
		isOff: "tells nobody which key it is",
		explained: `Let the key identify itself, by its serial number for instance, to the relying
parties that its maker or the platform has chosen. Only a reset takes it back.`,
	},
	{
		name: "long-touch-reset", subCommand: ctap2.EnableLongTouchForReset, lasting: true,
		state: func(info *ctap2.GetInfoResponse) (on, known bool) {
			return info.LongTouchForReset != nil && *info.LongTouchForReset, info.LongTouchForReset != nil
		},
		set:   func(ctx context.Context, key *client.Key, _ bool) error { return key.EnableLongTouchForReset(ctx) },
		isOn:  "is reset after a touch of five seconds",
		isOff: "is reset after a short touch",
		explained: `Have the key ask for a touch of five seconds before it is reset, so that no program
resets it with a touch that was meant for something else. Only a reset takes it
back.`,
	},
}

func newConfigCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Show and change the settings of a key",
		Long:    "Show and change the settings of a key. Those of its PIN are changed by 'fidokey pin\nmin-length' and 'fidokey pin force-change'.",
		Example: "  fidokey config show\n  fidokey config always-uv on",
	}
	cmd.AddCommand(newConfigShowCmd(e))
	for _, s := range settings {
		cmd.AddCommand(newConfigSetCmd(e, s))
	}
	cmd.AddCommand(newConfigToggleCmd(e), newConfigEnableEPCmd(e))
	return cmd
}

func newConfigShowCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show what a key is set to, and what that means",
		Example: "  fidokey config show\n  fidokey config show --all",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.onKeys(cmd.Context(), client.Prompt{}, func(ctx context.Context, key *openedKey) (report, error) {
				info, err := key.Info(ctx)
				if err != nil {
					return nil, err
				}
				return newConfigReport(info), nil
			})
		},
	}
	addAllFlag(e, cmd)
	return cmd
}

// configReport is the answer of "config show".
type configReport struct {
	Settings            []settingState `json:"settings"`
	MinPINLength        uint           `json:"minPINLength"`           // Unicode code points
	MaxPINLength        *uint          `json:"maxPINLength,omitempty"` // Unicode code points
	ForcePINChange      bool           `json:"forcePINChange"`
	PINComplexityPolicy *bool          `json:"pinComplexityPolicy,omitempty"`

	info *ctap2.GetInfoResponse
}

// settingState is one setting of one key.
type settingState struct {
	Name    string `json:"name"`
	State   string `json:"state"`   // "on", "off", "not supported"
	Meaning string `json:"meaning"` // what the key does
	Fixed   bool   `json:"fixed"`   // it cannot be changed, but by a reset
}

const notSupported = "not supported"

func newConfigReport(info *ctap2.GetInfoResponse) configReport {
	r := configReport{
		MinPINLength: info.MinPINCodePoints(), MaxPINLength: info.MaxPINLength, PINComplexityPolicy: info.PINComplexityPolicy,
		ForcePINChange: info.ForcePINChange != nil && *info.ForcePINChange, info: info,
	}
	for _, s := range settings {
		r.Settings = append(r.Settings, s.of(info))
	}
	return r
}

func (s *setting) of(info *ctap2.GetInfoResponse) settingState {
	on, known := s.state(info)
	fixed := client.CheckConfig(info, s.subCommand) != nil || on && s.lasting
	switch {
	case !known:
		return settingState{s.name, notSupported, s.isOff, true}
	case on:
		return settingState{s.name, "on", s.isOn, fixed}
	}
	return settingState{s.name, "off", s.isOff, fixed}
}

func (r configReport) print(w *printer) {
	var rows [][]string
	for _, s := range r.Settings {
		rows = append(rows, []string{s.Name, s.State, "the key " + s.Meaning})
	}
	rows = append(rows,
		[]string{"PIN length", fmt.Sprint(r.MinPINLength), "PINs have " + pinLength(r.info)},
		[]string{"PIN complexity", onOff(r.PINComplexityPolicy), complexityMeaning(r.PINComplexityPolicy)},
		[]string{"PIN change", onOff(&r.ForcePINChange), changeMeaning(r.ForcePINChange)})
	w.table([]string{"setting", "is", "which means"}, rows)
}

func onOff(b *bool) string {
	switch {
	case b == nil:
		return notSupported
	case *b:
		return "on"
	}
	return "off"
}

func complexityMeaning(b *bool) string {
	if b != nil && *b {
		return "the key refuses PINs that are too simple"
	}
	return "the key takes any PIN of that length"
}

func changeMeaning(b bool) string {
	if b {
		return "the PIN must be changed before it is good for anything else"
	}
	return "the PIN need not be changed"
}

// newConfigSetCmd returns the command that switches a setting.
func newConfigSetCmd(e *env, s *setting) *cobra.Command {
	var source pinSource
	values := []string{"on", "off"}
	if s.lasting {
		values = values[:1]
	}
	cmd := &cobra.Command{
		Use:       s.name + " " + strings.Join(values, "|"),
		Short:     "Switch " + strings.ReplaceAll(s.name, "-", " ") + " " + strings.Join(values, " or "),
		Long:      s.explained,
		Example:   "  fidokey config " + s.name + " on",
		ValidArgs: values,
		Args:      cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case s.lasting && args[0] == "off":
				return usageError{fmt.Errorf("only a reset switches %s off: fidokey reset", s.name)}
			case !slices.Contains(values, args[0]):
				return usageError{fmt.Errorf("%q: must be %s", args[0], strings.Join(values, " or "))}
			}
			return e.switchSetting(cmd.Context(), &source, s, func(bool) bool { return args[0] == "on" })
		},
	}
	source.addFlags(cmd, "pin", "the PIN")
	addChangeFlags(e, cmd, s.lasting)
	return cmd
}

// switchSetting changes a setting to what wanted makes of its state now, after
// agreement if only a reset takes that back.
func (e *env) switchSetting(ctx context.Context, source *pinSource, s *setting, wanted func(now bool) bool) error {
	return e.onKey(ctx, e.prompt(source, nil), func(ctx context.Context, key *openedKey) (report, error) {
		info, err := key.Info(ctx)
		if err != nil {
			return nil, err
		}
		now, known := s.state(info)
		on := wanted(now)
		words := map[bool]string{true: s.isOn, false: s.isOff}[on]
		switch {
		case !known:
			return nil, s.set(ctx, key.Key, on) // it says what is missing
		case now == on:
			return done{fmt.Sprintf("%s is %s already: the key %s.", s.name, onOff(&on), words)}, nil
		}
		if err := client.CheckConfig(info, s.subCommand); err != nil {
			return nil, err
		}
		if e.dryRun {
			return dry("%s would be %s: the key %s.", s.name, onOff(&on), words), nil
		}
		if s.lasting {
			loss := fmt.Sprintf("From then on the key %s. Only a reset, which destroys every credential on it, takes that back.", words)
			if err := e.confirm(ctx, loss, "Switch "+s.name+" on?"); err != nil {
				return nil, err
			}
		}
		if err := s.set(ctx, key.Key, on); err != nil {
			return nil, err
		}
		return done{fmt.Sprintf("%s is %s: the key %s.", s.name, onOff(&on), words)}, nil
	})
}

// newConfigToggleCmd is ykman's way to switch alwaysUv.
func newConfigToggleCmd(e *env) *cobra.Command {
	var source pinSource
	cmd := &cobra.Command{
		Use:     "toggle-always-uv",
		Hidden:  true,
		Short:   "Switch always-uv over, as ykman does",
		Long:    "Switch always-uv over, as ykman does. In scripts 'fidokey config always-uv on' and\n'off' are better: they say what is wanted.",
		Example: "  fidokey config toggle-always-uv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.switchSetting(cmd.Context(), &source, settings[0], func(now bool) bool { return !now })
		},
	}
	source.addFlags(cmd, "pin", "the PIN")
	addChangeFlags(e, cmd, false)
	return answersAs(cmd, "config always-uv")
}

// newConfigEnableEPCmd is ykman's way to switch enterprise attestation on.
func newConfigEnableEPCmd(e *env) *cobra.Command {
	var source pinSource
	cmd := &cobra.Command{
		Use:     "enable-ep-attestation",
		Hidden:  true,
		Short:   "Switch enterprise attestation on, as ykman does",
		Long:    settings[1].explained + "\n\nThis is 'fidokey config enterprise-attestation on' in the words of ykman.",
		Example: "  fidokey config enable-ep-attestation",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.switchSetting(cmd.Context(), &source, settings[1], func(bool) bool { return true })
		},
	}
	source.addFlags(cmd, "pin", "the PIN")
	addChangeFlags(e, cmd, true)
	return answersAs(cmd, "config enterprise-attestation")
}
