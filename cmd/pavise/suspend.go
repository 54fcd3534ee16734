package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/config"
)

// suspendCommand refuses a credential for a time.
func suspendCommand() *cobra.Command {
	var life, reason, kind string
	command := &cobra.Command{
		Use: "suspend CREDENTIAL", Short: "Refuse a credential for a time, at once", Args: cobra.ExactArgs(1),
		Long: `Refuse a credential with 403, whoever proves it: at once here, within a second on every node
that shares the store, and on streams that are open. A suspension ends by itself. To end a
credential for good, use 'pavise revoke'.

alerts.respond suspends by itself, and may demand of people that they sign in again;
'pavise suspend list' shows both, and 'pavise unsuspend' ends either.`,
		Example: `  pavise suspend 7K2Q9M4XWT --for 2h --reason "seen in a public repository?"
  pavise suspend list
  pavise unsuspend 7K2Q9M4XWT`,
		RunE: func(command *cobra.Command, args []string) error {
			long, err := config.ParseDuration(life)
			if err != nil || long <= 0 {
				return &usageError{fmt.Sprintf("%q is no time", life), "write 10m, 1h or the like, 90d at most"}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				done, err := a.Hold(ctx, admin.NewHold{Kind: kind, ID: args[0], Life: long, Reason: reason})
				return showDone(command, done, err)
			})
		},
	}
	command.Flags().StringVar(&life, "for", "1h", "how long, 90d at most")
	command.Flags().StringVar(&reason, "reason", "", "why, for the log")
	command.Flags().StringVar(&kind, "kind", "", "kind of the credential, where several have the id")
	command.AddCommand(suspendList())
	return command
}

func suspendList() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "list", Short: "List suspended credentials, and people who have to sign in again", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				all, err := a.Holds(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), all)
				}
				rows := make([][]string, 0, len(all))
				for i := range all {
					demand := "refused"
					if all[i].SignIn {
						demand = "must sign in again"
					}
					rows = append(rows, []string{printable(all[i].About()), demand, all[i].Until.Format(time.RFC3339), printable(all[i].Reason)})
				}
				return orNone(command.OutOrStdout(), "nothing is suspended", []string{"ABOUT", "IS", "UNTIL", "REASON"}, rows)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func unsuspendCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unsuspend CREDENTIAL|USER", Short: "End a suspension, or the demand to sign in again", Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				done, err := a.Release(ctx, args[0])
				return showDone(command, done, err)
			})
		},
	}
}
