package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/notify"
)

func logAlerts() *cobra.Command {
	var since, test string
	var asJSON, open bool
	command := &cobra.Command{
		Use: "alerts", Short: "What the detections have found, who is told of it, and what is done", Args: cobra.MaximumNArgs(1),
		Long: `Show the incidents of the last days from the event log, oldest first; what is done about them
by itself (alerts.respond), and how far each of alerts.notify is.

With --test, a test is written into the log, and goes the way of every alert: to all notifiers,
or to the one that is named. It is said of each whether it took it, with the error if not.
While no gateway runs, they are told directly.`,
		Example: `  pavise log alerts --open
  pavise log alerts --since 30d --json
  pavise log alerts --test
  pavise log alerts --test ops`,
		RunE: func(command *cobra.Command, args []string) error {
			if command.Flags().Changed("test") {
				return testAlerts(command, named(test, args), asJSON)
			}
			if len(args) > 0 {
				return &usageError{fmt.Sprintf("%.40q is no flag", args[0]), "pavise log alerts --test NOTIFIER tests one"}
			}
			from, err := parseMoment(since, time.Now())
			if err != nil {
				return err
			}
			if open && !command.Flags().Changed("since") {
				from = time.Time{} // what goes on began whenever it began
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				all, err := a.Alerts(ctx, from)
				if err != nil {
					return err
				}
				if open {
					all.Incidents = slices.DeleteFunc(all.Incidents, func(r alert.Recorded) bool { return r.Ended })
				}
				return writeAlerts(command, &all, asJSON)
			})
		},
	}
	command.Flags().StringVar(&since, "since", "7d", "when they began: a time (RFC 3339), or how long ago: 2h, 7d")
	command.Flags().BoolVar(&open, "open", false, "only incidents that have not ended; without --since, whenever they began")
	command.Flags().StringVar(&test, "test", "", "test whether alerts arrive: at all notifiers, or at one")
	command.Flags().Lookup("test").NoOptDefVal = notify.Everybody
	jsonFlag(command, &asJSON)
	return command
}

// named is whom a test goes to: --test, --test NAME and --test=NAME.
func named(flag string, args []string) string {
	if len(args) > 0 && flag == notify.Everybody {
		return args[0]
	}
	return flag
}

func writeAlerts(command *cobra.Command, all *admin.Alerted, asJSON bool) error {
	out := command.OutOrStdout()
	if asJSON {
		return writeJSON(out, all)
	}
	rows := make([][]string, 0, len(all.Incidents))
	for _, i := range all.Incidents {
		state := "open"
		if i.Ended {
			state = "ended " + i.Last.UTC().Format(time.RFC3339)
		}
		if i.Silenced {
			state += ", silenced"
		}
		about := printable(i.Subject.String())
		if i.Subject == (alert.Subject{}) {
			about = "(erased)"
		}
		rows = append(rows, []string{
			i.Began.UTC().Format(time.RFC3339), i.Detection, string(i.Severity), about, strconv.Itoa(i.Count), state, printable(i.What), i.Event,
		})
	}
	if err := orNone(out, "nothing was found", []string{"BEGAN", "DETECTION", "SEVERITY", "ABOUT", "SIGNS", "STATE", "WHAT", "EVENT"}, rows); err != nil {
		return err
	}
	if all.Damage != "" {
		if _, err := fmt.Fprintln(command.ErrOrStderr(), "not all of the log can be read:", printable(all.Damage)); err != nil {
			return err
		}
	}
	rows = nil
	for _, r := range all.Responses {
		rows = append(rows, []string{r.What, printable(r.About), r.Until.UTC().Format(time.RFC3339), printable(r.Why)})
	}
	if err := section(out, []string{"RESPONSE", "ABOUT", "UNTIL", "WHY"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, n := range all.Notifiers {
		rows = append(rows, []string{n.Name, n.Kind, printable(sinkState(&n))})
	}
	return section(out, []string{"NOTIFIER", "KIND", "STATE"}, rows)
}

// orNone writes a table, or that there is nothing.
func orNone(out io.Writer, none string, headings []string, rows [][]string) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(out, none)
		return err
	}
	return table(out, headings, rows)
}

// section writes a table behind an empty line, if there is anything.
func section(out io.Writer, headings []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	return table(out, headings, rows)
}

func testAlerts(command *cobra.Command, notifier string, asJSON bool) error {
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		all, err := a.TestAlerts(ctx, notifier)
		if err != nil {
			return err
		}
		var rows [][]string
		missing := 0
		for _, t := range all {
			state := "it arrived"
			if !t.Arrived {
				state = t.Error
				missing++
			}
			rows = append(rows, []string{t.Notifier, printable(state)})
		}
		if asJSON {
			err = writeJSON(command.OutOrStdout(), all)
		} else {
			err = table(command.OutOrStdout(), []string{"NOTIFIER", "TEST"}, rows)
		}
		if err == nil && missing > 0 {
			err = fmt.Errorf("%d of %d notifiers did not take the test", missing, len(all))
		}
		return err
	})
}

func logSilence() *cobra.Command {
	var life, reason string
	command := &cobra.Command{
		Use: "silence DETECTION [SUBJECT]", Short: "Tell nobody of what a detection finds, for a time", Args: cobra.RangeArgs(1, 2),
		Long: `Tell nobody of what a detection finds: about anybody, or about one subject, which is a network,
a credential, a client, a user or an endpoint by its name. It is recorded all the same, marked
silenced, and alerts.respond acts on it. What still goes on when the silence ends is told then.

all stands for every detection, about one subject.`,
		Example: `  pavise log silence guessing 203.0.113.0/24 --for 2h --reason "penetration test, ticket 4711"
  pavise log silence all shop --for 30m --reason "load test"
  pavise log unsilence guessing 203.0.113.0/24`,
		RunE: func(command *cobra.Command, args []string) error {
			long, err := config.ParseDuration(life)
			if err != nil || long <= 0 {
				return &usageError{fmt.Sprintf("%q is no time", life), "write 30m, 2h or 7d, 30d at most"}
			}
			if reason == "" {
				return &usageError{"say why", `--reason "penetration test, ticket 4711"`}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				done, err := a.Silence(ctx, admin.NewSilence{Detection: args[0], Subject: subject(args), Life: long, Reason: reason})
				return showDone(command, done, err)
			})
		},
	}
	command.Flags().StringVar(&life, "for", "1h", "how long, 30d at most")
	command.Flags().StringVar(&reason, "reason", "", "why, for the log")
	return command
}

func subject(args []string) string {
	if len(args) > 1 {
		return args[1]
	}
	return ""
}

func logUnsilence() *cobra.Command {
	return &cobra.Command{
		Use: "unsilence DETECTION [SUBJECT]", Short: "End a silence", Args: cobra.RangeArgs(1, 2),
		RunE: func(command *cobra.Command, args []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				done, err := a.Unsilence(ctx, admin.OldSilence{Detection: args[0], Subject: subject(args)})
				return showDone(command, done, err)
			})
		},
	}
}

func logSilences() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "silences", Short: "What nobody is told of at present", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				all, err := a.Silences(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), all)
				}
				rows := make([][]string, 0, len(all))
				for _, s := range all {
					rows = append(rows, []string{s.Detection, printable(s.Subject), s.Until.Format(time.RFC3339), s.By, printable(s.Reason)})
				}
				return orNone(command.OutOrStdout(), "nothing is silenced", []string{"DETECTION", "ABOUT", "UNTIL", "BY", "REASON"}, rows)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}
