package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/sink"
)

func logSinks() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "sinks", Short: "Other places to which events go: how far each is, and what was lost", Args: cobra.NoArgs,
		Long: `Show for each of log.sinks how many events it does not have yet (LAG), how many the log's
retention removed before they were delivered (LOST), how many the receiver refused for good
(REJECTED), and whether something is wrong at present. While no gateway runs, nothing is
delivered: what is shown then is what the sinks remember.`,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				all, err := a.Sinks(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), all)
				}
				rows := make([][]string, 0, len(all))
				for _, s := range all {
					rows = append(rows, []string{s.Name, s.Kind, count(s.Delivered), count(s.Lag), count(s.Lost), count(s.Rejected), sinkState(&s)})
				}
				return orNone(command.OutOrStdout(), "events go nowhere else: the configuration has no log.sinks", []string{"SINK", "KIND", "DELIVERED", "LAG", "LOST", "REJECTED", "STATE"}, rows)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }

func sinkState(s *sink.Status) string {
	switch {
	case s.Full:
		return "full: " + s.Failing
	case s.Failing != "":
		return "failing: " + s.Failing
	case s.Overrun:
		return "behind the log's retention"
	}
	return "well"
}
