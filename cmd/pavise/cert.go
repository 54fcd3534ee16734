package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/pki/certfile"
)

// certCommand is about the certificates of the authority that caCommand makes.
func certCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "cert", Aliases: []string{"certificate"}, Short: "Certificates of the authority: issue, list, show, renew, revoke, token, enroll, agent",
		Long: `Certificates of this installation's authority. Each belongs to a client and is a
credential like any other: it has scopes, can be used from given networks only, and loses
its access with the next request when it is revoked.`,
	}
	command.AddCommand(certIssue(), certList(), certShow(), certRenew(), certRevoke(), certToken(), certEnroll(), certAgent())
	return command
}

// outFlags say where certificate and key go.
type outFlags struct {
	out   string
	one   bool
	force bool
}

func (f *outFlags) register(command *cobra.Command) {
	command.Flags().StringVar(&f.out, "out", "", "file for the chain; the key goes beside it, as NAME-key.pem. Default: CLIENT.pem")
	command.Flags().BoolVar(&f.one, "one-file", false, "chain and key in one file")
	command.Flags().BoolVar(&f.force, "force", false, "replace files that are there")
}

// files says where, and refuses to write over something.
func (f *outFlags) files(name string) (certfile.Files, error) {
	chain := f.out
	if chain == "" {
		chain = name + ".pem"
	}
	files := filesOf(chain, f.one)
	if files.Exist() && !f.force {
		return files, &usageError{fmt.Sprintf("%s or %s is there already, and is not overwritten", files.Chain, files.Key), "renew it with `pavise cert renew " + files.Chain + "`, name another file with --out, or add --force"}
	}
	return files, nil
}

func filesOf(chain string, one bool) certfile.Files {
	if one {
		return certfile.Files{Chain: chain, Key: chain}
	}
	return certfile.Files{Chain: chain, Key: strings.TrimSuffix(chain, filepath.Ext(chain)) + "-key.pem"}
}

func certIssue() *cobra.Command {
	var n admin.NewCertificate
	var out outFlags
	var life, request string
	var networks []string
	var asJSON bool
	command := &cobra.Command{
		Use: "issue CLIENT", Short: "Make a key and a certificate for a client", Args: cobra.ExactArgs(1),
		Long: `Make a key here, and get a certificate for it from the authority. The key does not leave
this machine. A client that there is not yet is made, with the scopes that --scope names
and no others.

Profiles: service (calls and is called; the default), server (is only called), person,
device (lives for a year). Without --name a service is called spiffe://DOMAIN/CLIENT, where
DOMAIN is that of 'pavise ca init'.

With --csr the key is somebody else's: the file is their signing request (PKCS #10), and
the certificate is written to --out, or to standard output.`,
		Example: `  pavise cert issue web
  pavise cert issue web --name dns:web.internal --life 7d --scope orders:read
  pavise cert issue gateway --profile server --name dns:api.example.com --out /etc/nginx/api.pem
  pavise cert issue partner --csr partner.csr > partner.pem`,
		RunE: func(command *cobra.Command, args []string) error {
			n.Client, n.Create = args[0], true
			if err := certificateRequest(&n, life, networks); err != nil {
				return err
			}
			if request != "" {
				return issueForRequest(command, n, request, out, asJSON)
			}
			files, err := out.files(n.Client)
			if err != nil {
				return err
			}
			return issueInto(command, n, files, asJSON)
		},
	}
	certificateFlags(command, &n, &life, &networks)
	command.Flags().StringVar(&request, "csr", "", "file with a signing request, whose key is certified instead of a new one")
	out.register(command)
	jsonFlag(command, &asJSON)
	return command
}

// certificateFlags are those that say what a certificate is to be, for certificateRequest.
func certificateFlags(command *cobra.Command, n *admin.NewCertificate, life *string, networks *[]string) {
	flags := command.Flags()
	flags.StringVar(&n.Profile, "profile", "service", "service, server, person or device")
	flags.StringSliceVar(&n.Names, "name", nil, "dns:…, uri:…, ip:… or email:…; may be repeated")
	flags.StringVar(life, "life", "", "how long the certificate lives, like 12h or 7d; default: the profile's")
	flags.StringSliceVar(&n.Scopes, "scope", nil, "scopes within the client's; default all of them; may be repeated")
	flags.StringSliceVar(networks, "network", nil, "addresses the certificate may be used from, like 192.0.2.0/24; may be repeated")
}

