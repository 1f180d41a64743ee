// Attestation roots of some models have a negative serial number, which crypto/x509
// does not take otherwise.
//
//go:debug x509negativeserial=1

// Command fidokey inspects, sets up and tries security keys, and is one in
// software. See "fidokey help" and README.md.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	_ "github.com/fidokey/fidokey/internal/smallpages"
)

func main() { os.Exit(run()) }

// run is main without os.Exit, for the command-line tests.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, platform: openPlatform, keysKept: keysAreKept()}
	return e.exit(execute(ctx, e, newRootCmdFor(e, os.Args[1:])))
}

// execute runs the command that is called, and notes how it should be.
func execute(ctx context.Context, e *env, root *cobra.Command) error {
	called, err := root.ExecuteContextC(ctx)
	if !e.started && e.usage == "" { // else it is that of a command within this one
		e.usage = usageOf(called)
	}
	return err
}

// usageOf says how a command is called, to whoever called it otherwise.
func usageOf(cmd *cobra.Command) string {
	if cmd.HasSubCommands() && cmd.Use == cmd.Name() {
		return fmt.Sprintf("'%s --help' lists the commands.", cmd.CommandPath())
	}
	return fmt.Sprintf("Usage: %s\n'%s --help' says more.", cmd.UseLine(), cmd.CommandPath())
}

// env is the world of one run of the program: its streams, and the flags that
// every command has.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	global         globalOptions
	started        bool   // the command line was understood
	command        string // as it was called: "pin set"
	usage          string // how it should have been
	live           live
	jsonLines      bool              // each answer is on a line of its own
	pinGiven       bool              // by a flag: then nobody is asked for a finger
	tokens         client.TokenStore // of --remember; nil: none

	platform func() (platform, error) // the system's own WebAuthn
	keysKept bool                     // by the system: only its own WebAuthn reaches keys

	// Flags of some commands.
	all, dryRun, yes bool
}
