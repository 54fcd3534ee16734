package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/explain"
)

// maxImagined is the longest body of a request that is not sent, in bytes.
const maxImagined = 1 << 20

// whatIfFlags are a request that is not sent.
type whatIfFlags struct {
	q       admin.WhatIf
	headers []string
	body    string
	at      string
}

func (f *whatIfFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.q.Client, "as", "", "client that would call; nothing is sent")
	flags.StringVar(&f.q.Credential, "credential", "", "with this credential of the client; default: any")
	flags.StringVar(&f.q.Host, "host", "", "host that would be called; default: the one that has the path")
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "'Name: value' that would be sent; may be repeated")
	flags.StringVar(&f.body, "body", "", "what would be sent: text, @FILE, or @- for stdin; with --signature: what was sent, to compare its digest")
	flags.StringVar(&f.q.From, "from", "", "the caller's address")
	flags.StringVar(&f.at, "at", "", "when it would be sent: 2026-12-01T10:00 (UTC) or RFC 3339; default: now")
}

func (f *whatIfFlags) run(command *cobra.Command, method, path string, asJSON bool) error {
	q := f.q
	q.Method, q.Path = strings.ToUpper(method), path
	if err := f.fill(command, &q); err != nil {
		return err
	}
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		answer, err := a.WhatIf(ctx, q)
		if err != nil {
			return err
		}
		out := command.OutOrStdout()
		if asJSON {
			err = writeJSON(out, answer)
		} else {
			err = showForeseen(out, &answer)
		}
		if err == nil && !answer.Allowed && answer.Status == 0 {
			return &refusedError{fmt.Sprintf("what would become of %s %s as %s cannot be said", q.Method, q.Path, q.Client)}
		}
		if err == nil && !answer.Allowed {
			return &refusedError{fmt.Sprintf("%s %s as %s would be refused", q.Method, q.Path, q.Client)}
		}
		return err
	})
}

// fill reads body, headers and time.
func (f *whatIfFlags) fill(command *cobra.Command, q *admin.WhatIf) (err error) {
	if f.at != "" {
		if q.At, err = parseAt(f.at); err != nil {
			return err
		}
	}
	q.Header = http.Header{}
	if command.Flags().Changed("body") {
		if q.Body, err = readData(f.body, command.InOrStdin()); err != nil {
			return err
		}
		if len(q.Body) > maxImagined {
			return &usageError{fmt.Sprintf("the body has %d bytes, at most %d are judged here", len(q.Body), maxImagined), "send it, and explain the answer's request id"}
		}
		q.HasBody = true
		if json.Valid(q.Body) {
			q.Header.Set("Content-Type", "application/json")
		}
	}
	named := map[string]bool{}
	for _, line := range f.headers {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return &usageError{"a header has no name or no colon", "write --header 'Name: value'"}
		}
		canonical := http.CanonicalHeaderKey(name)
		if !named[canonical] {
			q.Header.Del(canonical)
		}
		named[canonical] = true
		q.Header[canonical] = append(q.Header[canonical], strings.TrimSpace(value))
	}
	return nil
}

// parseAt reads a moment; without a zone it is UTC.
func parseAt(text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.Parse(form, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, &usageError{fmt.Sprintf("--at %.40q is no time", text), "write 2026-12-01T10:00, in UTC, or 2026-12-01T10:00:00+01:00"}
}

func showForeseen(out io.Writer, a *admin.Answer) error {
	decision := "accepted"
	switch {
	case a.Allowed:
	case a.Status == 0:
		decision = "not known"
	default:
		decision = fmt.Sprintf("refused with %d", a.Status)
	}
	d := &drawing{out: out, color: isTerminal(out)}
	d.pairs([][2]string{
		{"decision", decision},
		{"at", shortTime(a.At)},
		{"api", a.API},
		{"endpoint", a.Endpoint},
		{"shield", a.Shield},
		{"step", a.Step},
		{"code", a.Code},
		{"why", a.Why},
		{"input", strings.Join(a.Fields, "; ")},
		{"scopes", strings.Join(a.Scopes, " ")},
		{"remedy", a.Remedy},
		{"changed", a.Changed},
		{"on trial", a.Would},
	})
	d.foreseen(a.Path)
	if len(a.Unknown) > 0 {
		d.title("Not judged")
		for _, unknown := range a.Unknown {
			d.line("  " + oneLine(unknown))
		}
	}
	return d.err
}

// foreseen draws the steps that a request would take.
func (d *drawing) foreseen(steps []admin.Foreseen) {
	if len(steps) == 0 {
		return
	}
	d.title("The path it would take")
	for _, s := range steps {
		text := s.Why
		if s.Outcome == "not judged" {
			text = "not judged: " + s.Why
		}
		outcome := map[string]explain.Outcome{"passed": explain.Passed, "told": explain.Passed, "refused": explain.Refused}[s.Outcome]
		d.line(strings.TrimRight(fmt.Sprintf("  %s %-10s %s", d.mark(outcome), s.Step, oneLine(text)), " "))
	}
}
