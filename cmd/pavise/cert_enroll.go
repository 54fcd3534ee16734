package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/pki/agent"
	"pavise.dev/pavise/internal/pki/certfile"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/pki/renewed"
)

func certToken() *cobra.Command {
	var n admin.NewCertificate
	var life, expires string
	var networks []string
	var quiet, asJSON bool
	command := &cobra.Command{
		Use: "token CLIENT", Short: "Let a program elsewhere get one certificate: make an enrolment token", Args: cobra.ExactArgs(1),
		Long: `Make a token with which a program elsewhere gets one certificate, for this client, with
these names and for this time: who has the token chooses nothing but the key. It ends when
it was used, or after an hour (--expires), and is shown once. It also says by which root
the authority is known, so that nothing else has to be carried there.`,
		Example: `  pavise cert token web
  pavise cert token web --name dns:web.internal --scope orders:read -q | ssh web.internal pavise cert enroll --server https://pki.example.com`,
		RunE: func(command *cobra.Command, args []string) error {
			n.Client = args[0]
			if err := certificateRequest(&n, life, networks); err != nil {
				return err
			}
			asked := admin.NewEnrolment{
				Client: n.Client, Create: true, Profile: n.Profile, Names: n.Names, Life: n.Life, Scopes: n.Scopes, Networks: n.Networks,
			}
			if expires != "" {
				long, err := config.ParseDuration(expires)
				if err != nil || long <= 0 {
					return &usageError{fmt.Sprintf("%q is no time to live", expires), "write 10m, 1h or the like, 7d at most"}
				}
				asked.Expires = long
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				made, err := a.MakeEnrolment(ctx, asked)
				if err != nil {
					return err
				}
				return showEnrolment(command, made, quiet, asJSON)
			})
		},
	}
	certificateFlags(command, &n, &life, &networks)
	flags := command.Flags()
	flags.StringVar(&expires, "expires", "", "how long the token may be used, like 10m; default 1h, 7d at most")
	flags.BoolVarP(&quiet, "quiet", "q", false, "write the token alone")
	jsonFlag(command, &asJSON)
	command.AddCommand(certTokenList(), certTokenWithdraw())
	return command
}

func showEnrolment(command *cobra.Command, made admin.Enrolment, quiet, asJSON bool) error {
	out := command.OutOrStdout()
	switch {
	case asJSON:
		return writeJSON(out, made)
	case quiet:
		_, err := fmt.Fprintln(out, made.Secret)
		return err
	}
	where := "There: pavise cert enroll --server " + made.At + ", and type the token."
	if made.At == "" {
		where = "Programs elsewhere get certificates nowhere yet: name a host in the setting pki.host."
	}
	_, err := fmt.Fprintf(out, "enrolment token %s for client %s, until %s\n\n  %s\n\nThis is shown once. %s\n", made.ID, made.Client, shortTime(made.Ends), made.Secret, where)
	return err
}

func certTokenList() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "list", Short: "List enrolment tokens that were not used yet", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				list, err := a.Enrolments(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), list)
				}
				rows := make([][]string, 0, len(list))
				for _, t := range list {
					rows = append(rows, []string{t.ID, t.Client, t.Profile, strings.Join(t.Names, " "), strings.Join(t.Scopes, " "), shortTime(t.Ends)})
				}
				return table(command.OutOrStdout(), []string{"TOKEN", "CLIENT", "PROFILE", "NAMES", "SCOPES", "UNTIL"}, rows)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func certTokenWithdraw() *cobra.Command {
	return &cobra.Command{
		Use: "withdraw ID", Short: "End an enrolment token", Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				if _, err := a.WithdrawEnrolment(ctx, args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintln(command.OutOrStdout(), "withdrawn:", printable(args[0]))
				return err
			})
		},
	}
}

// serverFlags say where certificates are had.
type serverFlags struct{ server, ca string }

func (f *serverFlags) register(command *cobra.Command) {
	command.Flags().StringVar(&f.server, "server", "", "where the authority answers, like https://pki.example.com")
	command.Flags().StringVar(&f.ca, "ca", "", "if the server's certificate is not the authority's: file with its CA, or system for what this machine trusts")
	_ = command.MarkFlagRequired("server") // it is there: it was registered above
}

// dial finds the server.
func (f *serverFlags) dial(ctx context.Context, o est.ClientOptions) (*est.Client, error) {
	o.Server = f.server
	switch f.ca {
	case "":
	case "system":
		var err error
		if o.Roots, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("read what this machine trusts: %w", err)
		}
	default:
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("read the server's CA: %w", err)
		}
		o.Roots = x509.NewCertPool()
		if !o.Roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", f.ca)
		}
	}
	return est.NewClient(ctx, o)
}

