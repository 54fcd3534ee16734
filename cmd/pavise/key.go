package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
)

func keyCommand() *cobra.Command {
	command := &cobra.Command{Use: "key", Short: "Credentials: create, import, list, rotate, narrow, revoke"}
	command.AddCommand(keyCreate(), keyImport(), keyList(), keyRotate(), keyNarrow(), keyRevoke())
	return command
}

// keyFlags are what create and import have in common.
type keyFlags struct {
	kind, client, environment  string
	expires, warnAfter, maxAge string
	scopes, networks           []string
	settings                   map[string]string
	quiet, asJSON              bool
}

func (f *keyFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.kind, "kind", "api_key", "api_key, hmac, jwt, mtls or oauth")
	flags.StringVar(&f.client, "client", "", "client that gets it")
	flags.StringSliceVar(&f.scopes, "scope", nil, "scopes within the client's; default all of them; may be repeated")
	flags.StringVar(&f.expires, "expires", "", "how long it lives, like 90d or 12h; default: for ever")
	flags.StringVar(&f.warnAfter, "warn-after", "", "age from which its use is marked in the log, like 60d")
	flags.StringVar(&f.maxAge, "max-age", "", "age from which it is refused, like 365d")
	flags.StringSliceVar(&f.networks, "network", nil, "addresses it may be used from, like 192.0.2.0/24; may be repeated")
	flags.StringToStringVar(&f.settings, "set", nil, "`NAME=VALUE`, as the page of the kind says; may be repeated")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "write the secret alone; where there is none to show, the id")
	jsonFlag(command, &f.asJSON)
	_ = command.MarkFlagRequired("client") // it is there: it was registered above
}

func (f *keyFlags) request() (admin.NewCredential, error) {
	n := admin.NewCredential{Kind: f.kind, Client: f.client, Environment: f.environment, Scopes: f.scopes, Settings: f.settings}
	for text, into := range map[*string]*time.Duration{&f.expires: &n.Expires, &f.warnAfter: &n.WarnAfter, &f.maxAge: &n.MaxAge} {
		if *text == "" {
			continue
		}
		long, err := config.ParseDuration(*text)
		if err != nil || long <= 0 {
			return n, &usageError{fmt.Sprintf("%q is no time to live", *text), "write 12h, 90d or the like"}
		}
		*into = long
	}
	for _, text := range f.networks {
		network, err := config.ParseNetwork(text)
		if err != nil {
			return n, &usageError{fmt.Sprintf("--network: %v", err), "write 192.0.2.0/24, 2001:db8::/48 or one address"}
		}
		n.Networks = append(n.Networks, netip.PrefixFrom(network.Addr(), network.Bits()))
	}
	return n, nil
}

func keyCreate() *cobra.Command {
	f := &keyFlags{}
	command := &cobra.Command{
		Use: "create", Short: "Make a credential; its secret is shown once", Args: cobra.NoArgs,
		Example: `  pavise key create --client shop --scope orders:read --expires 90d
  pavise key create --kind hmac --client shop
  pavise key create --kind mtls --client pay --set name=uri:spiffe://example.org/pay
  pavise key create --kind jwt --client shop --set issuer=corp --set client_id=shop-app
  pavise key create --kind oauth --client report --set grants=client_credentials`,
		RunE: func(command *cobra.Command, _ []string) error {
			n, err := f.request()
			if err != nil {
				return err
			}
			return f.make(command, n)
		},
	}
	f.register(command)
	command.Flags().StringVar(&f.environment, "environment", "live", "short word that stands in the key")
	return command
}

func (f *keyFlags) make(command *cobra.Command, n admin.NewCredential) error {
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		made, err := a.CreateCredential(ctx, n)
		if err != nil {
			return err
		}
		return showMade(command, made, f.quiet, f.asJSON)
	})
}

