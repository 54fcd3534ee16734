package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
)

// quotaCommand shows what is used of days and months.
func quotaCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "quota", Short: "What is used of quotas, and beginning anew",
		Example: "  pavise quota list\n  pavise quota list shop\n  pavise quota reset shop --quota orders-client-month",
	}
	command.AddCommand(quotaList(), quotaReset())
	return command
}

func quotaList() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "list [CLIENT]", Short: "List what is used of this day's and this month's quotas", Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			client := ""
			if len(args) > 0 {
				client = args[0]
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				all, err := a.Quotas(ctx, client)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), all)
				}
				rows := make([][]string, 0, len(all))
				for _, u := range all {
					of := strconv.Itoa(u.Of)
					if u.Of == 0 {
						of = "-"
					}
					rows = append(rows, []string{u.Quota, u.Whom(), strconv.Itoa(u.Used), of, u.Ends.Format(time.RFC3339)})
				}
				return table(command.OutOrStdout(), []string{"QUOTA", "WHO", "USED", "OF", "ENDS"}, rows)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func quotaReset() *cobra.Command {
	var user bool
	var quota string
	command := &cobra.Command{
		Use: "reset NAME", Short: "Let a client (or a user) begin anew", Args: cobra.ExactArgs(1),
		Long: `Let a client begin its quotas anew, as if it had used nothing in this day and month. With
--user NAME is a user, of every issuer.`,
		RunE: func(command *cobra.Command, args []string) error {
			n := admin.QuotaReset{Client: args[0], Quota: quota}
			if user {
				n.Client, n.User = "", args[0]
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				done, err := a.ResetQuotas(ctx, n)
				return showDone(command, done, err)
			})
		},
	}
	command.Flags().BoolVar(&user, "user", false, "NAME is a user")
	command.Flags().StringVar(&quota, "quota", "", "this quota alone, as pavise quota list names it")
	return command
}
