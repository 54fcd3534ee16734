package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
)

// caCommand is about the certificate authority itself; certCommand about what it issues.
func caCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "ca", Short: "The certificate authority: init, show, export, trust, rotate",
		Long: `The certificate authority of this installation, for mutual TLS. It has a root, which
others trust, and an issuing authority below it, which signs certificates; both are made
by 'pavise ca init'. 'pavise cert' issues, lists and revokes certificates.`,
	}
	command.AddCommand(caInit(), caShow(), caExport(), caTrust(), caRotate())
	return command
}

// keyFlag is where a root's key goes or comes from.
const keyFlag = "root-key"

func caInit() *cobra.Command {
	var n admin.InitAuthority
	var keyFile string
	var asJSON bool
	command := &cobra.Command{
		Use: "init", Short: "Make the certificate authority", Args: cobra.NoArgs,
		Long: `Make the certificate authority: a root for 15 years, and an issuing authority for 3,
which is replaced by itself while the root's key is here. Keys are sealed in the store.

With --root-key the root's key is written to a file and kept nowhere else: put the file
where no network reaches it. It is needed again to rotate.

With --permit the authority can only certify names within: everybody who verifies its
certificates holds it to that (RFC 5280 §4.2.1.10). A type of which nothing is permitted is
not limited, so name each that matters.`,
		Example: `  pavise ca init
  pavise ca init --name Acme --domain acme.example --root-key /media/usb/acme-root.key
  pavise ca init --permit dns:internal --permit uri:acme.example --permit ip:10.0.0.0/8`,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				made, err := withKeyElsewhere(ctx, command, a, keyFile, n.Algorithm, func(key admin.PrivateKey) (admin.Authority, error) {
					n.RootKey = key
					return a.InitAuthority(ctx, n)
				})
				if err != nil {
					return err
				}
				return showMadeAuthority(command, made, asJSON)
			})
		},
	}
	flags := command.Flags()
	flags.StringVar(&n.Name, "name", "Pavise", "what its own certificates are called after")
	flags.StringVar(&n.Domain, "domain", "pavise.internal", "trust domain of SPIFFE IDs (spiffe://DOMAIN/CLIENT) that are given where no name is asked for")
	flags.StringVar(&n.Algorithm, "algorithm", "ES256", "of its keys: ES256 (P-256), ES384 (P-384) or EdDSA (Ed25519)")
	flags.StringSliceVar(&n.Permit, "permit", nil, "name constraint, like dns:internal; may be repeated")
	flags.StringVar(&keyFile, keyFlag, "", "file for the root's key, which is then kept nowhere else")
	jsonFlag(command, &asJSON)
	return command
}

// showMadeAuthority says what there is now.
func showMadeAuthority(command *cobra.Command, made admin.Authority, asJSON bool) error {
	if asJSON {
		return writeJSON(command.OutOrStdout(), made)
	}
	if err := showAuthority(command, made); err != nil {
		return err
	}
	_, err := fmt.Fprintln(command.OutOrStdout(), "\nOthers trust it by its root: pavise ca export > ca.pem\nGet a certificate: pavise cert issue NAME")
	return err
}

func caShow() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "show", Short: "Describe the authority and its own certificates", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				shown, err := a.Authority(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), shown)
				}
				return showAuthority(command, shown)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func showAuthority(command *cobra.Command, shown admin.Authority) error {
	out := command.OutOrStdout()
	permit := "any name"
	if len(shown.Setup.Permit) > 0 {
		permit = strings.Join(shown.Setup.Permit, " ")
	}
	if _, err := fmt.Fprintf(out, "%s, trust domain %s, keys %s, certifies %s\n", printable(shown.Setup.Name), shown.Setup.Domain, shown.Setup.Algorithm, printable(permit)); err != nil {
		return err
	}
	var rows [][]string
	for _, m := range shown.Members {
		key := "here"
		if m.Offline {
			key = "elsewhere"
		}
		rows = append(rows, []string{m.Role, m.State, m.Subject, key, shortTime(m.NotAfter), m.Fingerprint})
	}
	return table(out, []string{"ROLE", "STATE", "SUBJECT", "KEY", "UNTIL", "SHA-256"}, rows)
}

