package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/config"
)

// clientInvite makes initial access tokens, with which programs register themselves.
func clientInvite() *cobra.Command {
	var n admin.NewInvitation
	var life string
	var asJSON, quiet bool
	command := &cobra.Command{
		Use: "invite", Short: "Let programs register themselves: make a token, list, withdraw", Args: cobra.NoArgs,
		Long: `Make an initial access token (RFC 7591), with which programs register themselves at the
authorization server: so many, until an end, with the scopes and grants that are named
here at most. Each becomes a client like any other, with an id that it did not choose;
people are told that nobody has reviewed it. The token is shown once.`,
		Example: `  pavise client invite --scope orders:read --contact partners@example.com
  pavise client invite --scope orders:read --uses 20 --for 30d -q`,
		RunE: func(command *cobra.Command, _ []string) error {
			long, err := config.ParseDuration(life)
			if err != nil {
				return &usageError{fmt.Sprintf("--for: %q is no time", life), "write 12h, 7d or the like"}
			}
			n.Life = long
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				made, err := a.Invite(ctx, n)
				if err != nil {
					return err
				}
				return showInvited(command, made, asJSON, quiet)
			})
		},
	}
	flags := command.Flags()
	flags.StringSliceVar(&n.Scopes, "scope", nil, "the most that a client may get; may be repeated")
	flags.StringSliceVar(&n.Grants, "grant", nil, "that a client may use: authorization_code and refresh_token (default), client_credentials, device_code")
	flags.IntVar(&n.Uses, "uses", 1, "how many clients may register, 1 to 1000")
	flags.StringVar(&life, "for", "24h", "how long the token is good, 1m to 90d")
	flags.StringVar(&n.Contact, "contact", "", "who answers for the clients")
	flags.BoolVarP(&quiet, "quiet", "q", false, "write the token alone")
	jsonFlag(command, &asJSON)
	command.AddCommand(clientInviteList(), clientInviteWithdraw())
	return command
}

func showInvited(command *cobra.Command, made admin.Invited, asJSON, quiet bool) error {
	out := command.OutOrStdout()
	if asJSON {
		return writeJSON(out, made)
	}
	if quiet {
		_, err := fmt.Fprintln(out, made.Token)
		return err
	}
	clients := "one client"
	if made.Left > 1 {
		clients = strconv.Itoa(made.Left) + " clients"
	}
	_, err := fmt.Fprintf(out, `invitation %s is there
good for        %s, until %s
at most         %s
registration    POST %s

%s
This token is shown once. Programs send it as Authorization: Bearer …
`, made.ID, clients, shortTime(made.Ends), strings.Join(append(made.Scopes, made.Grants...), " "), made.At, made.Token)
	return err
}

func clientInviteList() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "list", Short: "Invitations that are good", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				list, err := a.Invitations(ctx)
				if err != nil {
					return err
				}
				out := command.OutOrStdout()
				if asJSON {
					return writeJSON(out, list)
				}
				if len(list) == 0 {
					_, err := fmt.Fprintln(out, "no invitation is good")
					return err
				}
				rows := make([][]string, 0, len(list))
				for _, v := range list {
					rows = append(rows, []string{v.ID, strconv.Itoa(v.Left), strings.Join(v.Scopes, " "), strings.Join(v.Grants, " "), v.Contact, shortTime(v.Ends)})
				}
				return table(out, []string{"INVITATION", "LEFT", "SCOPES", "GRANTS", "CONTACT", "ENDS"}, rows)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func clientInviteWithdraw() *cobra.Command {
	return &cobra.Command{
		Use: "withdraw ID", Short: "End an invitation; who has registered with it stays", Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				if err := a.WithdrawInvitation(ctx, args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(command.OutOrStdout(), "invitation %s has ended\n", args[0])
				return err
			})
		},
	}
}