func certificateRequest(n *admin.NewCertificate, life string, networks []string) error {
	if life != "" {
		long, err := config.ParseDuration(life)
		if err != nil || long <= 0 {
			return &usageError{fmt.Sprintf("%q is no time to live", life), "write 12h, 7d or the like"}
		}
		n.Life = long
	}
	for _, text := range networks {
		network, err := config.ParseNetwork(text)
		if err != nil {
			return &usageError{fmt.Sprintf("--network: %v", err), "write 192.0.2.0/24, 2001:db8::/48 or one address"}
		}
		n.Networks = append(n.Networks, netip.PrefixFrom(network.Addr(), network.Bits()))
	}
	return nil
}

// signingRequest makes a key, and the request to certify it.
func signingRequest(name string) (crypto.Signer, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		return nil, "", fmt.Errorf("make a signing request: %w", err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

func issueInto(command *cobra.Command, n admin.NewCertificate, files certfile.Files, asJSON bool) error {
	key, request, err := signingRequest(n.Client)
	if err != nil {
		return err
	}
	n.Request = request
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		made, err := a.IssueCertificate(ctx, n)
		if err != nil {
			return err
		}
		return saveMade(ctx, command, a, made, key, files, asJSON)
	})
}

// saveMade writes a certificate that was issued. One that cannot be written is revoked:
// nobody has it.
func saveMade(ctx context.Context, command *cobra.Command, a *admin.Client, made admin.MadeCertificate, key crypto.Signer, files certfile.Files, asJSON bool) error {
	chain, err := certfile.ParseChain([]byte(made.Chain))
	if err == nil {
		err = files.Save(chain, key)
	}
	if err != nil {
		if _, also := a.Revoke(ctx, admin.Revoke{ID: made.Credential.ID, Reason: "it could not be written"}); also != nil {
			return fmt.Errorf("%w; certificate %s is in force all the same: revoke it", err, made.Credential.ID)
		}
		return fmt.Errorf("%w; the certificate was revoked again", err)
	}
	if asJSON {
		return writeJSON(command.OutOrStdout(), made)
	}
	if made.Created {
		_, _ = fmt.Fprintf(command.ErrOrStderr(), "made client %s, with scopes [%s]\n", made.Credential.Client, strings.Join(made.Credential.Scopes, " "))
	}
	where := files.Chain + " with its key " + files.Key
	if files.Chain == files.Key {
		where = files.Chain + " with its key"
	}
	_, err = fmt.Fprintf(command.OutOrStdout(), "%s until %s\n%s\n", printable(where), shortTime(made.Credential.Expires), strings.ReplaceAll(made.Credential.Settings["names"], " ", "\n"))
	return err
}

// issueForRequest certifies somebody else's key.
func issueForRequest(command *cobra.Command, n admin.NewCertificate, file string, out outFlags, asJSON bool) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the signing request: %w", err)
	}
	n.Request = string(text)
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		made, err := a.IssueCertificate(ctx, n)
		if err != nil {
			return err
		}
		switch {
		case asJSON:
			return writeJSON(command.OutOrStdout(), made)
		case out.out != "":
			return certfile.Replace(out.out, []byte(made.Chain), 0o644)
		}
		_, err = fmt.Fprint(command.OutOrStdout(), made.Chain)
		return err
	})
}

func certList() *cobra.Command {
	var owner string
	var all, asJSON bool
	command := &cobra.Command{
		Use: "list", Short: "List certificates in force; with --all, those that ended in the last week too", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				list, err := a.Credentials(ctx, owner, client.CertificateKind)
				if err != nil {
					return err
				}
				list = slices.DeleteFunc(list, func(c client.Credential) bool {
					return !strings.HasPrefix(c.ID, client.CertificatePrefix) || !all && credentialState(c) != "in force"
				})
				if asJSON {
					return writeJSON(command.OutOrStdout(), list)
				}
				return showCertificates(command, list)
			})
		},
	}
	command.Flags().StringVar(&owner, "client", "", "of this client")
	command.Flags().BoolVar(&all, "all", false, "those that ended or were revoked, too")
	jsonFlag(command, &asJSON)
	return command
}

func showCertificates(command *cobra.Command, list []client.Credential) error {
	rows := make([][]string, 0, len(list))
	for _, c := range list {
		rows = append(rows, []string{
			strings.TrimPrefix(c.ID, client.CertificatePrefix), c.Client, credentialState(c), c.Settings["profile"], c.Settings["names"],
			strings.Join(c.Scopes, " "), shortTime(c.Expires), shortTime(c.LastUsed),
		})
	}
	return table(command.OutOrStdout(), []string{"SERIAL", "CLIENT", "STATE", "PROFILE", "NAMES", "SCOPES", "UNTIL", "LAST USED"}, rows)
}

