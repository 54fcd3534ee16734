package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/metrics"
)

// metricsCommand shows what the gateway counts.
func metricsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "metrics", Short: "What the gateway counts, in the text format of Prometheus", Args: cobra.NoArgs,
		Long: `What the gateway counts, in the text format of Prometheus: the same as its listener for those
who watch (listen.metrics), through the administration's socket. For a collector that reads
files, and for a look. While no gateway runs, it is what the store says.`,
		Example: "  pavise metrics\n  pavise metrics | promtool check metrics",
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				s, err := a.Status(ctx)
				if err != nil {
					return err
				}
				if !s.Running {
					return writeMetrics(command.OutOrStdout(), s)
				}
				counted, err := a.Metrics(ctx)
				if err != nil {
					return err
				}
				_, err = io.WriteString(command.OutOrStdout(), counted.Text)
				return err
			})
		},
	}
}

// writeMetrics writes a status in the text format of Prometheus.
func writeMetrics(to io.Writer, s admin.Status) error {
	return metrics.WriteState(to, metrics.State{Status: s})
}
