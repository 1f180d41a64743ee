package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

func newInfoCmd(e *env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Show what a key is and what it can do",
		Long: `Show what a key is and what it can do: model, AAGUID, firmware, versions,
extensions, options, algorithms, PIN, limits and transports.

The result of --json has the member names of authenticatorGetInfo in FIDO metadata
statements, and name and pinRetries besides. Byte strings are hexadecimal. Members
that are not known to this version are under "unknown", by their number.

--format fido2-token prints the lines of libfido2's 'fido2-token -I' instead, for
scripts that search them.`,
		Example: `  fidokey info
  fidokey info --all --json
  fidokey info --format fido2-token | grep '^pin retries: '`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runInfo(cmd.Context(), e, format) },
	}
	cmd.Flags().StringVar(&format, "format", "", "fido2-token: the lines of 'fido2-token -I'")
	cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{formatFido2Token}, cobra.ShellCompDirectiveNoFileComp))
	addAllFlag(e, cmd)
	return cmd
}

// infoReport is the answer of "info". It costs two exchanges: getInfo, and the
// retries of a PIN that is set.
type infoReport struct {
	Name string `json:"name"`
	*ctap2.GetInfoResponse
	PINRetries *uint          `json:"pinRetries,omitempty"`
	Unknown    map[string]any `json:"unknown,omitempty"`

	device deviceInfo
	state  client.PINState
}

func runInfo(ctx context.Context, e *env, format string) error {
	switch {
	case format == formatFido2Token && e.global.json:
		return usageError{errors.New("--json and --format exclude each other")}
	case format == formatFido2Token:
		return e.onKeys(ctx, client.Prompt{}, e.fido2Token)
	case format != "":
		return usageError{fmt.Errorf("--format %q: there is %s only", format, formatFido2Token)}
	}
	return e.onKeys(ctx, client.Prompt{}, e.info)
}

func (e *env) info(ctx context.Context, key *openedKey) (report, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	state, err := key.PINState(ctx)
	if err != nil {
		// Some keys refuse or hang here; the rest is still worth showing.
		e.note("fidokey: the PIN's state is unknown: %v", err)
	}
	return newInfoReport(key.device, info, state), nil
}

func newInfoReport(device deviceInfo, info *ctap2.GetInfoResponse, state client.PINState) *infoReport {
	r := &infoReport{Name: modelName(info.AAGUID), GetInfoResponse: info, device: device, state: state}
	if state.Retries != nil {
		r.PINRetries = &state.Retries.Left
	}
	for n, raw := range info.Unknown {
		if r.Unknown == nil {
			r.Unknown = map[string]any{}
		}
		r.Unknown[fmt.Sprint(n)] = jsonValue(raw)
	}
	return r
}

func (r *infoReport) print(w *printer) {
	info, state := r.GetInfoResponse, r.state
	number := func(name string, n *uint, unit string) {
		if n != nil {
			w.line(name, "%d %s", *n, unit)
		}
	}
	list := func(name string, items []string) {
		if len(items) > 0 {
			w.line(name, "%s", strings.Join(items, ", "))
		}
	}
	w.line("Model", "%s", r.Name)
	w.line("AAGUID", "%v", info.AAGUID)
	w.line("Device", "%s", strings.TrimSpace(r.device.Path+"  "+r.device.name()))
	if r.device.State != "" {
		w.line("State", "%s", r.device.State)
	}
	if r.device.Serial != "" {
		w.line("Serial number", "%s", r.device.Serial)
	}
	if info.FirmwareVersion != nil {
		w.line("Firmware", "%s (%d)", info.Firmware(), *info.FirmwareVersion)
	}
	w.line("Versions", "%s", strings.Join(info.Versions, ", "))
	list("Extensions", info.Extensions)
	var algorithms []string
	for _, a := range info.Algorithms {
		algorithms = append(algorithms, a.Algorithm.String())
	}
	list("Algorithms", algorithms)
	list("Transports", info.Transports)
	list("Attestation formats", info.AttestationFormats)
	for _, name := range slices.Sorted(maps.Keys(info.Certifications)) {
		w.line("Certification", "%s level %d", name, info.Certifications[name])
	}
	if state.Retries != nil || !state.Set {
		w.line("PIN", "%s", pinState(state))
	}
	if state.Supported {
		w.line("PIN length", "%s", pinLength(info))
		if len(info.PINUVAuthProtocols) > 0 {
			protocols := strings.Trim(fmt.Sprint(info.PINUVAuthProtocols), "[]")
			w.line("PIN protocols", "%s", strings.ReplaceAll(protocols, " ", ", "))
		}
	}
	if info.ForcePINChange != nil && *info.ForcePINChange {
		w.line("PIN change", "the key demands a new PIN")
	}
	if len(info.PINComplexityPolicyURL) > 0 {
		w.line("PIN rules", "%s", info.PINComplexityPolicyURL)
	}
	w.line("Longest message", "%d bytes", info.MessageSize())
	number("Longest credential ID", info.MaxCredentialIDLength, "bytes")
	number("Credentials in a list", info.MaxCredentialCountInList, "at most")
	number("Discoverable credentials", info.RemainingDiscoverableCredentials, "more fit")
	number("Large blobs", info.MaxSerializedLargeBlobArray, "bytes")
	number("Credential blob", info.MaxCredBlobLength, "bytes")
	for i, text := range optionsInWords(info) {
		w.item("Options", text, i == 0)
	}
	for _, n := range info.UnknownNumbers() {
		w.line("Unknown member", "%#x = %v", n, jsonValue(info.Unknown[n]))
	}
}

