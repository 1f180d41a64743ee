package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

func newSimulatorProfilesCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "profiles",
		Short:   "List the keys that the simulator can play",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return runSimulatorProfiles(e) },
		Example: "  fidokey simulator profiles",
	}
	return cmd
}

// profilesReport is the answer of "simulator profiles".
type profilesReport struct {
	Profiles []listedProfile `json:"profiles"`
}

type listedProfile struct {
	Name    string `json:"name"`
	Purpose string `json:"purpose"`
}

func (r profilesReport) print(w *printer) {
	var rows [][]string
	for _, p := range r.Profiles {
		rows = append(rows, []string{p.Name, p.Purpose})
	}
	w.table([]string{"name", "purpose"}, rows)
}

func runSimulatorProfiles(e *env) error {
	var r profilesReport
	for _, name := range simulator.ProfileNames() {
		p, err := simulator.LoadProfile(name)
		if err != nil {
			return err
		}
		r.Profiles = append(r.Profiles, listedProfile{p.Name, p.Purpose})
	}
	return e.say(nil, r)
}

func newSimulatorProfileCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profile",
		Short: "Show a key that the simulator can play",
	}
	cmd.AddCommand(newSimulatorProfileShowCmd(e), newSimulatorProfileFromMetadataCmd(e))
	return cmd
}

func newSimulatorProfileShowCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show NAME|FILE",
		Short:   "Print a profile in full, as a file to start from",
		Example: "  fidokey simulator profile show ctap-2.1 > own.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := simulator.LoadProfile(args[0])
			if err != nil {
				return usageError{err}
			}
			return e.say(nil, profileReport{p})
		},
	}
	return cmd
}

// profileReport is a whole profile: in YAML for people, who may have it read again.
type profileReport struct{ *simulator.Profile }

func (r profileReport) print(w *printer) {
	text, err := r.YAML()
	if err != nil {
		w.err = err
		return
	}
	w.Write(text)
}

func newSimulatorProfileFromMetadataCmd(e *env) *cobra.Command {
	var aaguid string
	cmd := &cobra.Command{
		Use:   "from-metadata [FILE]",
		Short: "Make a profile of a model from its FIDO metadata statement",
		Long: `Make a profile of a model from its FIDO metadata statement, and print it. The file
is a metadata BLOB, from which --aaguid chooses, or one statement in JSON; without a
file it is what 'fidokey metadata update' has stored. What the simulator does not
have is left out, and told of on standard error.

The signature of a BLOB in a file is not checked: the profile is for trying things,
and proves nothing about the model.`,
		Example: `  fidokey simulator profile from-metadata --aaguid f1d0ce1f-5e1f-4b1d-8a2c-6b0d1e9a7c35 > model.yaml
  fidokey simulator profile from-metadata blob.jwt --aaguid f1d0ce1f-5e1f-4b1d-8a2c-6b0d1e9a7c35 > model.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return runSimulatorProfileFromMetadata(e, args, aaguid)
		},
	}
	cmd.Flags().StringVar(&aaguid, "aaguid", "", "the model, by its AAGUID")
	return cmd
}

func runSimulatorProfileFromMetadata(e *env, files []string, model string) error {
	var aaguid ctap2.AAGUID
	if model != "" {
		var err error
		if aaguid, err = ctap2.ParseAAGUID(model); err != nil {
			return usageError{err}
		}
	}
	var data []byte
	var err error
	switch {
	case len(files) > 0:
		data, err = os.ReadFile(files[0])
	case model == "":
		return usageError{errors.New("which model? give FILE or --aaguid")}
	default:
		data, err = storedStatement(aaguid)
	}
	if err != nil {
		return err
	}
	p, notes, err := simulator.ProfileFromMetadata(data, aaguid)
	if err != nil {
		return err
	}
	for _, note := range notes {
		e.note("left out: %q", note)
	}
	return e.say(nil, profileReport{p})
}

// storedStatement returns the statement of a model in the stored BLOB.
func storedStatement(aaguid ctap2.AAGUID) ([]byte, error) {
	x, err := openMetadata()
	if err != nil {
		return nil, err
	}
	defer x.Close()
	entry, err := x.Entry(aaguid.String())
	if err != nil {
		return nil, err
	}
	if entry == nil {
		return nil, fmt.Errorf("%w: the stored metadata has no %v", errNoModel, aaguid)
	}
	return entry.StatementJSON(), nil
}
