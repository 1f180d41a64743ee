package main

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/webauthn"
)

func newEntraCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "entra",
		Short: "Microsoft Entra ID: which keys it accepts, and keys for its users",
		Long: `Microsoft Entra ID: which keys it accepts, and keys for its users.

'check' judges the key that is plugged in, or models without one, by the tenant's
passkey (FIDO2) policy, from the tenant or, without a network, from a file. 'register'
makes a passkey for a user, or for many; 'ledger' shows how far that has come. 'list' and
'unregister' show and delete what users have.
'inventory' lists the models that are in use, 'report' how far passkeys have come.
'policy' and 'strength' show and change which models the tenant takes.
'stand-in' is a tenant on this machine to try them on.`,
	}
	cmd.AddCommand(newEntraCheckCmd(e), newEntraDecodeCmd(e), newEntraRegisterCmd(e), newEntraLedgerCmd(e), newEntraListCmd(e), newEntraUnregisterCmd(e),
		newEntraInventoryCmd(e), newEntraReportCmd(e), newEntraPolicyCmd(e), newEntraStrengthCmd(e), newEntraStandInCmd(e))
	return cmd
}

func newEntraDecodeCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "decode TEXT",
		Short: "Read an identifier or a user handle that Entra has written",
		Long: `Read an identifier or a user handle that Entra has written: the ID of an
authentication method (fido2Methods), the key identifier of an audit log, an entry of
excludeCredentials, or the user handle of a passkey.

The ID of a method is that of the credential on the key, in base64url with the number
of padding characters appended as a digit. A text may have two readings; both are
shown. A user handle names its tenant, as far as is known.`,
		Example: `  fidokey entra decode 6z9ukjxztMwLkId4yMyR1OkcpWgir9M6fAtygsjuVGAAAAAAAAAAAAAAAAAAAAAA0
  fidokey entra decode 'AAECAwQFBgcICQoLDA0ODw=='`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(_ *cobra.Command, args []string) error { return runEntraDecode(e, args[0]) },
	}
}

func runEntraDecode(e *env, text string) error {
	readings, err := graph.DecodeExcluded(strings.TrimSpace(text))
	if err != nil {
		return usageError{fmt.Errorf("%q: %w", text, err)}
	}
	r := &entraDecodeReport{}
	for _, b := range readings {
		one := entraReading{Hex: hex.EncodeToString(b), Base64URL: b, MethodID: graph.EncodeMethodID(b), bytes: b}
		if h, ok := entra.ParseUserHandle(b); ok {
			one.UserHandle = &userHandleJSON{Tenant: h.Tenant, Personal: h.Personal, words: h.String()}
		}
		r.Readings = append(r.Readings, one)
	}
	return e.say(nil, r)
}

// entraDecodeReport is the answer of "entra decode".
type entraDecodeReport struct {
	Readings []entraReading `json:"readings"`
}

type entraReading struct {
	Hex        string             `json:"hex"`
	Base64URL  webauthn.Base64URL `json:"base64url"`
	MethodID   string             `json:"methodId"`
	UserHandle *userHandleJSON    `json:"userHandle,omitempty"`
	bytes      []byte
}

type userHandleJSON struct {
	Tenant   string `json:"tenant,omitempty"` // probably
	Personal bool   `json:"personal"`
	words    string
}

func (r *entraDecodeReport) print(w *printer) {
	for i, one := range r.Readings {
		if len(r.Readings) > 1 {
			if i > 0 {
				w.printf("")
			}
			w.printf("%s", []string{"As plain base64url:", "As the ID of a method, with a padding digit:"}[i])
		}
		w.line("Hexadecimal", "%s", one.Hex)
		w.line("Length", "%s", fmt.Sprintf("%d bytes", len(one.bytes)))
		w.line("base64url", "%v", one.Base64URL)
		w.line("Method ID", "%s", one.MethodID)
		if one.UserHandle != nil {
			w.line("User handle", "%s", one.UserHandle.words)
		}
	}
}
