package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

func newSimulatorProfilesCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profiles",
		Short: "List the keys that the simulator can play",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return runSimulatorProfiles(e) },
	}
	return cmd
}

func runSimulatorProfiles(e *env) error {
	type entry struct {
		Name    string `json:"name"`
		Purpose string `json:"purpose"`
	}
	var list []entry
	for _, name := range simulator.ProfileNames() {
		p, err := simulator.LoadProfile(name)
		if err != nil {
			return err
		}
		list = append(list, entry{p.Name, p.Purpose})
	}
	if e.global.json {
		return json.NewEncoder(e.stdout).Encode(list)
	}
	table := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, p := range list {
		fmt.Fprintf(table, "%s\t%s\n", p.Name, p.Purpose)
	}
	return table.Flush()
}

func newSimulatorProfileCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profile",
		Short: "Show a key that the simulator can play",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSimulatorProfileShowCmd(e), newSimulatorProfileFromMetadataCmd(e))
	return cmd
}

func newSimulatorProfileShowCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME|FILE",
		Short: "Print a profile in full, as a file to start from",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := simulator.LoadProfile(args[0])
			if err != nil {
				return usageError{err}
			}
			return printProfile(e, p)
		},
	}
	return cmd
}

// printProfile writes what LoadProfile reads.
func printProfile(e *env, p *simulator.Profile) error {
	if e.global.json {
		return json.NewEncoder(e.stdout).Encode(p)
	}
	text, err := p.YAML()
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(text)
	return err
}

func newSimulatorProfileFromMetadataCmd(e *env) *cobra.Command {
	var aaguid string
	cmd := &cobra.Command{
		Use:   "from-metadata FILE",
		Short: "Make a profile of a model from its FIDO metadata statement",
		Long: `Make a profile of a model from its FIDO metadata statement, and print it. The file
is a metadata BLOB, from which --aaguid chooses, or one statement in JSON. What the
simulator does not have is left out, and told of on standard error.

The signature of a BLOB is not checked: the profile is for trying things, and
proves nothing about the model.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return runSimulatorProfileFromMetadata(e, args[0], aaguid)
		},
	}
	cmd.Flags().StringVar(&aaguid, "aaguid", "", "the model, by its AAGUID")
	return cmd
}

func runSimulatorProfileFromMetadata(e *env, file, model string) error {
	var aaguid ctap2.AAGUID
	if model != "" {
		var err error
		if aaguid, err = ctap2.ParseAAGUID(model); err != nil {
			return usageError{err}
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	p, notes, err := simulator.ProfileFromMetadata(data, aaguid)
	if err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintf(e.stderr, "left out: %q\n", note)
	}
	return printProfile(e, p)
}
