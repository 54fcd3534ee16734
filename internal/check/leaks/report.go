package leaks

import (
	"fmt"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/finding"
)

// Holder is whose a credential is, and whether it is in force, as the store says.
type Holder struct {
	Client   string
	Live     bool
	Ended    string // why it is not: revoked, expired, disabled
	Unlisted bool   // the store knows no credential of this id
}

// HoldersOf finds credentials of a store by their public id.
func HoldersOf(clients []client.Client, credentials []client.Credential, now time.Time) func(id string) Holder {
	disabled := map[string]bool{}
	for _, c := range clients {
		disabled[c.ID] = c.Disabled
	}
	known := map[string]Holder{}
	for i := range credentials {
		c := &credentials[i]
		h := Holder{Client: c.Client, Live: true}
		switch end := c.End(); {
		case !c.Revoked.IsZero():
			h.Live, h.Ended = false, "revoked"
		case !end.IsZero() && !now.Before(end):
			h.Live, h.Ended = false, "expired"
		case disabled[c.Client]:
			h.Ended = "its client is disabled, and could be enabled again"
		}
		known[c.ID] = h
	}
	return func(id string) Holder {
		if h, ok := known[id]; ok {
			return h
		}
		return Holder{Unlisted: true}
	}
}

// Rules are those of findings about leaks.
func Rules() []finding.Rule {
	places := finding.Standards{OWASP: finding.API2, ASVS: []string{"13.3.1"}, NIST: []string{"REC-API-11"}, CWE: []string{"CWE-798"}}
	revoke := "take it out of the file and of the history of the repository; what was written down once is known"
	return []finding.Rule{
		{ID: "leaked-live-key", Severity: finding.Critical, Title: "An API key, or a secret of signatures, that is in force", Why: "Whoever can read the file can call, now, in the client's name.", Mend: "pavise revoke ID --reason leaked, at once; then " + revoke, Standards: places},
		{ID: "leaked-key", Severity: finding.High, Title: "An API key, or a secret of signatures", Why: "Whoever can read the file can call in the client's name, if the key is in force somewhere.", Mend: "pavise revoke ID --reason leaked, where it is known; then " + revoke, Standards: places},
		{ID: "leaked-dead-key", Severity: finding.Low, Title: "An API key, or a secret of signatures, that is over", Why: "It opens nothing any more; its successor may have been put in the same place.", Mend: revoke, Standards: places},
		{ID: "leaked-secret", Severity: finding.High, Title: "A secret or a token of Pavise", Why: "Whoever can read the file is the client, or goes on in the name of the person who signed in.", Mend: "a client's secret: give it a new registration (pavise client), and revoke this one; a token: pavise token grants revoke; an invitation: pavise client invite; then " + revoke, Standards: places},
		{ID: "leaked-private-key", Severity: finding.High, Title: "A private key", Why: "Whoever can read the file can pretend to be the host or the service, or sign what it signs.", Mend: "make a new key; revoke the certificate (pavise cert revoke, or its authority); then " + revoke, Standards: places},
		{ID: "leaked-token", Severity: finding.Medium, Title: "A token (JWT)", Why: "Whoever can read the file may use it until it ends.", Mend: "pavise revoke ISSUER#JTI --reason leaked, or at its issuer; then " + revoke, Standards: places},
		{ID: "leaked-dead-token", Severity: finding.Info, Title: "A token (JWT) that is over", Why: "It opens nothing any more; it tells who signed what for whom.", Mend: revoke, Standards: places},
	}
}

// Report tells of leaks as findings. holders is nil where no store was asked.
func Report(root string, found *Found, holders func(id string) Holder, now time.Time) *finding.Report {
	report := &finding.Report{
		Tool: "pavise check", Subject: root, About: fmt.Sprintf("%d files, %d MiB", found.Files, found.Bytes>>20), Time: now, Rules: Rules(), Findings: []finding.Finding{},
	}
	rules := map[string]finding.Rule{}
	for _, r := range report.Rules {
		rules[r.ID] = r
	}
	for i := range found.Leaks {
		l := &found.Leaks[i]
		rule, note := judged(l, holders, now)
		name := l.ID
		if name == "" {
			name = string(l.Kind)
		}
		where := finding.Place{File: l.File, Line: l.Line, Column: l.Column, Path: fmt.Sprintf("%s %s:%d:%d", name, l.File, l.Line, l.Column)}
		report.Findings = append(report.Findings, rules[rule].At(where, "%s%s", l.What(), note))
	}
	for _, name := range found.Skipped {
		report.Notes = append(report.Notes, "not looked at: "+name)
	}
	if found.More {
		report.Partial = "there is more than is looked at in one run: name a smaller folder"
	}
	report.Sort()
	return report
}

// judged says which rule a leak breaks, and what is known of it.
func judged(l *Leak, holders func(id string) Holder, now time.Time) (rule, note string) {
	switch l.Kind {
	case APIKey, SigningSecret:
		if holders == nil {
			return "leaked-key", ": pavise revoke " + l.ID
		}
		switch h := holders(l.ID); {
		case h.Unlisted:
			return "leaked-key", ": this store does not know it"
		case h.Live && h.Ended != "":
			return "leaked-live-key", ", of " + h.Client + ": " + h.Ended + "; pavise revoke " + l.ID
		case h.Live:
			return "leaked-live-key", ", of " + h.Client + ": in force; pavise revoke " + l.ID
		default:
			return "leaked-dead-key", ", of " + h.Client + ": " + h.Ended
		}
	case PrivateKey:
		return "leaked-private-key", ""
	case JWT:
		of := ""
		if l.Issuer != "" {
			of = ", of " + l.Issuer
		}
		switch {
		case !l.Ends.IsZero() && !now.Before(l.Ends):
			return "leaked-dead-token", of + ": ended at " + l.Ends.Format(time.RFC3339)
		case l.Issuer != "" && l.ID != "":
			return "leaked-token", of + ": pavise revoke '" + l.Issuer + "#" + l.ID + "'"
		}
		return "leaked-token", of
	}
	return "leaked-secret", ""
}
