package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// addCompletion adds "completion bash|zsh|fish|powershell", and what the shell
// offers for the global flags. No key is opened for that.
func addCompletion(e *env, root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Example = `  source <(fidokey completion bash)
  fidokey completion zsh > "${fpath[1]}/_fidokey"
  fidokey completion fish | source
  fidokey completion powershell | Out-String | Invoke-Expression`
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			for _, shell := range cmd.Commands() {
				if strings.Contains(line, " completion "+shell.Name()) {
					shell.Example = line
				}
			}
		}
	}
	offer := func(flag string, values ...string) {
		root.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	offer("events", "jsonl")
	offer("hid-backend", "hidraw", "libusb", "hidapi")
	offer("simulator-touch", "auto", "never", "decline", "long")
	offer("timeout")
	root.RegisterFlagCompletionFunc("device", e.completeDevice)
}

// completeDevice offers the keys that are plugged in by path and, if they have
// one, serial number.
func (e *env) completeDevice(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	e.global.device = "" // half a name
	places, _ := e.places(cmd.Context())
	offers := []cobra.Completion{cobra.CompletionWithDesc(simulatorName, "the key in software")}
	for _, p := range places {
		offers = append(offers, cobra.CompletionWithDesc(p.device.Path, p.device.name()))
		if p.device.Serial != "" {
			offers = append(offers, cobra.CompletionWithDesc(p.device.Serial, p.device.name()))
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}
