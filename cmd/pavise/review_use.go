package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/review"
)

// useFlags say of what, and since when, `pavise review` looks.
type useFlags struct {
	client, settle string
	logs           []string

	window review.Window
	aim    review.Aim
}

func (f *useFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.client, "client", "", "of this client alone")
	flags.StringVar(&f.settle, "settle", "14d", "what is younger, or was watched for less, is not called unused")
	flags.StringArrayVar(&f.logs, "log", nil, "also the event log in this `FOLDER`: of another node that shares the store; may be repeated")
}

// read checks the flags.
func (f *useFlags) read(since string, now time.Time) error {
	begin, err := parseMoment(since, now)
	if err != nil {
		return err
	}
	asked := now.Sub(begin)
	if asked < 24*time.Hour-time.Minute || asked > 366*24*time.Hour {
		return &usageError{fmt.Sprintf("--since %s is no time of 1 to 365 days", since), "--since 90d"}
	}
	settle, err := config.ParseDuration(f.settle)
	if err != nil || settle < 0 {
		return &usageError{fmt.Sprintf("--settle %q is no time", f.settle), "14d"}
	}
	f.window = review.Window{Since: begin, Until: now}
	f.aim = review.Aim{Now: now, Client: f.client, Settle: min(settle, asked)}
	return nil
}

// holding is what the installation has, and its configuration.
type holding struct {
	*app.Holding

	file *config.File
}

