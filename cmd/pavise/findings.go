package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/schedule"
)

func findingsCommand() *cobra.Command {
	var open, ended, asJSON bool
	var since, task, form string
	command := &cobra.Command{
		Use: "findings", Short: "What the schedule found, since when, and whether it is mended", Args: cobra.NoArgs,
		Long: `Show what check, attack and review found over time: each finding with the day on which it was first
seen, last seen and mended, and how many were open day by day. 'pavise schedule' says when it is looked.`,
		Example: `  pavise findings --open
  pavise findings --mended --since 30d
  pavise findings --format html > findings.html`,
		RunE: func(command *cobra.Command, _ []string) error {
			begin, err := parseMoment(since, time.Now())
			switch {
			case err != nil:
				return err
			case open && ended:
				return &usageError{"--open and --mended exclude each other", "leave both out to see all"}
			case asJSON:
				form = "json"
			}
			if form != "table" && form != "json" && form != "html" {
				return &usageError{fmt.Sprintf("there is no form %.40q", form), "--format table, json or html"}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				t, err := a.Findings(ctx, schedule.Query{Since: begin, Open: open, Mended: ended, Task: task})
				if err != nil {
					return err
				}
				switch form {
				case "json":
					return writeJSON(command.OutOrStdout(), t)
				case "html":
					return t.WriteHTML(command.OutOrStdout())
				}
				return showFound(command, &t, nothingOf(open, ended))
			})
		},
	}
	flags := command.Flags()
	flags.BoolVar(&open, "open", false, "only what is open")
	flags.BoolVar(&ended, "mended", false, "only what is mended, or waived")
	flags.StringVar(&since, "since", "90d", "the days from then on, and what has ended since: a time, or how long ago")
	flags.StringVar(&task, "task", "", "of this task alone: check, attack or review")
	flags.StringVar(&form, "format", "table", "table, json or html")
	jsonFlag(command, &asJSON)
	return command
}

// nothingOf says that there is none of what was asked for: the chart above it may show others.
func nothingOf(open, ended bool) string {
	switch {
	case open:
		return "nothing is open"
	case ended:
		return "nothing is mended or waived"
	}
	return "nothing was found"
}

func showFound(command *cobra.Command, t *schedule.Trend, nothing string) error {
	out := command.OutOrStdout()
	if len(t.Runs) == 0 {
		_, err := fmt.Fprintln(out, "nothing ran yet: pavise schedule run check")
		return err
	}
	if err := t.WriteChart(out, isTerminal(out)); err != nil {
		return err
	}
	if len(t.Findings) == 0 {
		_, err := fmt.Fprintln(out, "\n"+nothing)
		return err
	}
	rows := make([][]string, 0, len(t.Findings))
	for _, f := range t.Findings {
		times := ""
		if f.Times > 1 {
			times = strconv.Itoa(f.Times)
		}
		rows = append(rows, []string{f.Severity.String(), f.Rule, f.Target(), f.What, f.Day(f.First), f.Day(f.Seen), f.State(), times})
	}
	return section(out, []string{"SEVERITY", "RULE", "WHERE", "WHAT", "FIRST", "LAST", "STATE", "TIMES"}, rows)
}
