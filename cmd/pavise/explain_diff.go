package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/explain"
)

// diffFlags are a change of the configuration, and the requests that are asked about.
type diffFlags struct{ file, since, until, api, failOn string }

func (f *diffFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "diff", "", "a new configuration: which recorded requests would it newly refuse, or newly let pass?")
	flags.StringVar(&f.since, "since", "24h", "with --diff: not before, a time or how long ago")
	flags.StringVar(&f.until, "until", "", "with --diff: before, a time or how long ago; default: now")
	flags.StringVar(&f.api, "api", "", "with --diff: requests to this API alone")
	flags.StringVar(&f.failOn, "fail-on", "any", "with --diff: exit with 1 for requests that newly fail, pass, any of both, or none")
}

func (f *diffFlags) run(command *cobra.Command, asJSON bool) error {
	now := time.Now()
	since, err := parseMoment(f.since, now)
	if err != nil {
		return err
	}
	until := now
	if f.until != "" {
		if until, err = parseMoment(f.until, now); err != nil {
			return err
		}
	}
	if !oneOf(f.failOn, "fail", "pass", "any", "none") {
		return &usageError{fmt.Sprintf("--fail-on %.40q is none", f.failOn), "fail, pass, any or none"}
	}
	found, err := f.replay(command, since, until)
	if err != nil {
		return err
	}
	if asJSON {
		err = writeJSON(command.OutOrStdout(), found)
	} else {
		err = showDiff(command.OutOrStdout(), &found)
	}
	if err != nil {
		return err
	}
	if found.Damage != "" {
		return &hinted{errors.New("what could be read is judged, but not all could: " + found.Damage), "`pavise log verify` names the first bad record"}
	}
	return f.verdict(&found)
}

// verdict is the exit code.
func (f *diffFlags) verdict(found *explain.Compared) error {
	fails := oneOf(f.failOn, "fail", "any") && found.NewlyFails > 0
	passes := oneOf(f.failOn, "pass", "any") && found.NewlyPasses > 0
	if !fails && !passes {
		return nil
	}
	return &hinted{fmt.Errorf("with %s, %s newly refused and %s newly let pass", f.file, counted(found.NewlyFails, "request"), counted(found.NewlyPasses, "request")), "--fail-on none if it is meant"}
}

// replay asks both configurations about the requests of the log. The administration says who the
// clients are, and has the log written out; the files are read here, as a gateway has better things to do.
func (f *diffFlags) replay(command *cobra.Command, since, until time.Time) (found explain.Compared, err error) {
	before, err := app.Load(configPath(command))
	if err != nil {
		return found, err
	}
	after, err := app.Load(f.file)
	if err != nil {
		return found, fmt.Errorf("the new configuration: %w", err)
	}
	var known *app.Known
	err = administer(command, func(ctx context.Context, a *admin.Client) error {
		clients, err := a.Clients(ctx)
		if err != nil {
			return err
		}
		credentials, err := a.Credentials(ctx, "", "")
		if err != nil {
			return err
		}
		known = app.NewKnown(clients, credentials)
		_, err = a.Events(ctx, audit.Query{Limit: 1})
		return err
	})
	if err != nil {
		return found, err
	}
	was, err := app.OpenReplay(before, before, known)
	if err != nil {
		return found, err
	}
	is, err := app.OpenReplay(after, before, known)
	if err != nil {
		return found, fmt.Errorf("the new configuration: %w", err)
	}
	diff := explain.NewDiff(was, is)
	err = audit.Each(command.Context(), before.Log.Folder, audit.Query{Class: audit.Request, Since: since, Until: until, API: f.api}, func(one audit.Found) error {
		diff.Add(&one.Event)
		return nil
	})
	found = diff.Found(since, until)
	if fault, ok := errors.AsType[*audit.Fault](err); ok {
		found.Damage, err = fault.Error(), nil
	}
	return found, err
}

// showDiff writes a comparison for people.
func showDiff(out io.Writer, c *explain.Compared) error {
	d := &drawing{out: out, color: isTerminal(out)}
	d.line(fmt.Sprintf("%d requests from %s to %s: %d newly fail, %d newly pass, %d as before, %d refused for another reason, %d not judged",
		c.Requests, shortTime(c.Since), shortTime(c.Until), c.NewlyFails, c.NewlyPasses, c.Same, c.Otherwise, c.Requests-c.Judged))
	if d.err == nil && len(c.Groups) > 0 {
		d.line("")
		rows := make([][]string, 0, len(c.Groups))
		for _, g := range c.Groups {
			rows = append(rows, []string{
				g.Change, g.API, g.Endpoint, g.Client, strings.Trim(g.Step+": "+g.Code, ": "), g.Why, fmt.Sprint(g.Count), shortTime(g.First), shortTime(g.Last), strings.Join(g.Samples, " "),
			})
		}
		if err := table(out, []string{"CHANGE", "API", "ENDPOINT", "CLIENT", "REFUSED BY", "WHY", "REQUESTS", "FIRST", "LAST", "SAMPLES"}, rows); err != nil {
			return err
		}
	}
	if c.MoreGroups > 0 {
		d.line(fmt.Sprintf("and %d requests more, in groups that found no room", c.MoreGroups))
	}
	d.counts("Not judged", c.NotJudged)
	d.counts("Judged, but for", c.Partly)
	d.title("What events cannot tell")
	for _, note := range c.Notes {
		d.line("  " + note)
	}
	return d.err
}

func (d *drawing) counts(title string, counts map[string]int) {
	if len(counts) == 0 {
		return
	}
	d.title(title)
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		d.line(fmt.Sprintf("  %8d  %s", counts[what], oneLine(what)))
	}
}