// showMade shows a secret, this once.
func showMade(command *cobra.Command, made admin.Made, quiet, asJSON bool) error {
	out, c := command.OutOrStdout(), made.Credential
	switch {
	case asJSON:
		return writeJSON(out, made)
	case quiet && made.Secret != "":
		_, err := fmt.Fprintln(out, made.Secret)
		return err
	case quiet:
		_, err := fmt.Fprintln(out, c.ID)
		return err
	}
	text := fmt.Sprintf("%s credential %s for client %s", c.Kind, c.ID, c.Client)
	if end := c.End(); !end.IsZero() {
		text += ", ends " + shortTime(end)
	}
	if made.Secret != "" {
		text += "\n\n  " + made.Secret + "\n\nThis is shown once. Keep it where the client keeps its secrets."
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

// maxSecret is the longest secret that is imported, in bytes.
const maxSecret = 4096

func keyImport() *cobra.Command {
	f := &keyFlags{}
	var file string
	command := &cobra.Command{
		Use: "import", Short: "Take over an existing key, from stdin or a file", Args: cobra.NoArgs,
		Long: `Take over an existing key, from stdin or a file, never from the command line,
where other users of the machine could read it. API keys may be given as
sha256:HEX where only their digest is known.`,
		Example: "  pavise key import --client legacy < old-key.txt",
		RunE: func(command *cobra.Command, _ []string) error {
			n, err := f.request()
			if err != nil {
				return err
			}
			if n.Import, err = readSecret(command.InOrStdin(), file); err != nil {
				return err
			}
			return f.make(command, n)
		},
	}
	f.register(command)
	command.Flags().StringVar(&f.environment, "environment", "", "short word that shields may ask for")
	command.Flags().StringVar(&file, "file", "", "file with the secret; default: stdin")
	return command
}

func readSecret(in io.Reader, file string) (string, error) {
	if file != "" {
		handle, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read the secret: %w", err)
		}
		defer func() { _ = handle.Close() }() // only read
		in = handle
	}
	text, err := io.ReadAll(io.LimitReader(in, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" || len(secret) > maxSecret {
		return "", &usageError{fmt.Sprintf("the secret is empty or has more than %d bytes", maxSecret), "pavise key import --client NAME < file"}
	}
	return secret, nil
}

func keyList() *cobra.Command {
	var owner, kind string
	var asJSON bool
	command := &cobra.Command{
		Use: "list", Short: "List credentials, without their secrets", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				list, err := a.Credentials(ctx, owner, kind)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), list)
				}
				return credentialTable(command, list)
			})
		},
	}
	command.Flags().StringVar(&owner, "client", "", "of this client")
	command.Flags().StringVar(&kind, "kind", "", "of this kind")
	jsonFlag(command, &asJSON)
	return command
}

// credentialState is one word.
func credentialState(c client.Credential) string {
	end, now := c.End(), time.Now()
	switch {
	case !c.Revoked.IsZero():
		return "revoked"
	case !end.IsZero() && !now.Before(end):
		return "expired"
	case now.Before(c.NotBefore):
		return "not yet"
	case c.ReplacedBy != "":
		return "ending"
	}
	return "in force"
}

func keyRotate() *cobra.Command {
	var n admin.Rotation
	var overlap string
	var quiet, asJSON bool
	command := &cobra.Command{
		Use: "rotate ID", Short: "Make a successor; the old one ends after the overlap", Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			n.ID = args[0]
			long, err := config.ParseDuration(overlap)
			if err != nil || long < 0 {
				return &usageError{fmt.Sprintf("--overlap %q is no duration", overlap), "write 72h, 7d or 0s"}
			}
			n.Overlap = long
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				made, err := a.Rotate(ctx, n)
				if err != nil {
					return err
				}
				return showMade(command, made, quiet, asJSON)
			})
		},
	}
	command.Flags().StringVar(&overlap, "overlap", "72h", "how long both are in force")
	command.Flags().StringVar(&n.Kind, "kind", "", "kind, where several have the id")
	command.Flags().BoolVarP(&quiet, "quiet", "q", false, "write the secret alone")
	jsonFlag(command, &asJSON)
	return command
}