// held asks the administration for what is granted. The log is read here, as a gateway has better
// things to do.
func held(command *cobra.Command) (*holding, error) {
	file, err := app.Load(configPath(command))
	if err != nil {
		return nil, err
	}
	h := &holding{file: file}
	err = administer(command, func(ctx context.Context, a *admin.Client) (err error) {
		h.Holding, err = app.GrantsOf(ctx, file, a, time.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// used says what was used.
func (f *useFlags) used(command *cobra.Command) (*holding, *review.Used, error) {
	h, err := held(command)
	if err != nil {
		return nil, nil, err
	}
	if f.client != "" && !slices.ContainsFunc(h.Clients, func(c client.Client) bool { return c.ID == f.client }) {
		return nil, nil, &usageError{fmt.Sprintf("there is no client %.80q", f.client), "pavise client list"}
	}
	used, err := f.look(command.Context(), h, f.window)
	return h, used, err
}

func (f *useFlags) look(ctx context.Context, h *holding, w review.Window) (*review.Used, error) {
	return review.Read(ctx, append([]string{h.file.Log.Folder}, f.logs...), h.Granted, w)
}

// reviewedUse is the form for programs.
type reviewedUse struct {
	*review.Used
	Covers   float64           `json:"covers"` // how much of the time the log covers, 0 to 1
	Findings []finding.Finding `json:"findings"`
	Unjudged []review.Unjudged `json:"unjudged"`
	Notes    []string          `json:"notes,omitempty"`
	Partial  string            `json:"partial,omitempty"`
}

// reviewUse shows what was used, and what was not.
func reviewUse(command *cobra.Command, f *useFlags, shown *reportFlags, folder string) error {
	h, used, err := f.used(command)
	if err != nil {
		return err
	}
	report := used.Report(h.file.Where("").File, f.aim)
	app.Waive(h.file, report)
	if folder != "" {
		return propose(command, f, h, used, folder)
	}
	out := command.OutOrStdout()
	switch form := shown.form(); form {
	case "json":
		err = writeJSON(out, reviewedUse{used, used.Covers(), report.Findings, used.Unjudged(f.aim), report.Notes, report.Partial})
	case "table":
		partial := report.Partial
		report.Partial = "" // it goes first
		if err = showUse(out, used, f.client, partial); err == nil {
			err = showFindings(out, report, shown.all)
		}
	case "html":
		err = used.WriteHTML(out, report, f.aim)
	default:
		err = finding.Write(out, form, finding.Style{FailOn: shown.least}, report)
	}
	if err != nil {
		return err
	}
	if used.Damage != "" {
		return &hinted{errors.New("what could be read is counted, but not all could: " + used.Damage), "`pavise log verify` names the first bad record"}
	}
	return shown.verdict(report)
}

// showUse writes for people who used what.
func showUse(w io.Writer, u *review.Used, only, partial string) error {
	were := map[bool]string{true: "was"}[u.Accepted == 1]
	head := fmt.Sprintf("%s %s accepted from %s to %s.", counted(u.Accepted, "request"), cmp.Or(were, "were"), shortTime(u.Since), shortTime(u.Until))
	if _, err := fmt.Fprintln(w, strings.TrimSpace(head+" "+printable(partial))); err != nil {
		return err
	}
	clients := [][]string{}
	for _, c := range u.Clients {
		if only != "" && c.Client != only {
			continue
		}
		used := []string{}
		for _, s := range c.Scopes {
			if !slices.Contains(c.Unused, s.Scope) {
				used = append(used, s.Scope)
			}
		}
		clients = append(clients, []string{c.Client, fmt.Sprint(c.Requests), lastOf(&c.Activity), fmt.Sprint(len(c.Endpoints)), strings.Join(c.Methods, " "), strings.Join(used, " "), strings.Join(c.Unused, " ")})
	}
	credentials := [][]string{}
	for _, c := range u.Credentials {
		if only != "" && c.Client != only {
			continue
		}
		about := map[bool]string{true: "about "}[c.AboutCount]
		credentials = append(credentials, []string{c.Kind, c.ID, c.Client, fmt.Sprint(c.Requests), lastOf(&c.Activity), about + fmt.Sprint(c.NetworkCount), shortTime(c.Created), shortTime(c.Ends)})
	}
	endpoints := [][]string{}
	for _, e := range u.Endpoints {
		endpoints = append(endpoints, []string{e.API, e.Pattern, fmt.Sprint(e.Requests), fmt.Sprint(e.Refused), fmt.Sprint(e.Clients), lastOf(&e.Activity), strings.Join(e.Scopes, " ")})
	}
	for _, one := range []struct {
		headings []string
		rows     [][]string
	}{
		{[]string{"CLIENT", "REQUESTS", "LAST", "ENDPOINTS", "METHODS", "SCOPES USED", "NOT USED"}, clients},
		{[]string{"KIND", "CREDENTIAL", "CLIENT", "REQUESTS", "LAST", "NETWORKS", "MADE", "ENDS"}, credentials},
		{[]string{"API", "ENDPOINT", "REQUESTS", "REFUSED", "CLIENTS", "LAST", "SCOPES"}, map[bool][][]string{true: endpoints}[only == ""]},
		{[]string{"ISSUER", "CALLER", "REQUESTS", "LAST", "ENDPOINTS"}, map[bool][][]string{true: strangers(u)}[only == ""]},
		{[]string{"POLICY", "PERMITTED AT MOST", "IT ALONE", "FORBADE", "CLIENTS"}, map[bool][][]string{true: policies(u)}[only == ""]},
	} {
		if len(one.rows) == 0 {
			continue
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := table(w, one.headings, one.rows); err != nil {
			return err
		}
	}
	return nil
}

func lastOf(a *review.Activity) string {
	if a.Last == nil {
		return ""
	}
	return shortTime(*a.Last)
}

// maxStrangers is how many callers the table shows whom the store does not know.
const maxStrangers = 50

func strangers(u *review.Used) (rows [][]string) {
	for _, s := range u.Strangers[:min(len(u.Strangers), maxStrangers)] {
		rows = append(rows, []string{s.Issuer, s.Name, fmt.Sprint(s.Requests), lastOf(&s.Activity), fmt.Sprint(len(s.Endpoints))})
	}
	return rows
}

func policies(u *review.Used) (rows [][]string) {
	for _, p := range u.Policies {
		rows = append(rows, []string{p.Name, fmt.Sprint(p.Requests), fmt.Sprint(p.Alone), fmt.Sprint(p.Forbade), fmt.Sprint(p.Callers)})
	}
	return rows
}
