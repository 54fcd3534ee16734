package main

import (
	"cmp"
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

// reviewFlags say what `pavise review` is asked for: one thing at a time.
type reviewFlags struct {
	would, yes            bool
	since, api            string
	enough                int
	propose, trial, apply string

	use   useFlags
	lost  lostFlags
	shown reportFlags
}

func reviewCommand() *cobra.Command {
	f := &reviewFlags{}
	command := &cobra.Command{
		Use: "review", Short: "Who uses what he was granted, and who does not? A smaller policy; a lost credential; whether a trial is safe to enforce", Args: cobra.NoArgs,
		Long: `Which scopes, endpoints, credentials and policies were used, by whom and when; what was granted and not used; credentials that
are old, shared, about to end, or never rotated. Read from the event log; what the log does not cover is said.

--propose FOLDER writes a smaller policy: scopes to take away, credentials to revoke, clients to disable, and a patch for endpoints
without a caller. --trial FOLDER says who would have been refused since then, and --apply FOLDER makes the changes.

--lost CREDENTIAL says what whoever has it reaches, and what was done with it; --end ends it and all that came of it.

--would-block sums up what trials and candidates would have refused, and whether they are safe to enforce: counted are requests
since the gateway last read what is tried; without a refusal among n of them, the share is below 3/n at 95 % confidence.`,
		Example: `  pavise review --since 90d
  pavise review --propose smaller
  pavise review --trial smaller
  pavise review --apply smaller
  pavise review --lost 7K2Q9M4XWT --end --reason "laptop stolen"
  pavise review --would-block --since 14d`,
		RunE: func(command *cobra.Command, _ []string) error { return f.run(command) },
	}
	flags := command.Flags()
	flags.BoolVar(&f.would, "would-block", false, "sum up what is only recorded")
	flags.StringVar(&f.since, "since", "", "not before: a time, or how long ago; 90d, with --would-block 7d, with --trial since it was made")
	flags.StringVar(&f.api, "api", "", "with --would-block: of this API alone")
	flags.IntVar(&f.enough, "enough", review.DefaultEnough, "with --would-block: how many requests make a verdict")
	flags.StringVar(&f.propose, "propose", "", "write a smaller policy into a new `FOLDER`")
	flags.StringVar(&f.trial, "trial", "", "who would have been refused by the proposal in this `FOLDER`?")
	flags.StringVar(&f.apply, "apply", "", "make the changes of the proposal in this `FOLDER`")
	flags.BoolVar(&f.yes, "yes", false, "with --apply and --end: do not ask")
	f.use.register(command)
	f.lost.register(command)
	f.shown.registerForms(command)
	return command
}

func (f *reviewFlags) run(command *cobra.Command) error {
	if err := f.valid(command); err != nil {
		return err
	}
	now := time.Now()
	switch {
	case f.shown.rules:
		return listReviewRules(command, f.shown.asJSON)
	case f.would:
		return reviewWould(command, cmp.Or(f.since, "7d"), f.api, f.enough, f.shown.asJSON)
	case f.trial != "":
		return tryProposal(command, &f.use, f.trial, f.since, f.shown.asJSON)
	case f.apply != "":
		return applyProposal(command, &f.use, f.apply, f.yes)
	case f.lost.id != "":
		return reviewLost(command, &f.lost, f.use.logs, cmp.Or(f.since, "90d"), f.shown.asJSON, f.yes)
	}
	if err := f.use.read(cmp.Or(f.since, "90d"), now); err != nil {
		return err
	}
	return reviewUse(command, &f.use, &f.shown, f.propose)
}

// valid refuses flags that contradict each other.
func (f *reviewFlags) valid(command *cobra.Command) error {
	asked := 0
	for _, is := range []bool{f.would, f.propose != "", f.trial != "", f.apply != "", f.lost.id != ""} {
		if is {
			asked++
		}
	}
	changed := command.Flags().Changed
	switch {
	case asked > 1:
		return &usageError{"--would-block, --propose, --trial, --apply and --lost are things of their own", "run one command for each"}
	case f.enough < 1:
		return &usageError{fmt.Sprintf("--enough %d is no number of requests", f.enough), "300 say that fewer than 1 in 100 would be refused"}
	case !f.would && (changed("api") || changed("enough")):
		return &usageError{"--api and --enough are for --would-block", "pavise review --would-block"}
	case f.lost.id == "" && (f.lost.end || f.lost.kind != "" || f.lost.reason != "" || f.lost.evidence != ""):
		return &usageError{"--end, --kind, --reason and --evidence are for --lost", "pavise review --lost CREDENTIAL --end --reason WHY"}
	}
	return f.shown.forms()
}

// reviewWould says what would have been refused.
func reviewWould(command *cobra.Command, since, api string, enough int, asJSON bool) error {
	now := time.Now()
	begin, err := parseMoment(since, now)
	if err != nil {
		return err
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
}

// listReviewRules lists what is looked for.
func listReviewRules(command *cobra.Command, asJSON bool) error {
	if asJSON {
		return writeJSON(command.OutOrStdout(), review.Rules())
	}
	rows := [][]string{}
	for _, r := range review.Rules() {
		rows = append(rows, []string{r.ID, r.Severity.String(), r.Risk(), strings.Join(r.ASVS, " "), strings.Join(r.NIST, " "), r.Title})
	}
	return table(command.OutOrStdout(), []string{"RULE", "SEVERITY", "OWASP", "ASVS", "NIST", "WHAT"}, rows)
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
