package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// ciDefault is the file that "ci" reads without an argument.
const ciDefault = "fidokey-ci.yaml"

func newCICmd(e *env) *cobra.Command {
	var source pinSource
	var junit string
	var judge metadataFlags
	cmd := &cobra.Command{
		Use:   "ci [FILE]",
		Short: "Check a key against what a team expects of it, for a CI job",
		Long: `Check a key against what a team expects of it: model, firmware, options, extensions,
PIN, certification, registration and sign-in at some relying parties, and how long
things take. The expectations are in a file in YAML, by default ` + ciDefault + `;
docs/ci.md shows what it may have, docs/schema/expectations.json is its schema.

Nothing stays on the key: discoverable credentials are deleted again, with the PIN.
--device bench:NAME takes a key of a bench, which touches it.

Exit code 7 means that an expectation is not met. Each is a test in --junit FILE, and a
run that ended early, for the key was gone or refused the PIN, is an error in it.`,
		Example: `  fidokey ci --device bench:blue --junit fidokey.xml
  fidokey ci expectations.yaml --device simulator --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := ciDefault
			if len(args) == 1 {
				path = args[0]
			}
			want, err := loadExpectations(path)
			if err != nil {
				return err
			}
			known, err := judge.entries(e)
			if err != nil {
				return err
			}
			return e.onKey(cmd.Context(), e.prompt(&source, nil), func(ctx context.Context, key *openedKey) (report, error) {
				r := &ciReport{Checks: []ciCheck{}}
				ended := r.run(ctx, key, want, known)
				if junit != "" {
					if err := r.writeJUnit(junit, key.device.name(), ended); err != nil {
						return nil, errors.Join(ended, err)
					}
				}
				return r, cmp.Or(ended, r.failed())
			})
		},
	}
	cmd.Flags().StringVar(&junit, "junit", "", "write the results to this file, in the XML of JUnit")
	cmd.Flags().StringVar(&judge.source, "metadata", "", "the metadata BLOB to judge by: a file, or 'cache' for the stored one, which must be there then")
	cmd.Flags().StringVar(&judge.root, "metadata-root", "", "a file with the root certificates (PEM) of the BLOB in --metadata FILE, instead of the FIDO Alliance's")
	source.addFlags(cmd, "pin", "the PIN")
	return cmd
}

// loadExpectations reads the file.
func loadExpectations(path string) (*expectations, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{fmt.Errorf("%w; what is expected is in a file: see docs/ci.md", err)}
	}
	if err != nil {
		return nil, err
	}
	want, err := parseExpectations(path, text)
	if err != nil {
		return nil, usageError{err}
	}
	return want, nil
}

// ciReport is the answer of "ci".
type ciReport struct {
	Checks []ciCheck `json:"checks"`
}

// ciCheck is what came of one expectation.
type ciCheck struct {
	Check   string `json:"check"` // "aaguid", "option rk", "register example.com", ...
	Passed  bool   `json:"passed"`
	Wanted  string `json:"wanted"`
	Found   string `json:"found"`
	TookMS  int64  `json:"milliseconds,omitempty"`
	elapsed time.Duration
}

// add notes an expectation.
func (r *ciReport) add(check string, passed bool, wanted, found string) {
	r.Checks = append(r.Checks, ciCheck{Check: check, Passed: passed, Wanted: wanted, Found: cmp.Or(found, "nothing")})
}

// timed notes one that took time.
func (r *ciReport) timed(check string, passed bool, wanted, found string, took time.Duration) {
	r.add(check, passed, wanted, found)
	last := &r.Checks[len(r.Checks)-1]
	last.TookMS, last.elapsed = took.Milliseconds(), took
}

func (r *ciReport) print(w *printer) {
	var rows [][]string
	for _, c := range r.Checks {
		outcome := "ok"
		if !c.Passed {
			outcome = "FAIL"
		}
		rows = append(rows, []string{outcome, c.Check, c.Wanted, c.Found})
	}
	w.table([]string{"", "expectation", "wanted", "found"}, rows)
}

func (r *ciReport) failed() error {
	var names []string
	for _, c := range r.Checks {
		if !c.Passed {
			names = append(names, c.Check)
		}
	}
	if names == nil {
		return nil
	}
	return verifyError{fmt.Errorf("%d of %d expectations are not met: %s", len(names), len(r.Checks), strings.Join(names, ", "))}
}