func certEnroll() *cobra.Command {
	var server serverFlags
	var out outFlags
	var tokenFile, roots string
	command := &cobra.Command{
		Use: "enroll", Short: "Get this machine's first certificate with an enrolment token", Args: cobra.NoArgs,
		Long: `Make a key here, and get a certificate for it from an authority elsewhere, with a token
that 'pavise cert token' made there. The token is read from standard input or a file, never
from the command line, where others on this machine could read it. The key does not leave
this machine. The token says by which root the authority is known: a server that is another
one's gets nothing. What this machine trusts otherwise does not count, unless --ca says so.

'pavise cert agent' renews the certificate then.`,
		Example: `  pavise cert enroll --server https://pki.example.com --out web.pem < token
  pavise cert enroll --server https://pki.example.com --out /etc/nginx/web.pem --roots /etc/nginx/ca.pem --token-file /run/token`,
		RunE: func(command *cobra.Command, _ []string) error {
			files, err := out.files("certificate")
			if err != nil {
				return err
			}
			token, err := readToken(command.InOrStdin(), tokenFile)
			if err != nil {
				return err
			}
			c, err := server.dial(command.Context(), est.ClientOptions{Token: token})
			if err != nil {
				return err
			}
			return enroll(command, c, files, roots)
		},
	}
	server.register(command)
	out.register(command)
	command.Flags().StringVar(&tokenFile, "token-file", "", "file with the token; default: standard input")
	command.Flags().StringVar(&roots, "roots", "", "file for the authority's roots, by which others are known")
	return command
}

func readToken(in io.Reader, file string) (string, error) {
	if file != "" {
		handle, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		defer func() { _ = handle.Close() }() // only read
		in = handle
	}
	text, err := io.ReadAll(io.LimitReader(in, maxSecret))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := string(bytes.TrimSpace(text))
	if token == "" {
		return "", &usageError{"there is no token on standard input", "pavise cert enroll --server … < FILE, or --token-file FILE"}
	}
	return token, nil
}

func enroll(command *cobra.Command, c *est.Client, files certfile.Files, roots string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	chain, err := c.Obtain(command.Context(), key, nil)
	if err != nil {
		return err
	}
	if err := files.Save(chain, key); err != nil {
		return fmt.Errorf("%w; the token was used up: ask for another one, and for the revocation of certificate %x", err, chain[0].SerialNumber)
	}
	if roots != "" {
		if err := certfile.Replace(roots, certfile.EncodeChain(c.Roots()), 0o644); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(command.OutOrStdout(), "%s with its key until %s\nkeep it fresh: pavise cert agent %s --server …\n", printable(files.Chain), shortTime(chain[0].NotAfter), printable(files.Chain))
	return err
}

func certAgent() *cobra.Command {
	var server serverFlags
	var reload []string
	var roots string
	var once bool
	command := &cobra.Command{
		Use: "agent FILE…", Short: "Renew certificates in files by themselves, and tell the program that uses them", Args: cobra.MinimumNArgs(1),
		Long: `Renew certificates when two thirds of their life are over, each at a moment of its own.
The next one is written over the old one in one step, with its key beside it (or in the same
file), and then the command of --reload is run, without a shell: give the option once for
each word. What fails is tried again, at growing intervals; the files stay as they are.

With --once look once, renew what is due, and end: for a timer of your own.`,
		Example: `  pavise cert agent web.pem --server https://pki.example.com
  pavise cert agent /etc/nginx/web.pem --server https://pki.example.com --reload systemctl --reload reload --reload nginx`,
		RunE: func(command *cobra.Command, args []string) error {
			o := agent.Options{
				Reload: reload,
				Log: func(line string) {
					_, _ = fmt.Fprintln(command.ErrOrStderr(), time.Now().UTC().Format(time.RFC3339), printable(line))
				},
				Dial: func(ctx context.Context, current *tls.Certificate) (renewed.Source, error) {
					c, err := server.dial(ctx, est.ClientOptions{Known: current})
					if err == nil && roots != "" {
						err = certfile.SaveRoots(roots, c.Roots())
					}
					return c, err
				},
			}
			for _, name := range args {
				_, files, err := kept(name)
				if err != nil {
					return err
				}
				o.Files = append(o.Files, files)
			}
			a, err := agent.New(o)
			if err != nil {
				return err
			}
			if once {
				return a.Keep(command.Context())
			}
			return runAgent(command, a, len(args))
		},
	}
	server.register(command)
	command.Flags().StringArrayVar(&reload, "reload", nil, "command to run when files have changed, a word each; may be repeated")
	command.Flags().StringVar(&roots, "roots", "", "file for the authority's roots, renewed with the certificates")
	command.Flags().BoolVar(&once, "once", false, "look once, and end")
	return command
}

func runAgent(command *cobra.Command, a *agent.Agent, many int) error {
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if _, err := fmt.Fprintf(command.ErrOrStderr(), "%s keeping %d certificates; the first is due at %s\n", time.Now().UTC().Format(time.RFC3339), many, shortTime(a.Due())); err != nil {
		return err
	}
	a.Until(ctx)
	return nil
}