// certificateID is the credential of a certificate that is named by its serial number, as
// we and as openssl write it, or by a file that holds it.
func certificateID(name string) (string, error) {
	plain := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, client.CertificatePrefix), ":", ""))
	if b, err := hex.DecodeString(plain); err == nil && len(b) > 0 && len(b) <= 20 {
		return client.CertificatePrefix + plain, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return "", &usageError{fmt.Sprintf("%.80q is neither a serial number nor a file", name), "`pavise cert list` shows the serial numbers"}
	}
	chain, err := certfile.ParseChain(text)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return client.CertificatePrefix + hex.EncodeToString(chain[0].SerialNumber.Bytes()), nil
}

func certShow() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "show SERIAL|FILE", Short: "Describe a certificate", Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			id, err := certificateID(args[0])
			if err != nil {
				return err
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				list, err := a.Credentials(ctx, "", client.CertificateKind)
				if err != nil {
					return err
				}
				i := slices.IndexFunc(list, func(c client.Credential) bool { return c.ID == id })
				if i < 0 {
					return &usageError{"this authority has no record of certificate " + id, "`pavise cert list --all` shows those that it has; records end a week after the certificate"}
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), list[i])
				}
				return showCertificate(command, list[i])
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func showCertificate(command *cobra.Command, c client.Credential) error {
	rows := [][]string{
		{"client", c.Client},
		{"state", credentialState(c)},
		{"profile", c.Settings["profile"]},
		{"names", c.Settings["names"]},
		{"scopes", strings.Join(c.Scopes, " ")},
		{"issued", shortTime(c.Created)},
		{"until", shortTime(c.Expires)},
		{"revoked", shortTime(c.Revoked)},
		{"reason", c.Reason},
		{"instead of", strings.TrimPrefix(c.Replaces, client.CertificatePrefix)},
		{"last used", shortTime(c.LastUsed)},
		{"SHA-256", c.Settings["sha256"]},
	}
	return table(command.OutOrStdout(), []string{"serial", strings.TrimPrefix(c.ID, client.CertificatePrefix)}, rows)
}

func certRenew() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "renew FILE", Short: "Replace a certificate and its key by the next ones", Args: cobra.ExactArgs(1),
		Long: `Make a new key, get a certificate for it with everything that the one in FILE has, and
write both over the old ones. The old certificate stays good until it ends.`,
		Example: "  pavise cert renew web.pem",
		RunE: func(command *cobra.Command, args []string) error {
			id, files, err := kept(args[0])
			if err != nil {
				return err
			}
			key, request, err := signingRequest("renewal")
			if err != nil {
				return err
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				made, err := a.RenewCertificate(ctx, admin.RenewCertificate{ID: id, Request: request})
				if err != nil {
					return err
				}
				return saveMade(ctx, command, a, made, key, files, asJSON)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

// kept finds the files of a certificate: one file, or the key beside it.
func kept(name string) (id string, files certfile.Files, err error) {
	id, err = certificateID(name)
	if err != nil {
		return "", files, err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return "", files, fmt.Errorf("read the certificate: %w", err)
	}
	files = filesOf(name, strings.Contains(string(text), "PRIVATE KEY-----"))
	if _, err := files.Load(); err != nil {
		return "", files, err
	}
	return id, files, nil
}

func certRevoke() *cobra.Command {
	var n admin.Revoke
	command := &cobra.Command{
		Use: "revoke SERIAL|FILE", Short: "End a certificate and its renewals at once and for good", Args: cobra.ExactArgs(1),
		Long: `End a certificate at once and for good: here its next request is refused, also on a
connection that is open. All that came of it by renewal ends too, because whoever has had
its key may have renewed it; with --only they stay. 'pavise revoke --client NAME' ends all
of a client.`,
		Example: "  pavise cert revoke web.pem --reason \"laptop lost\"",
		RunE: func(command *cobra.Command, args []string) error {
			id, err := certificateID(args[0])
			if err != nil {
				return err
			}
			n.ID = id
			return revoke(command, n)
		},
	}
	command.Flags().StringVar(&n.Reason, "reason", "", "why, for the log")
	command.Flags().BoolVar(&n.Only, "only", false, "this one alone, without its renewals")
	return command
}
