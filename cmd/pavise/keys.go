package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
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
	var chain, note bool
	command := &cobra.Command{
		Use: "key", Short: "Write the key by which others verify the log's checkpoints", Args: cobra.NoArgs,
		Long: `Write the public key of the log's checkpoints (PEM, Ed25519), for whoever verifies
copies of the log elsewhere. With --note, write it as one line, as 'pavise log verify FILE' and
tools for signed notes (c2sp.org/signed-note) want it. With --chain, write the secret key of the log's chain
in hexadecimal instead: whoever has it can verify every record, and make records up,
but no checkpoints. That it was written out leaves an event.`,
		Example: "  pavise log key > checkpoints.pub",
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				text, err := logKeyText(ctx, a, chain, note)
				if err == nil {
					_, err = fmt.Fprintln(command.OutOrStdout(), text)
				}
				return err
			})
		},
	}
	command.Flags().BoolVar(&chain, "chain", false, "the secret key of the chain")
	command.Flags().BoolVar(&note, "note", false, "for signed notes: name+hash+key")
	command.MarkFlagsMutuallyExclusive("chain", "note")
	return command
}

func logKeyText(ctx context.Context, a *admin.Client, chain, note bool) (string, error) {
	if note {
		n, err := a.Checkpoint(ctx)
		return n.Key, err
	}
	if chain {
		key, err := a.ChainKey(ctx)
		return key.Chain, err
	}
	keys, err := a.PublicKeys(ctx)
	return strings.TrimSpace(keys.Checkpoints), err
}

// signingKeyCommand is about the keys of the authorization server. They are no credentials
// of clients: those are `pavise key`.
func signingKeyCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "signing-key", Aliases: []string{"signing-keys"}, Short: "The keys that sign the authorization server's tokens: list, rotate",
	}
	command.AddCommand(signingKeyList(), signingKeyRotate())
	return command
}

func signingKeyList() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "list", Short: "List the keys: next, current, previous", Args: cobra.NoArgs,
		Long: `List the keys of the authorization server. The next key is published and signs nothing
yet; the current one signs; previous ones verify what they signed, until all of it has
ended. They rotate by themselves, as oauth.rotate_keys says.`,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				list, err := a.SigningKeys(ctx)
				if err != nil {
					return err
				}
				return showSigningKeys(command, list, asJSON)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func showSigningKeys(command *cobra.Command, list []admin.SigningKey, asJSON bool) error {
	if asJSON {
		return writeJSON(command.OutOrStdout(), list)
	}
	rows := make([][]string, 0, len(list))
	for _, k := range list {
		rows = append(rows, []string{k.State, k.ID, k.Algorithm, shortTime(k.Created), shortTime(k.Since), shortTime(k.Until)})
	}
	return table(command.OutOrStdout(), []string{"STATE", "KID", "ALGORITHM", "CREATED", "SIGNS SINCE", "UNTIL"}, rows)
}

func signingKeyRotate() *cobra.Command {
	var n admin.RotateSigning
	var yes, asJSON bool
	command := &cobra.Command{
		Use: "rotate", Short: "Let the next key sign at once; with --now, refuse what the old ones signed", Args: cobra.NoArgs,
		Long: `Let the next key sign at once, instead of when its time has come. Tokens that the old
key signed stay good until they end.

With --now the old keys are taken for compromised: they are removed at once, and every
access token and ID token that they signed is refused here from that moment. Clients have
to ask for new tokens; refresh tokens and sessions stay, so that people need not sign in
again. Programs elsewhere that keep a copy of the key set believe the old keys until they
read it again.`,
		Example: `  pavise signing-key rotate
  pavise signing-key rotate --now --reason "backup was stolen"`,
		RunE: func(command *cobra.Command, _ []string) error {
			if n.Compromised && !yes {
				if err := confirm(command, "Every access token and ID token that was signed until now is refused from this moment on.\nClients have to ask for new ones; refresh tokens and sessions stay. Go on?"); err != nil {
					return err
				}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				list, err := a.RotateSigning(ctx, n)
				if err != nil {
					return err
				}
				return showSigningKeys(command, list, asJSON)
			})
		},
	}
	flags := command.Flags()
	flags.BoolVar(&n.Compromised, "now", false, "the old keys are compromised: remove them, and refuse all that they signed")
	flags.BoolVarP(&yes, "yes", "y", false, "do not ask")
	flags.StringVar(&n.Reason, "reason", "", "why, for the log")
	jsonFlag(command, &asJSON)
	return command
}

// confirm asks a person who is there; where nobody is, nothing is done.
func confirm(command *cobra.Command, question string) error {
	in := command.InOrStdin()
	unasked := &usageError{strings.ReplaceAll(question, "\n", " ") + " Nobody is here to ask, and nothing was done.", "if it is meant, add --yes"}
	if file, ok := in.(*os.File); !ok || !isPerson(file) {
		return unasked
	}
	if _, err := fmt.Fprintf(command.ErrOrStderr(), "%s [y/N] ", question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(io.LimitReader(in, 64)).ReadString('\n')
	if err != nil && answer == "" {
		return unasked
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &usageError{"nothing was done", "answer y, or add --yes"}
}

// isPerson reports whether somebody may sit at the other end of in.
func isPerson(in *os.File) bool {
	info, err := in.Stat()
	nobody, fault := os.Stat(os.DevNull)
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && (fault != nil || !os.SameFile(info, nobody))
}
