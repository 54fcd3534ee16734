package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
)

// tokenGrants lists what people and clients have allowed, and ends it.
func tokenGrants() *cobra.Command {
	var q admin.GrantQuery
	var asJSON bool
	command := &cobra.Command{
		Use: "grants", Short: "What was granted at the authorization server: list, revoke", Args: cobra.NoArgs,
		Long: `List what was granted at the authorization server and is in force, oldest first. Tokens
that a client got for itself (client_credentials) have no grant: they end with the
client's registration.`,
		Example: `  pavise token grants --client shop
  pavise token grants revoke --user ann --reason "left the company"`,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				list, err := a.Grants(ctx, q)
				if err != nil {
					return err
				}
				return showGrants(command, list, asJSON)
			})
		},
	}
	command.Flags().StringVar(&q.Client, "client", "", "of this client")
	command.Flags().StringVar(&q.User, "user", "", "of this account: its name, or its subject in tokens")
	jsonFlag(command, &asJSON)
	command.AddCommand(tokenGrantsRevoke())
	return command
}

func showGrants(command *cobra.Command, list []admin.Grant, asJSON bool) error {
	out := command.OutOrStdout()
	if asJSON {
		return writeJSON(out, list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no grant is in force")
		return err
	}
	rows := make([][]string, 0, len(list))
	for _, g := range list {
		rows = append(rows, []string{
			g.ID, g.Client, g.Application, grantor(g), strings.Join(g.Scopes, " "), shortTime(g.Created), shortTime(g.Used), shortTime(g.Ends),
		})
	}
	return table(out, []string{"GRANT", "CLIENT", "APPLICATION", "USER", "SCOPES", "CREATED", "LAST USED", "ENDS"}, rows)
}

// grantor is who allowed it: an account, a person without one here, or nobody but the
// client.
func grantor(g admin.Grant) string {
	switch {
	case g.User != "":
		return g.User
	case g.Subject != g.Client:
		return g.Subject
	}
	return ""
}

func tokenGrantsRevoke() *cobra.Command {
	var n admin.RevokeGrants
	var asJSON bool
	command := &cobra.Command{
		Use: "revoke ID… | revoke --client NAME | revoke --user NAME", Short: "End grants at once, with every token that was issued under them",
		Example: `  pavise token grants revoke mJ3k9QxT --reason "lost phone"
  pavise token grants revoke --client shop --user ann`,
		RunE: func(command *cobra.Command, args []string) error {
			n.IDs = args
			switch named := n.Client != "" || n.User != ""; {
			case len(args) == 0 && !named:
				return &usageError{"nothing is named that is to end", "name grants by their ids (`pavise token grants`), or --client NAME, or --user NAME"}
			case len(args) > 0 && named:
				return &usageError{"ids and flags name two things", "revoke one after the other"}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				ended, err := a.RevokeGrants(ctx, n)
				if len(ended) > 0 || err == nil {
					if fault := showRevoked(command, ended, asJSON); err == nil {
						err = fault
					}
				}
				return err
			})
		},
	}
	command.Flags().StringVar(&n.Client, "client", "", "all that this client was granted")
	command.Flags().StringVar(&n.User, "user", "", "all that this account granted")
	command.Flags().StringVar(&n.Reason, "reason", "", "why, for the log")
	jsonFlag(command, &asJSON)
	return command
}

func showRevoked(command *cobra.Command, ended []admin.Grant, asJSON bool) error {
	out := command.OutOrStdout()
	if asJSON {
		return writeJSON(out, ended)
	}
	if len(ended) == 0 {
		_, err := fmt.Fprintln(out, "no grant is in force; nothing was revoked")
		return err
	}
	for _, g := range ended {
		whose := ""
		if who := grantor(g); who != "" {
			whose = " of " + who
		}
		if _, err := fmt.Fprintf(out, "revoked: %s, what %s had%s: %s\n", g.ID, g.Client, printable(whose), strings.Join(g.Scopes, " ")); err != nil {
			return err
		}
	}
	return nil
}
