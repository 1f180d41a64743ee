// Command fidokey inspects, sets up and tries security keys, and is one in
// software. See "fidokey help" and README.md.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/fidokey/fidokey/client"
)

func main() { os.Exit(run()) }

// run is main without os.Exit, for the command-line tests.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	return e.exit(newRootCmd(e).ExecuteContext(ctx))
}

// env is the world of one run of the program: its streams, and the flags that
// every command has.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	global         globalOptions
	started        bool   // the command line was understood
	command        string // as it was called: "pin set"
	live           live
	tokens         client.TokenStore // of --remember; nil: none

	// Flags of some commands.
	all, dryRun, yes bool
}
