package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/review"
)

func reviewCommand() *cobra.Command {
	var would, asJSON bool
	var since, api string
	var enough int
	command := &cobra.Command{
		Use: "review --would-block", Short: "What would trials and candidates have refused, and is it safe to enforce them?", Args: cobra.NoArgs,
		Long: `What would trials and candidates have refused, and is it safe to enforce them?

Read from the event log: for each endpoint and layer whom it would have refused, for what, and a verdict. Counted are requests
since the gateway last read what is tried; without a refusal among n of them, the share is below 3/n at 95 % confidence.`,
		Example: "  pavise review --would-block --since 14d",
		RunE: func(command *cobra.Command, _ []string) error {
			now := time.Now()
			begin, err := parseMoment(since, now)
			switch {
			case !would:
				return &usageError{"say what to review", "pavise review --would-block"}
			case err != nil:
				return err
			case enough < 1:
				return &usageError{fmt.Sprintf("--enough %d is no number of requests", enough), "300 say that fewer than 1 in 100 would be refused"}
			}
			found, err := reviewed(command, review.Options{Since: begin, Until: now, API: api, Enough: enough})
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(command.OutOrStdout(), found)
			} else {
				err = showReview(command.OutOrStdout(), &found)
			}
			if err == nil && found.Damage != "" {
				return &hinted{errors.New("what could be read is counted, but not all could: " + found.Damage), "`pavise log verify` names the first bad record"}
			}
			return err
		},
	}
	flags := command.Flags()
	flags.BoolVar(&would, "would-block", false, "sum up what is only recorded")
	flags.StringVar(&since, "since", "7d", "not before: a time, or how long ago, like 2h")
	flags.StringVar(&api, "api", "", "of this API alone")
	flags.IntVar(&enough, "enough", review.DefaultEnough, "how many requests make a verdict")
	jsonFlag(command, &asJSON)
	return command
}

// reviewed reads the log. The administration is asked first, so that what has happened is in
// the files; they are read here, as a gateway has better things to do.
func reviewed(command *cobra.Command, o review.Options) (found review.Summary, err error) {
	file, err := app.Load(configPath(command))
	if err != nil {
		return found, err
	}
	if o.Tried, o.Changed, err = app.Tried(file); err != nil {
		return found, err
	}
	if _, known := file.APIs[o.API]; o.API != "" && !known {
		return found, &usageError{fmt.Sprintf("there is no API %.80q", o.API), "the configuration names them under apis"}
	}
	err = administer(command, func(ctx context.Context, a *admin.Client) error {
		_, err := a.Events(ctx, audit.Query{Limit: 1})
		return err
	})
	if err != nil {
		return found, err
	}
	block := review.NewBlock(o)
	err = audit.Each(command.Context(), file.Log.Folder, audit.Query{Since: o.Since}, func(f audit.Found) error {
		block.Add(&f.Event)
		return nil
	})
	found = block.Summary()
	if fault, ok := errors.AsType[*audit.Fault](err); ok {
		found.Damage, err = fault.Error(), nil
	}
	return found, err
}

// showReview writes a review for people.
func showReview(w io.Writer, s *review.Summary) error {
	if len(s.Endpoints) == 0 {
		_, err := fmt.Fprintln(w, "nothing is on trial, and the log tells of nothing that was")
		return err
	}
	var verdicts, rows [][]string
	for _, e := range s.Endpoints {
		for _, l := range e.Layers {
			verdicts = append(verdicts, []string{e.API, e.Endpoint, l.Layer, l.Until, string(l.Verdict), l.Why})
			for _, r := range l.Rows {
				about := map[bool]string{true: "about "}[r.About]
				rows = append(rows, []string{
					e.API, e.Endpoint, l.Layer, r.Code, strings.TrimSpace(r.In + " " + r.Rule + " " + r.Pointer), fmt.Sprint(r.Count),
					fmt.Sprintf("%.3g%%", 100*r.Share), about + fmt.Sprint(r.Clients), about + fmt.Sprint(r.Networks), shortTime(r.First), shortTime(r.Last), r.Sample,
				})
			}
		}
	}
	if s.Judged != nil {
		if _, err := fmt.Fprintf(w, "Requests from %s on, when what is tried was in force:\n\n", shortTime(*s.Judged)); err != nil {
			return err
		}
	}
	if err := table(w, []string{"API", "ENDPOINT", "LAYER", "UNTIL", "VERDICT", "WHY"}, verdicts); err != nil || len(rows) == 0 {
		return err
	}
	if _, err := fmt.Fprintf(w, "\nWould have been refused since %s:\n\n", shortTime(s.Since)); err != nil {
		return err
	}
	return table(w, []string{"API", "ENDPOINT", "LAYER", "CODE", "FOR", "REQUESTS", "SHARE", "CLIENTS", "NETWORKS", "FIRST", "LAST", "SAMPLE"}, rows)
}
