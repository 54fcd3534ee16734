package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
)

// jwksCommand writes the keys by which upstreams verify who called.
func jwksCommand() *cobra.Command {
	return &cobra.Command{
		Use: "jwks", Short: "Write the public keys by which upstreams verify Pavise-Identity tokens", Args: cobra.NoArgs,
		Long: `Write the public keys by which upstreams verify Pavise-Identity tokens, as a
JWK Set (RFC 7517). They are public: give the file to every upstream.`,
		Example: "  pavise jwks > pavise-keys.json",
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				keys, err := a.PublicKeys(ctx)
				if err != nil {
					return err
				}
				return writeJSON(command.OutOrStdout(), keys.Identity)
			})
		},
	}
}

// logKey writes what a third party needs to verify the log.
func logKey() *cobra.Command {
	var chain bool
	command := &cobra.Command{
		Use: "key", Short: "Write the key by which others verify the log's checkpoints", Args: cobra.NoArgs,
		Long: `Write the public key of the log's checkpoints (PEM, Ed25519), for whoever verifies
copies of the log elsewhere. With --chain, write the secret key of the log's chain
in hexadecimal instead: whoever has it can verify every record, and make records up,
but no checkpoints. That it was written out leaves an event.`,
		Example: "  pavise log key > checkpoints.pub",
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				text, err := logKeyText(ctx, a, chain)
				if err == nil {
					_, err = fmt.Fprintln(command.OutOrStdout(), text)
				}
				return err
			})
		},
	}
	command.Flags().BoolVar(&chain, "chain", false, "the secret key of the chain")
	return command
}

func logKeyText(ctx context.Context, a *admin.Client, chain bool) (string, error) {
	if chain {
		key, err := a.ChainKey(ctx)
		return key.Chain, err
	}
	keys, err := a.PublicKeys(ctx)
	return strings.TrimSpace(keys.Checkpoints), err
}
