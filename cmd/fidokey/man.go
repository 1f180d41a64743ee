package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/metadata"
)

func newManCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages into a folder",
		Long: `Write a manual page for each command into a folder, which is made if it is not
there. The same build writes the same pages; $SOURCE_DATE_EPOCH sets their date.`,
		Example: `  fidokey man man1 && man ./man1/fidokey-pin-set.1
  sudo fidokey man /usr/local/share/man/man1`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runMan(e, cmd.Root(), args[0]) },
	}
}

// manReport is the answer of "man".
type manReport struct {
	Folder string   `json:"folder"`
	Pages  []string `json:"pages"` // file names
}

func (r manReport) print(w *printer) {
	w.printf("%d manual pages are in %s.", len(r.Pages), r.Folder)
}

func runMan(e *env, root *cobra.Command, folder string) error {
	date := builtAt()
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return usageError{fmt.Errorf("SOURCE_DATE_EPOCH %q: must be seconds since 1970", epoch)}
		}
		date = time.Unix(seconds, 0).UTC()
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	report := manReport{Folder: folder}
	for cmd := range withPages(root) {
		name := pageName(cmd) + ".1"
		if err := os.WriteFile(filepath.Join(folder, name), manPage(cmd, date), 0o644); err != nil {
			return err
		}
		report.Pages = append(report.Pages, name)
	}
	slices.Sort(report.Pages)
	return e.say(nil, report)
}

// builtAt is when the commit was made that the program was built from, or the day
// of what is embedded: the program is not older than that.
func builtAt() time.Time {
	if t, err := time.Parse(time.RFC3339, buildSetting("vcs.time")); err == nil {
		return t.UTC()
	}
	return metadata.Date()
}
