package main

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
)

type globalOptions struct {
	device           string
	backend          string
	timeout          time.Duration
	simulatorProfile string
	simulatorState   string
	simulatorTouch   string
	json             bool
	spendLastTries   bool
	events           string
	trace            string
}

func newRootCmd(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "fidokey",
		Short: "Inspect, set up and try FIDO2 security keys, or be one in software",
		Long: `fidokey inspects, sets up and tries FIDO2 security keys, and is one in software.

Results go to standard output, everything else to standard error, and questions
to the terminal. A PIN is never taken from the command line itself.

` + exitCodesHelp,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			e.command = cmp.Or(cmd.Annotations[commandOf], strings.TrimPrefix(cmd.CommandPath(), "fidokey "))
			if e.global.events != "" && e.global.events != "jsonl" {
				return fmt.Errorf("--events %q: there is jsonl only", e.global.events)
			}
			if e.global.timeout <= 0 {
				return fmt.Errorf("--timeout %v is not more than 0", e.global.timeout)
			}
			return nil
		},
	}
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(flagError)
	g, flags := &e.global, root.PersistentFlags()
	flags.StringVarP(&g.device, "device", "d", "", "the key: 'simulator', a path, an index from 'fidokey list', a serial number, an AAGUID, part of a model's name, or a software key at unix:PATH, tcp:HOST:PORT or udp:HOST:PORT")
	flags.DurationVar(&g.timeout, "timeout", client.DefaultTimeout, "the longest that one command may take on the key, a touch included")
	flags.BoolVar(&g.spendLastTries, "spend-last-tries", false, "try a PIN even if one or two tries are left; after the last only a reset helps")
	flags.BoolVar(&g.json, "json", false, "print the answer as JSON")
	flags.StringVar(&g.events, "events", "", "jsonl: write what happens meanwhile to standard error as lines of JSON")
	flags.StringVar(&g.trace, "trace", "", "write every exchange with the key, without secrets, to a new file: see 'fidokey trace'")
	flags.StringVar(&g.backend, "hid-backend", "", "how to reach HID devices: hidraw or libusb on Linux, hidapi elsewhere (default: the system's)")
	flags.StringVar(&g.simulatorProfile, "simulator-profile", "default", "the key that '--device simulator' plays: "+profileHelp)
	flags.StringVar(&g.simulatorState, "simulator-state", "", "the state of '--device simulator': a file, or ':memory:' (default: $FIDOKEY_SIMULATOR_STATE, else a file in your state folder)")
	flags.StringVar(&g.simulatorTouch, "simulator-touch", "auto", "how '--device simulator' is touched: "+touchHelp)
	root.AddCommand(
		newListCmd(e), newInfoCmd(e), newPINCmd(e), newRegisterCmd(e), newAuthenticateCmd(e),
		newTraceCmd(e),
		newCredentialsCmd(e),
		newBlobsCmd(e), newSecretCmd(e),
		newVerifyCmd(e),
		newSimulatorCmd(e), newVersionCmd(e),
		newFingerprintsCmd(e), newConfigCmd(e), newAccessCmd(e), newResetCmd(e),
		newSelectCmd(e), newWinkCmd(e), newU2FCmd(e),
		newRawCmd(e), newManCmd(e), newDoctorCmd(e),
	)
	addCompletion(e, root)
	noteStart(e, root)
	return root
}

// noteStart makes every command note that it runs: an error before that is one of
// the command line.
func noteStart(e *env, cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			e.started = true
			return run(cmd, args)
		}
	}
	for _, child := range cmd.Commands() {
		noteStart(e, child)
	}
}

// versionReport is the answer of "version".
type versionReport struct {
	Version string `json:"version"`
}

func (v versionReport) print(w *printer) { w.printf("fidokey %s", v.Version) }

func newVersionCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: "  fidokey version",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return e.say(nil, versionReport{version()}) },
	}
}

// version is the module's version, or the commit that it was built from.
func version() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := build.Main.Version; v != "" && v != "(devel)" {
		return strings.TrimPrefix(v, "v")
	}
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" {
			return "development, commit " + s.Value[:min(12, len(s.Value))]
		}
	}
	return "development"
}
