package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/check"
	"pavise.dev/pavise/internal/check/leaks"
	"pavise.dev/pavise/internal/check/openapi"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/inventory"
	"pavise.dev/pavise/internal/review"
)

// Audit asks all rules about a configuration, the documents that it names, and what its store
// holds, as far as the subject has it.
func Audit(s check.Subject) (*finding.Report, error) {
	others := rulesOfOthers()
	s.Others = func(id string) bool { return others[id] }
	report, err := check.Run(s)
	if err != nil {
		return nil, err
	}
	return report, describedBy(s, report)
}

// rulesOfOthers are the rules of all that looks at an installation besides `pavise check` itself: what
// attacks, reviews and the inventory find, and what is found in documents, is waived in the
// configuration, too.
func rulesOfOthers() map[string]bool {
	return idsOf(inventory.Rules(), review.TrialRules(), review.Rules(), own.Rules(), foreign.Rules(), openapi.Rules())
}

func idsOf(rules ...[]finding.Rule) map[string]bool {
	ids := map[string]bool{}
	for _, r := range slices.Concat(rules...) {
		ids[r.ID] = true
	}
	return ids
}

// IsWaivable reports whether a rule is one of any report that takes waivers: they may stand together
// in one file.
func IsWaivable() func(rule string) bool {
	known := rulesOfOthers()
	maps.Copy(known, idsOf(check.Rules(), leaks.Rules()))
	return func(rule string) bool { return known[rule] }
}

// Waive marks what the configuration accepts of a report. A waiver of no use here may be of use
// tomorrow, or elsewhere: that one is over is told by [Audit].
func Waive(f *config.File, report *finding.Report) {
	waiveIn(f, nil, report.Findings, report.Time)
}

// waiveIn marks what the configuration, and waivers beside it, accept of some findings.
func waiveIn(f *config.File, beside []finding.Waiver, findings []finding.Finding, now time.Time) {
	all := slices.Clone(beside)
	for _, w := range f.Waivers {
		all = append(all, finding.Waiver{Rule: w.Rule, Where: w.Where, Reason: w.Reason, Until: w.Until, Inside: true})
	}
	_, _ = finding.Apply(findings, all, now)
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
func describedBy(s check.Subject, report *finding.Report) error {
	file := s.File
	seen, read := map[string]bool{}, &files{dir: file.Dir}
	var described []finding.Finding
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
				described = append(described, f)
			}
		}
	}
	waiveIn(file, s.Waivers, described, report.Time)
	report.Findings = append(report.Findings, described...)
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
