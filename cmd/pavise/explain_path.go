package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/explain"
)

func explainRequest(command *cobra.Command, id string, asJSON bool) error {
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		x, err := a.Explain(ctx, id)
		if err != nil {
			return err
		}
		return showExplanation(command, &x, asJSON)
	})
}

// explainFrom explains out of a log alone: no gateway, no state and no key is needed. A
// configuration that can be read tells what holds now.
func explainFrom(command *cobra.Command, folder, id string, asJSON bool) error {
	found, err := audit.Search(command.Context(), folder, audit.Query{ID: id, Limit: 1})
	if len(found) == 0 {
		if err == nil {
			err = &refusedError{fmt.Sprintf("there is no event %.80q in %s", id, folder)}
		}
		return err
	}
	known := explain.Known{}
	if file, err := app.Load(configPath(command)); err == nil { // what holds now is told where it is known
		known.File = file
	}
	x := admin.Explain(&found[0], known)
	return showExplanation(command, &x, asJSON)
}

func showExplanation(command *cobra.Command, x *admin.Explanation, asJSON bool) error {
	out := command.OutOrStdout()
	if asJSON {
		return writeJSON(out, x)
	}
	e, err := audit.ParseJSON(x.Event)
	if err != nil {
		return fmt.Errorf("read the event: %w", err)
	}
	e.Detail = x.Why // with the names of a shield's parts
	color := isTerminal(out)
	d := &drawing{out: out, color: color}
	d.line(eventLine(&e, color))
	d.pairs([][2]string{{"decision", x.Decision}, {"step", x.Step}, {"code", x.Code}, {"why", x.Why}, {"remedy", x.Remedy}})
	d.path(x.Path)
	if x.Shield != nil && x.Shield.Combine != "" {
		d.title("The shield, part by part")
		d.proof(x.Shield, 1)
	}
	d.facts("Who", x.Who)
	d.facts("What holds for the endpoint now", x.Policy)
	if len(x.Since) > 0 {
		d.title("Changed since then: it might be judged otherwise now")
		for _, c := range x.Since {
			d.line("  " + shortTime(c.Time) + "  " + oneLine(c.Text))
		}
	}
	for _, note := range x.Notes {
		d.title(note)
	}
	if len(x.Next) > 0 {
		d.title("Next")
		for _, next := range x.Next {
			if command.Flags().Changed("config") {
				next = explain.With(next, configPath(command))
			}
			d.line("  " + oneLine(next))
		}
	}
	return d.err
}

// drawing writes lines, and keeps the first error.
type drawing struct {
	out   io.Writer
	color bool
	err   error
}

func (d *drawing) line(text string) {
	if d.err == nil {
		_, d.err = fmt.Fprintln(d.out, text)
	}
}

func (d *drawing) title(text string) { d.line("\n" + paint(d.color, "1", oneLine(text))) }

func (d *drawing) pairs(list [][2]string) { d.err = errors.Join(d.err, pairs(d.out, list)) }

// path draws steps, one line each.
func (d *drawing) path(steps []explain.Step) {
	if len(steps) == 0 {
		return
	}
	d.title("The path")
	for _, s := range steps {
		text := oneLine(s.What)
		if text == "" && s.Outcome == explain.None {
			continue // the endpoint does not have it
		}
		switch {
		case s.Why != "":
			text = strings.TrimPrefix(text+"; ", "; ") + oneLine(s.Why)
		case s.Outcome == explain.Skipped:
			text = string(s.Outcome)
		}
		took := ""
		if s.Took > 0 {
			took = fmt.Sprintf("%.0f µs", s.Took)
		}
		d.line(fmt.Sprintf("  %s %-10s %9s  %s", d.mark(s.Outcome), s.Name, took, text))
	}
}

// mark is the sign of an outcome.
func (d *drawing) mark(o explain.Outcome) string {
	tone := map[explain.Outcome]string{explain.Passed: "32", explain.Refused: "31"}[o]
	if tone == "" {
		tone = "2"
	}
	return paint(d.color, tone, o.Mark())
}

// proof draws a shield as a tree.
func (d *drawing) proof(p *explain.Proof, depth int) {
	name := p.Kind
	if p.Combine != "" {
		name = p.Combine + " of"
	}
	if p.Actor {
		name += " (of whoever acts)"
	}
	text := p.Why
	if text == "" && p.Combine == "" && p.Outcome != explain.Passed {
		text = string(p.Outcome)
	}
	d.line(strings.TrimRight(fmt.Sprintf("%s%s %-10s %s", strings.Repeat("  ", depth), d.mark(p.Outcome), name, oneLine(text)), " "))
	for i := range p.Parts {
		d.proof(&p.Parts[i], depth+1)
	}
}

func (d *drawing) facts(title string, facts []explain.Fact) {
	if len(facts) == 0 {
		return
	}
	d.title(title)
	for _, f := range facts {
		d.line(fmt.Sprintf("  %-11s %s", f.Name, oneLine(f.Text)))
	}
}
