package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
)

func newWinkCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "wink",
		Short:   "Have a key blink for a moment, to see which one it is",
		Long:    "Have a key blink for a moment, to see which one it is. Not every key can.",
		Example: "  fidokey wink --device 2",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.onKeys(cmd.Context(), client.Prompt{}, func(ctx context.Context, key *openedKey) (report, error) {
				if err := key.Wink(ctx); err != nil {
					return nil, err
				}
				return done{"The key blinks."}, nil
			})
		},
	}
	addAllFlag(e, cmd)
	return cmd
}
