package openapi

import (
	"strconv"
	"time"

	"pavise.dev/pavise/internal/finding"
)

// Common is the report in the form that all tools have in common, in which it can be written for
// code scanners and CI, and as a page.
func (r *Report) Common(now time.Time) *finding.Report {
	rules := byID()
	common := &finding.Report{Tool: "pavise check", Subject: r.File, About: counted(r.Operations, "operation"), Time: now, Rules: Rules(), Findings: make([]finding.Finding, 0, len(r.Findings))}
	for i := range r.Findings {
		f := &r.Findings[i]
		told := rules[f.Rule].At(finding.Place{File: r.File, Line: f.Line, Column: f.Column, Path: f.Pointer}, "%s", f.What)
		if f.Waived != nil {
			told.Waived = &finding.Waived{Reason: f.Waived.Reason, Until: f.Waived.Until, Inside: f.Waived.at != nil}
		}
		common.Findings = append(common.Findings, told)
	}
	if r.More > 0 {
		common.Notes = append(common.Notes, counted(r.More, "more finding")+" were not kept")
	}
	if r.Partial {
		common.Partial = "the document is too large, or its parts refer to each other too often, to be looked at to its end"
	}
	return common
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
