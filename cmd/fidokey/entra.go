package main

import "github.com/spf13/cobra"

func newEntraCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "entra",
		Short: "Microsoft Entra ID: register keys for users",
		Long:  "Microsoft Entra ID: register keys for users, see and delete what they have.",
	}
	cmd.AddCommand(newEntraRegisterCmd(e), newEntraListCmd(e), newEntraUnregisterCmd(e), newEntraStandInCmd(e))
	return cmd
}
