package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"
	_ "time/tzdata" // zones have their names where the system knows none, too

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/schedule"
)

func scheduleCommand() *cobra.Command {
	var asJSON bool
	var runs int
	command := &cobra.Command{
		Use: "schedule", Short: "What the gateway looks at again and again: when it will, and how the last runs went", Args: cobra.NoArgs,
		Long: `Show what the gateway looks at again and again by itself (schedule in the configuration): when each
task runs next, how its last run went, and how many findings are open. 'pavise findings' shows these.`,
		Example: `  pavise schedule
  pavise schedule --runs 20
  pavise schedule run check
  pavise schedule report check --format html > report.html`,
		RunE: func(command *cobra.Command, _ []string) error {
			if runs < 1 || runs > 400 {
				return &usageError{fmt.Sprintf("--runs %d: want 1 to 400", runs), "the newest 400 of each task are kept"}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				s, err := a.Schedule(ctx, runs)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), s)
				}
				return showSchedule(command.OutOrStdout(), &s, command.Flags().Changed("runs"))
			})
		},
	}
	command.Flags().IntVar(&runs, "runs", 1, "so many of the last runs of each task")
	jsonFlag(command, &asJSON)
	command.AddCommand(scheduleRun(), scheduleReport())
	return command
}

func showSchedule(out io.Writer, s *schedule.Status, each bool) error {
	rows := make([][]string, 0, len(s.Tasks))
	var past [][]string
	for _, t := range s.Tasks {
		when, next, last := t.When+" "+s.Zone, shortTime(t.Next), "never"
		if t.When == "" {
			when, next = "when somebody runs it", ""
		}
		if !t.Running.IsZero() {
			next = "runs since " + shortTime(t.Running)
		}
		if t.PutOff != "" {
			next = "put off: " + printable(t.PutOff)
		}
		if len(t.Last) > 0 {
			last = shortTime(t.Last[0].Ended) + " " + outcome(&t.Last[0])
		}
		rows = append(rows, []string{t.Name, when, next, last, strconv.Itoa(t.Open)})
		for _, r := range t.Last {
			past = append(past, []string{t.Name, shortTime(r.Began), r.Ended.Sub(r.Began).Round(time.Second).String(), asked(&r), outcome(&r), strconv.Itoa(r.New), strconv.Itoa(r.Mended), r.Report})
		}
	}
	if err := table(out, []string{"TASK", "WHEN", "NEXT", "LAST", "OPEN"}, rows); err != nil || !each {
		return err
	}
	return section(out, []string{"TASK", "BEGAN", "TOOK", "FOR", "OUTCOME", "NEW", "MENDED", "REPORT"}, past)
}

// asked says why a run was made.
func asked(r *schedule.Run) string {
	if r.By != "" {
		return r.By
	}
	return "the plan, " + shortTime(r.Due)
}

func outcome(r *schedule.Run) string {
	if r.Why != "" {
		return r.Outcome + ": " + r.Why
	}
	return r.Outcome
}

// pollEvery is how often it is asked whether a run has ended.
const pollEvery = 300 * time.Millisecond

func scheduleRun() *cobra.Command {
	var asJSON, detach bool
	command := &cobra.Command{
		Use: "run TASK", Short: "Run a task now: check, attack or review", Args: cobra.ExactArgs(1),
		Long: `Run a task now, and wait for its end. What is new is told as after any other run; the next one by
the plan is not moved. Ends with 1 if the run failed; what was found does not change that.`,
		Example: "  pavise schedule run check\n  pavise schedule run review --detach",
		RunE: func(command *cobra.Command, args []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				started, err := a.RunScheduled(ctx, args[0])
				if err != nil {
					return err
				}
				if detach {
					_, err := fmt.Fprintf(command.OutOrStdout(), "%s runs; `pavise schedule` shows how it ends\n", started.Task)
					return err
				}
				r, err := awaitRun(ctx, a, started)
				if err != nil {
					return err
				}
				return showRun(command, r, asJSON)
			})
		},
	}
	command.Flags().BoolVar(&detach, "detach", false, "do not wait for its end")
	jsonFlag(command, &asJSON)
	return command
}

func awaitRun(ctx context.Context, a *admin.Client, started admin.Started) (*schedule.Run, error) {
	for {
		s, err := a.Schedule(ctx, 1)
		if err != nil {
			return nil, err
		}
		for _, t := range s.Tasks {
			if t.Name == started.Task && t.Ended > started.Before && len(t.Last) > 0 {
				return &t.Last[0], nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

func showRun(command *cobra.Command, r *schedule.Run, asJSON bool) error {
	out, open := command.OutOrStdout(), 0
	for _, n := range r.Open {
		open += n
	}
	var err error
	if asJSON {
		err = writeJSON(out, r)
	} else if r.Outcome == schedule.Done {
		waived := ""
		if r.Waived > 0 {
			waived = fmt.Sprintf(", %d waived", r.Waived)
		}
		_, err = fmt.Fprintf(out, "%s: %s open, %d new, %d mended%s\n", r.Task, counted(open, "finding"), r.New, r.Mended, waived)
		if err == nil && r.Why != "" {
			_, err = fmt.Fprintln(out, printable(r.Why))
		}
	}
	if err == nil && r.Outcome != schedule.Done {
		err = &hinted{fmt.Errorf("%s %s", r.Task, printable(outcome(r))), "`pavise schedule --runs 20` shows the runs before"}
	}
	return err
}

func scheduleReport() *cobra.Command {
	var form string
	var asJSON, all bool
	command := &cobra.Command{
		Use: "report TASK|REPORT", Short: "Show the report of a task's last run, or an earlier one by its name", Args: cobra.ExactArgs(1),
		Example: "  pavise schedule report check\n  pavise schedule report check --format sarif > check.sarif\n  pavise schedule report check-20261130T030412.118Z.json",
		RunE: func(command *cobra.Command, args []string) error {
			if asJSON {
				form = "json"
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				name, err := reportName(ctx, a, args[0])
				if err != nil {
					return err
				}
				report, err := a.Report(ctx, name)
				if err != nil {
					return err
				}
				out := command.OutOrStdout()
				if err := finding.Write(out, form, finding.Style{Color: isTerminal(out), All: all}, report); err != nil {
					return &usageError{err.Error(), "--format table, json, sarif, junit or html"}
				}
				return nil
			})
		},
	}
	command.Flags().StringVar(&form, "format", "table", "table, json, sarif, junit or html")
	command.Flags().BoolVar(&all, "all", false, "the table shows every place")
	jsonFlag(command, &asJSON)
	return command
}

// reportName is the report of a task's last run that has one, or the name itself.
func reportName(ctx context.Context, a *admin.Client, name string) (string, error) {
	s, err := a.Schedule(ctx, 400)
	if err != nil {
		return "", err
	}
	for _, t := range s.Tasks {
		if t.Name != name {
			continue
		}
		for _, r := range t.Last {
			if r.Report != "" {
				return r.Report, nil
			}
		}
		return "", &hinted{fmt.Errorf("%s has no report yet", name), "pavise schedule run " + name}
	}
	return name, nil
}
