package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
)

func logErase() *cobra.Command {
	var n admin.NewErasure
	var address string
	var yes, asJSON bool
	command := &cobra.Command{
		Use: "erase (--user X | --subject X | --client X | --address NETWORK) --reason TEXT", Short: "Take one person's data out of the log; it verifies as before", Args: cobra.NoArgs,
		Long: `Replace what is personal in one person's records by tombstones: addresses, paths, names,
user agents, credentials go; when, which endpoint, and how it was decided stay. The chain and the
Merkle tree verify as before, and so do checkpoints that others keep. Events in the log say by whom
it was done, why, and which records it was; they name the person by a pseudonym. 'pavise log verify'
demands such an event for every tombstone.

Copies are not reached: what sinks, backups and exports have. End what the person can do before, or new
records follow. It cannot be undone.`,
		Example: `  pavise log erase --user ann --reason "request 2026-17"
  pavise log erase --address 203.0.113.7 --reason "request 2026-18" --yes`,
		RunE: func(command *cobra.Command, _ []string) error {
			if address != "" {
				network, err := readNetwork(address)
				if err != nil {
					return err
				}
				n.Address = network
			}
			if n.Reason == "" {
				return &usageError{"an erasure needs a reason, which stays in the log", "--reason \"request 2026-17\"; do not name the person"}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				if !yes {
					counted, err := a.CountErasure(ctx, n)
					if err != nil {
						return err
					}
					if err := confirm(command, fmt.Sprintf("What is personal in %d records goes for good. Go on?", counted.Records)); err != nil {
						return err
					}
				}
				done, err := a.Erase(ctx, n)
				if err != nil {
					return err
				}
				return showErased(command, &done, asJSON)
			})
		},
	}
	flags := command.Flags()
	flags.StringVar(&n.User, "user", "", "records of this user, and acts about them")
	flags.StringVar(&n.Subject, "subject", "", "records of this subject")
	flags.StringVar(&n.Client, "client", "", "records of this client, and acts about it")
	flags.StringVar(&address, "address", "", "records of this address or network")
	flags.StringVar(&n.Reason, "reason", "", "why, for the log; it must not name the person")
	flags.BoolVarP(&yes, "yes", "y", false, "do not ask")
	jsonFlag(command, &asJSON)
	return command
}

func showErased(command *cobra.Command, done *audit.Erased, asJSON bool) error {
	out := command.OutOrStdout()
	if asJSON {
		return writeJSON(out, done)
	}
	if done.Records == 0 {
		_, err := fmt.Fprintln(out, "no record holds anything of that person")
		return err
	}
	_, err := fmt.Fprintf(out, "erased what was personal in %d records; the log tells of it as %s\n", done.Records, done.About)
	return err
}
