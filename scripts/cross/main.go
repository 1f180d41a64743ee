// Command cross checks that the project, with its tests, is right Go for systems other than
// this one: cross GOOS/GOARCH... It reads all packages from their source and checks their
// types, those of the standard library too, which takes a tenth of the time that it takes to
// compile them.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/packages"
)

// fewest is how many packages there are at least: no system has none.
const fewest = 40

func main() {
	failed := false
	for _, platform := range os.Args[1:] {
		fmt.Println(platform)
		if err := check(platform); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", platform, err)
			failed = true
		}
	}
	if failed || len(os.Args) == 1 {
		os.Exit(1)
	}
}

func check(platform string) error {
	system, architecture, _ := strings.Cut(platform, "/")
	all, err := packages.Load(&packages.Config{
		Dir:   "../..",
		Env:   append(os.Environ(), "GOOS="+system, "GOARCH="+architecture, "GOARM=7", "CGO_ENABLED=0", "GOFLAGS="),
		Mode:  packages.LoadAllSyntax,
		Tests: true,
	}, "./...")
	switch {
	case err != nil:
		return err
	case packages.PrintErrors(all) > 0:
		return fmt.Errorf("does not compile")
	case len(all) < fewest:
		return fmt.Errorf("there are %d packages only", len(all))
	}
	return nil
}
