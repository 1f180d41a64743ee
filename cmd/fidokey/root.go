package main

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
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

// commandGroups are the commands of the first level, as the help shows them.
func commandGroups() []commandGroup {
	return []commandGroup{
		{"Which key, and what it is:", []lazyCommand{
			{"list", newListCmd}, {"info", newInfoCmd}, {"select", newSelectCmd}, {"wink", newWinkCmd},
			{"doctor", newDoctorCmd}, {"metadata", newMetadataCmd},
		}},
		{"Set it up:", []lazyCommand{
			{"pin", newPINCmd}, {"fingerprints", newFingerprintsCmd}, {"config", newConfigCmd},
			{"reset", newResetCmd}, {"access", newAccessCmd},
		}},
		{"What is on it:", []lazyCommand{{"credentials", newCredentialsCmd}, {"blobs", newBlobsCmd}}},
		{"Use it:", []lazyCommand{
			{"register", newRegisterCmd}, {"authenticate", newAuthenticateCmd}, {"verify", newVerifyCmd},
			{"rp", newRPCmd}, {"secret", newSecretCmd}, {"u2f", newU2FCmd},
		}},
		{"Microsoft Entra ID:", []lazyCommand{{"entra", newEntraCmd}}},
		{"Look inside, and test:", []lazyCommand{
			{"raw", newRawCmd}, {"trace", newTraceCmd}, {"conformance", newConformanceCmd},
			{"simulator", newSimulatorCmd}, {"hil", newHILCmd}, {"ci", newCICmd},
		}},
	}
}

type commandGroup struct {
	title    string
	commands []lazyCommand
}

// A lazyCommand is made, with those below it, when it is called or shown.
type lazyCommand struct {
	name string
	make func(*env) *cobra.Command
}

// newRootCmd returns the program's command with all that it has.
func newRootCmd(e *env) *cobra.Command { return newRootCmdFor(e, nil) }

// newRootCmdFor is newRootCmd for one command line. If that begins with a command it is
// the only one: to make all takes longer than most of them run.
func newRootCmdFor(e *env, args []string) *cobra.Command {
	root := newBareRootCmd(e)
	called := func(c lazyCommand) bool { return len(args) > 0 && c.name == args[0] }
	groups := commandGroups()
	for _, group := range groups {
		if i := slices.IndexFunc(group.commands, called); i >= 0 {
			root.AddCommand(group.commands[i].make(e))
			root.CompletionOptions.DisableDefaultCmd = true
			finish(e, root)
			return root
		}
	}
	for _, group := range groups {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, command := range group.commands {
			cmd := command.make(e)
			cmd.GroupID = group.title
			root.AddCommand(cmd)
		}
	}
	root.AddCommand(newManCmd(e), newVersionCmd(e))
	addCompletion(e, root)
	finish(e, root)
	return root
}

// newBareRootCmd returns the program's command without those below it.
func newBareRootCmd(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "fidokey",
		Short: "Inspect, set up and try FIDO2 security keys, or be one in software",
		Long: `fidokey inspects, sets up and tries FIDO2 security keys, and is one in software.

Results go to standard output, everything else to standard error, and questions
to the terminal. A PIN is never taken from the command line itself.

` + exitCodesHelp,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
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
	flags.StringVarP(&g.device, "device", "d", "", "the key: 'simulator', a path, an index from 'fidokey list', a serial number, an AAGUID, part of a model's name, pcsc:READER for a smart-card reader by a part of its name, bench:NAME for a key on a bench (see 'fidokey hil'), or a software key at unix:PATH, tcp:HOST:PORT or udp:HOST:PORT")
	flags.DurationVar(&g.timeout, "timeout", client.DefaultTimeout, "the longest that one command may take on the key, a touch included")
	flags.BoolVar(&g.spendLastTries, "spend-last-tries", false, "try a PIN even if one or two tries are left; after the last only a reset helps")
	flags.BoolVar(&g.json, "json", false, "print the answer as JSON")
	flags.StringVar(&g.events, "events", "", "jsonl: write what happens meanwhile to standard error as lines of JSON")
	flags.StringVar(&g.trace, "trace", "", "write every exchange with the key, without secrets, to a new file: see 'fidokey trace'")
	flags.StringVar(&g.backend, "hid-backend", "", "how to reach HID devices: hidraw or libusb on Linux, win32 or hidapi on Windows, hidapi elsewhere (default: the system's)")
	flags.StringVar(&g.simulatorProfile, "simulator-profile", "default", "the key that '--device simulator' plays: "+profileHelp)
	flags.StringVar(&g.simulatorState, "simulator-state", "", "the state of '--device simulator': a file, or ':memory:' (default: $FIDOKEY_SIMULATOR_STATE, else a file in your state folder)")
	flags.StringVar(&g.simulatorTouch, "simulator-touch", "auto", "how '--device simulator' is touched: "+touchHelp)
	return root
}

// finish gives the help to a command that has others and does nothing itself. And
// it makes every command note that it runs: an error before that is one of the
// command line.
func finish(e *env, cmd *cobra.Command) {
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args, cmd.RunE = noSuchCommand, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			e.started = true
			return run(cmd, args)
		}
	}
	for _, child := range cmd.Commands() {
		finish(e, child)
	}
}

// noSuchCommand refuses what is no command, and names those that are much like it.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // letters that are wrong
	words := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if alike := cmd.SuggestionsFor(args[0]); len(alike) > 0 {
		words += "; is it " + strings.Join(alike, ", ") + "?"
	}
	return errors.New(words)
}

// versionReport is the answer of "version": what this program was built from, and by
// what. Members that a build does not know are empty.
type versionReport struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"`     // of the commit
	Modified bool   `json:"modified,omitempty"` // more than the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (v versionReport) print(w *printer) {
	w.printf("fidokey %s", v.Version)
	if v.Commit != "" {
		w.printf("commit %s of %s", v.Commit, v.Date)
	}
	w.printf("%s, %s", v.Go, v.Platform)
}

func newVersionCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program, its commit and its system",
		Example: "  fidokey version",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return e.say(nil, newVersionReport()) },
	}
}

func newVersionReport() versionReport {
	return versionReport{
		Version: version(), Commit: buildSetting("vcs.revision"), Date: buildSetting("vcs.time"), Modified: buildSetting("vcs.modified") == "true",
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// version is the module's version, which the go command takes from a tag or makes of
// the commit.
func version() string {
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" && build.Main.Version != "(devel)" {
		return strings.TrimPrefix(build.Main.Version, "v")
	}
	if commit := buildSetting("vcs.revision"); commit != "" {
		return "development, commit " + commit[:min(12, len(commit))]
	}
	return "development"
}

// buildSetting returns a setting of the build, "" if it has none of the name.
func buildSetting(name string) string {
	build, _ := debug.ReadBuildInfo()
	if build == nil {
		return ""
	}
	for _, s := range build.Settings {
		if s.Key == name {
			return s.Value
		}
	}
	return ""
}