func pinLength(info *ctap2.GetInfoResponse) string {
	s := fmt.Sprintf("%d or more characters", info.MinPINCodePoints())
	if info.MaxPINLength != nil {
		s = fmt.Sprintf("%d to %d characters", info.MinPINCodePoints(), *info.MaxPINLength)
	}
	return fmt.Sprintf("%s, at most %d bytes", s, ctap2.MaxPINBytes)
}

// optionWords says what an option means when true and when false (CTAP 2.1,
// section 6.4.1), in the order in which they are shown.
var optionWords = []struct{ id, yes, no string }{
	{ctap2.OptionPlat, "is built into this computer", "can be taken from computer to computer"},
	{ctap2.OptionRK, "stores discoverable credentials (passkeys)", "stores no discoverable credentials"},
	{ctap2.OptionUP, "can ask for a touch", "cannot ask for a touch"},
	{ctap2.OptionClientPIN, "PIN is set", "PIN is supported, but not set"},
	{ctap2.OptionUV, "verifies the user itself (fingerprint or the like), set up", "can verify the user itself, not set up"},
	{ctap2.OptionAlwaysUV, "always verifies the user", "can be told to always verify the user"},
	{ctap2.OptionMakeCredUVNotRqd, "makes non-discoverable credentials without user verification", "verifies the user for every new credential"},
	{ctap2.OptionPINUVAuthToken, "gives tokens with permissions", "gives no tokens with permissions"},
	{ctap2.OptionNoMcGaWithPIN, "PIN cannot be used to register or sign in", "PIN can be used to register and sign in"},
	{ctap2.OptionCredMgmt, "lists and deletes its credentials", "does not list its credentials"},
	{ctap2.OptionCredMgmtPreview, "lists and deletes its credentials (preview command)", "does not list its credentials (preview command)"},
	{ctap2.OptionPerCredMgmtRO, "gives lasting read-only access to its list of credentials", "gives no lasting read-only access to its list"},
	{ctap2.OptionBioEnroll, "has fingerprints enrolled", "takes fingerprints, none enrolled"},
	{ctap2.OptionUVMgmtPreview, "has fingerprints enrolled (preview command)", "takes fingerprints, none enrolled (preview command)"},
	{ctap2.OptionUVBioEnroll, "enrols more fingers after user verification by itself", "enrols fingers after the PIN only"},
	{ctap2.OptionLargeBlobs, "stores large blobs", "stores no large blobs"},
	{ctap2.OptionEP, "enterprise attestation is on", "enterprise attestation is off, can be turned on"},
	{ctap2.OptionAuthnrCfg, "can be configured", "cannot be configured"},
	{ctap2.OptionUVAcfg, "can be configured after user verification by itself", "can be configured after the PIN only"},
	{ctap2.OptionSetMinPINLength, "minimum PIN length can be raised", "minimum PIN length is fixed"},
}

// optionsInWords returns a line for each option that the key lists, the unknown
// ones last.
func optionsInWords(info *ctap2.GetInfoResponse) []string {
	left := maps.Clone(info.Options)
	var lines []string
	for _, o := range optionWords {
		value, present := left[o.id]
		if !present {
			continue
		}
		delete(left, o.id)
		words := o.no
		if value {
			words = o.yes
		}
		lines = append(lines, fmt.Sprintf("%s (%s=%t)", words, o.id, value))
	}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		lines = append(lines, fmt.Sprintf("%s=%t", id, left[id]))
	}
	return lines
}

// jsonValue turns a CBOR item into what JSON can show: byte strings become
// hexadecimal, map keys become text.
func jsonValue(raw cbor.RawMessage) any {
	var v any
	if err := ctapcbor.Unmarshal(raw, &v); err != nil {
		return hex.EncodeToString(raw)
	}
	return jsonable(v)
}

func jsonable(v any) any {
	switch v := v.(type) {
	case []byte:
		return hex.EncodeToString(v)
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = jsonable(item)
		}
		return list
	case map[any]any:
		m := make(map[string]any, len(v))
		for key, item := range v {
			m[fmt.Sprint(jsonable(key))] = jsonable(item)
		}
		return m
	case cbor.ByteString:
		return hex.EncodeToString([]byte(v))
	}
	return v
}
