package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/check"
	"pavise.dev/pavise/internal/check/openapi"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/inventory"
	"pavise.dev/pavise/internal/review"
)

// Audit asks all rules about a configuration, the documents that it names, and what its store
// holds, as far as the subject has it.
func Audit(s check.Subject) (*finding.Report, error) {
	s.Others = isReviews
	report, err := check.Run(s)
	if err != nil {
		return nil, err
	}
	return report, describedBy(s.File, report)
}

// isReviews reports whether a rule is one of the review: what it finds is waived in the
// configuration, too.
func isReviews(id string) bool {
	return slices.ContainsFunc(slices.Concat(inventory.Rules(), review.TrialRules(), review.Rules()), func(r finding.Rule) bool { return r.ID == id })
}

// waive marks what is accepted of a review.
func waive(f *config.File, report *finding.Report) {
	var all []finding.Waiver
	for _, w := range f.Waivers {
		if isReviews(w.Rule) {
			all = append(all, finding.Waiver{Rule: w.Rule, Where: w.Where, Reason: w.Reason, Until: w.Until, Inside: true})
		}
	}
	_, _ = finding.Apply(report.Findings, all, report.Time) // one of no use may be of use tomorrow: what is found follows from the log
}

// Holdings reads what a store holds: of the gateway that runs, or of the folder.
func Holdings(ctx context.Context, c *admin.Client) (held *check.Held, err error) {
	held = &check.Held{}
	if held.Clients, err = c.Clients(ctx); err != nil {
		return nil, err
	}
	if held.Credentials, err = c.Credentials(ctx, "", ""); err != nil {
		return nil, err
	}
	authority, err := c.Authority(ctx)
	if _, none := errors.AsType[*admin.Problem](err); none {
		return held, nil // there is no authority
	}
	if err != nil {
		return nil, err
	}
	for _, m := range authority.Members {
		held.Authority = append(held.Authority, check.Authority{
			Subject: m.Subject, Role: m.Role, Active: m.State == "active", Offline: m.Offline, NotBefore: m.NotBefore, NotAfter: m.NotAfter,
		})
	}
	return held, nil
}

// isTheGuards reports whether a rule about documents asks for what the configuration says
// instead: who may call, and the answers that the gateway itself gives. An operation that no
// endpoint can have is none of a configuration that is valid.
func isTheGuards(rule string) bool {
	switch rule {
	case "no-security", "optional-security", "security-undefined", "security-without-scopes", "scope-undefined", "unusable",
		"response-401-missing", "response-403-missing", "response-429-missing", "sensitive-flow":
		return true
	}
	return false
}

// describedBy adds what is found in the documents that the configuration names.
func describedBy(file *config.File, report *finding.Report) error {
	seen, read := map[string]bool{}, &files{dir: file.Dir}
	for _, api := range file.APIs {
		if api.OpenAPI == nil || seen[api.OpenAPI.File] {
			continue
		}
		seen[api.OpenAPI.File] = true
		text, err := read.Read(api.OpenAPI.File)
		if err != nil {
			return err
		}
		found, err := openapi.Check(api.OpenAPI.File, text, openapi.Options{Now: report.Time})
		if err != nil {
			return fmt.Errorf("check %s: %w", api.OpenAPI.File, err)
		}
		for _, f := range found.Common(report.Time).Findings {
			if !isTheGuards(f.Rule) {
				report.Findings = append(report.Findings, f)
			}
		}
	}
	if len(seen) > 0 {
		report.Rules = append(report.Rules, openapi.Rules()...)
		report.Sort()
	}
	return nil
}

// steady names the files of findings the same way each time: a configuration is read by the
// path of the command line at the start, and by its whole path at a reload.
func steady(file *config.File, report *finding.Report) {
	for i := range report.Findings {
		where := &report.Findings[i].Where
		whole, err := filepath.Abs(where.File)
		if err != nil || !slices.Contains(file.Paths, whole) {
			continue // of a document, which is named as the configuration names it
		}
		if relative, err := filepath.Rel(file.Dir, whole); err == nil {
			where.File = relative
		}
	}
}
