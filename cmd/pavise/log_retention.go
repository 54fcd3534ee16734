package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
)

func logRetention() *cobra.Command {
	var goOn, asJSON bool
	var reason string
	command := &cobra.Command{
		Use: "retention", Short: "How long records are kept, and whether removing waits because the clock has jumped", Args: cobra.NoArgs,
		Long: `Show how long records of the log are kept. Where the clock has jumped ahead by more than a quarter
of that (or nothing ran for so long), nothing is removed because of its age for a day of running
time: a clock that is wrong for a moment must not take the whole log. The event retention_held
says so. --go-on says that the clock is right, and lets what is old go at once.`,
		Example: `  pavise log retention
  pavise log retention --go-on --reason "the machine was off for a month"`,
		RunE: func(command *cobra.Command, _ []string) error {
			if goOn && reason == "" {
				return &usageError{"say how it is known that the clock is right: what is old goes for good", "--reason \"the machine was off for a month\""}
			}
			if reason != "" && !goOn {
				return &usageError{"a reason is of use with --go-on alone", "pavise log retention --go-on --reason …"}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				if goOn {
					if _, err := a.GoOn(ctx, reason); err != nil {
						return err
					}
				}
				kept, err := a.Kept(ctx)
				if err != nil {
					return err
				}
				return showKept(command, &kept, asJSON)
			})
		},
	}
	command.Flags().BoolVar(&goOn, "go-on", false, "the clock is right: let what is old go")
	command.Flags().StringVar(&reason, "reason", "", "how that is known, for the log")
	jsonFlag(command, &asJSON)
	return command
}

func showKept(command *cobra.Command, k *admin.Kept, asJSON bool) error {
	out := command.OutOrStdout()
	if asJSON {
		return writeJSON(out, k)
	}
	rows := [][]string{{"all others", k.Keep}}
	for _, class := range slices.Sorted(maps.Keys(k.KeepClass)) {
		rows = append(rows, []string{class, k.KeepClass[class]})
	}
	if err := orNone(out, "", []string{"RECORDS", "KEPT"}, rows); err != nil {
		return err
	}
	if k.Hold == nil {
		_, err := fmt.Fprintln(out, "what is older goes by itself")
		return err
	}
	_, err := fmt.Fprintf(out, "held: the clock was %s, and at the next look %s. Nothing goes because of its age for %s more of running time.\nIf the clock is right: pavise log retention --go-on --reason …\n",
		k.Hold.From.Format(time.RFC3339), k.Hold.To.Format(time.RFC3339), k.Left)
	return err
}