func caExport() *cobra.Command {
	var issuing, lists bool
	command := &cobra.Command{
		Use: "export", Short: "Write the roots that others are to trust", Args: cobra.NoArgs,
		Long: `Write the roots that others are to trust, as PEM: the newest first, and those before
it that are still in force. With --issuing write the issuing authorities instead, for
programs that do not send them along. With --crl write the revocation lists, for programs
that read them from a file: of every authority that has not ended, the roots too. They are
good for a day (of a root whose key is kept elsewhere, until its key is needed again), and
had at pki.status too.`,
		Example: `  pavise ca export > ca.pem
  curl --cacert ca.pem https://api.example.com/
  pavise ca export --crl > crl.pem`,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				shown, err := a.Authority(ctx)
				if err != nil {
					return err
				}
				text := shown.Roots
				switch {
				case issuing:
					text = issuingOf(shown)
				case lists:
					text, err = listsOf(ctx, a, shown)
				}
				if err == nil {
					_, err = fmt.Fprint(command.OutOrStdout(), text)
				}
				return err
			})
		},
	}
	command.Flags().BoolVar(&issuing, "issuing", false, "the issuing authorities")
	command.Flags().BoolVar(&lists, "crl", false, "the revocation lists")
	command.MarkFlagsMutuallyExclusive("issuing", "crl")
	return command
}

// listsOf are the revocation lists of all that have not ended, those of issuing authorities
// first: who reads them wants one of every authority of a chain.
func listsOf(ctx context.Context, a *admin.Client, shown admin.Authority) (text string, err error) {
	for _, m := range slices.Backward(shown.Members) {
		if !m.Listed {
			continue
		}
		list, err := a.RevocationList(ctx, m.ID)
		if err != nil {
			return "", err
		}
		text += list.PEM
	}
	return text, nil
}

func issuingOf(shown admin.Authority) (text string) {
	for _, m := range shown.Members {
		if m.Role == "issuing" && (m.State == "active" || m.State == "retired") {
			text += m.Certificate
		}
	}
	return text
}

func caRotate() *cobra.Command {
	var n admin.RotateAuthority
	var keyFile, newKeyFile string
	var yes, asJSON bool
	command := &cobra.Command{
		Use: "rotate", Short: "Make the next issuing authority; with --root, the next root too", Args: cobra.NoArgs,
		Long: `Make the next issuing authority. Certificates that the old one signed stay good until
they end.

With --root make the next root too. The root before it signs it as well, and new
certificates come with both paths, so that whoever trusts only one of the two goes on: give
the new root to others (pavise ca export) before the old one ends.

With --compromised the keys that are kept here are taken to be in other hands, as after the
theft of a backup: no issuing authority is trusted any longer, of those before either, and
every certificate that they signed is revoked at once. If the root's key is kept here too,
add --root: then the roots are trusted no longer, and the next one is signed by none of
them, so that whoever verifies by himself must be given it (pavise ca export).`,
		Example: `  pavise ca rotate
  pavise ca rotate --root
  pavise ca rotate --root-key /media/usb/acme-root.key
  pavise ca rotate --compromised --root --reason "backup was stolen"`,
		RunE: func(command *cobra.Command, _ []string) error {
			if newKeyFile != "" && !n.Root {
				return &usageError{"--new-root-key is for a new root", "add --root"}
			}
			if keyFile != "" {
				key, err := readRootKey(keyFile)
				if err != nil {
					return err
				}
				n.RootKey = key
			}
			if n.Compromised && !yes {
				what := "Every certificate that this authority has issued is revoked from this moment on.\nWhoever has one needs a new one."
				if n.Root {
					what += " The roots are trusted no longer: whoever verifies by himself needs the next one."
				}
				if err := confirm(command, what+" Go on?"); err != nil {
					return err
				}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				before, err := a.Authority(ctx)
				if err != nil {
					return err
				}
				made, err := withKeyElsewhere(ctx, command, a, newKeyFile, before.Setup.Algorithm, func(key admin.PrivateKey) (admin.Authority, error) {
					n.NextKey = key
					return a.RotateAuthority(ctx, n)
				})
				if err != nil {
					return err
				}
				return showMadeAuthority(command, made, asJSON)
			})
		},
	}
	flags := command.Flags()
	flags.BoolVar(&n.Root, "root", false, "a new root too")
	flags.StringVar(&keyFile, keyFlag, "", "file with the key of the root that signs now, if it is not kept here")
	flags.StringVar(&newKeyFile, "new-root-key", "", "with --root: file for the new root's key, which is then kept nowhere else")
	flags.BoolVar(&n.Compromised, "compromised", false, "the keys here are in other hands: revoke all that was issued; with --root, distrust the roots too")
	flags.StringVar(&n.Reason, "reason", "", "why, for the log")
	flags.BoolVarP(&yes, "yes", "y", false, "do not ask")
	jsonFlag(command, &asJSON)
	return command
}