func keyNarrow() *cobra.Command {
	var n admin.Narrow
	command := &cobra.Command{
		Use: "narrow ID", Short: "Take scopes away from a credential: it keeps those that are named", Args: cobra.ExactArgs(1),
		Example: "  pavise key narrow 7K2Q9M4XWT --scope orders:read",
		RunE: func(command *cobra.Command, args []string) error {
			n.ID = args[0]
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				done, err := a.Narrow(ctx, n)
				return showDone(command, done, err)
			})
		},
	}
	command.Flags().StringSliceVar(&n.Scopes, "scope", nil, "what it keeps; may be repeated")
	command.Flags().StringVar(&n.Kind, "kind", "", "kind, where several have the id")
	return command
}

func keyRevoke() *cobra.Command {
	var reason, kind string
	command := &cobra.Command{
		Use: "revoke ID", Short: "End a credential at once and for good", Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return revoke(command, admin.Revoke{ID: args[0], Kind: kind, Reason: reason})
		},
	}
	command.Flags().StringVar(&reason, "reason", "", "why, for the log")
	command.Flags().StringVar(&kind, "kind", "", "of this kind alone, where several have the id")
	return command
}

func revokeCommand() *cobra.Command {
	var n admin.Revoke
	command := &cobra.Command{
		Use: "revoke [ID]", Short: "End a credential, all of a client, or tokens, at once", Args: cobra.MaximumNArgs(1),
		Example: `  pavise revoke KEY-ID --reason leaked
  pavise revoke --client shop --reason "contract ended"
  pavise revoke 'https://login.example.com#a-jti' --reason leaked
  pavise revoke --issuer https://login.example.com --subject alice`,
		RunE: func(command *cobra.Command, args []string) error {
			request, err := revocation(n, args)
			if err != nil {
				return err
			}
			return revoke(command, request)
		},
	}
	flags := command.Flags()
	flags.StringVar(&n.Reason, "reason", "", "why, for the log")
	flags.StringVar(&n.Kind, "kind", "", "with an ID: of this kind alone, where several have it")
	flags.StringVar(&n.Client, "client", "", "all credentials of this client")
	flags.StringVar(&n.Issuer, "issuer", "", "tokens of this issuer, exactly as their iss says")
	flags.StringVar(&n.Subject, "subject", "", "all tokens of this subject issued until now")
	flags.StringVar(&n.TokenID, "token", "", "the token with this jti")
	return command
}

// revocation reads ID as a credential's, or as ISSUER#JTI.
func revocation(n admin.Revoke, args []string) (admin.Revoke, error) {
	if len(args) == 0 {
		if n.Kind != "" {
			return n, &usageError{"--kind is that of the credential with an ID", "pavise revoke ID --kind " + n.Kind}
		}
		if n.Client == "" && n.Issuer == "" {
			return n, &usageError{"nothing is named that is to end", "pavise revoke ID, --client NAME, or --issuer URL with --subject or --token"}
		}
		return n, nil
	}
	if n.Client != "" || n.Issuer != "" || n.Subject != "" || n.TokenID != "" {
		return n, &usageError{"an ID and flags name two things", "revoke one after the other"}
	}
	if at := strings.LastIndex(args[0], "#"); at > 0 && strings.Contains(args[0][:at], "://") && !strings.HasPrefix(args[0], "uri:") {
		if n.Kind != "" {
			return n, &usageError{"--kind is that of a credential, and ISSUER#JTI is a token", "leave --kind away"}
		}
		n.Issuer, n.TokenID = args[0][:at], args[0][at+1:]
		return n, nil
	}
	n.ID = args[0]
	return n, nil
}

func revoke(command *cobra.Command, n admin.Revoke) error {
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		done, err := a.Revoke(ctx, n)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(command.OutOrStdout(), "revoked:", printable(done.Change))
		return err
	})
}
