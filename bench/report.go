package main

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/template"
	"time"
)

//go:embed page.md.tmpl
var templates embed.FS

// write writes the page.
func (p *page) write() error {
	made, err := template.New("page.md.tmpl").Funcs(template.FuncMap{
		"cell": p.cell, "added": p.added, "version": func(name string) string { return p.versions[name] },
		"setup":  func(name string) string { return p.setups[name] },
		"name":   func(c contender) string { return c.name },
		"title":  func(r row) string { return r.title },
		"agreed": func(c contender) string { return p.agreed[c.name] },
		"us":     func(ns float64) string { return fmt.Sprintf("%.2f µs", ns/1e3) },
	}).ParseFS(templates, "page.md.tmpl")
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	var b strings.Builder
	err = made.Execute(&b, map[string]any{
		"Machine": p.machine, "Contenders": p.contenders, "Rows": p.measuredRows(rows()), "OAuth": p.measuredRows(oauthRows()), "Authority": p.measuredRows(authorityRows()), "Ours": pavise(), "Steps": stepLines(p.steps),
		"Time": p.settings.time, "Rounds": p.settings.rounds, "Callers": callers, "Primitives": p.primitives, "Events": p.events, "Answered": p.answered,
	})
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	if p.settings.out == "-" {
		_, err := os.Stdout.WriteString(b.String())
		return err
	}
	return os.WriteFile(p.settings.out, []byte(b.String()), 0o644)
}

// measuredRows are the rows that some program has figures of.
func (p *page) measuredRows(of []row) []row {
	return slices.DeleteFunc(of, func(r row) bool {
		for _, measured := range p.results {
			if len(measured[r.id]) > 0 {
				return false
			}
		}
		return true
	})
}

// median is that of the rounds by CPU time for each request.
func median(rounds []figure) (figure, bool) {
	if len(rounds) == 0 {
		return figure{}, false
	}
	sorted := slices.SortedFunc(slices.Values(rounds), func(a, b figure) int { return int(a.perRequest() - b.perRequest()) })
	return sorted[(len(sorted)-1)/2], true
}

// cell is one program's figure of one row, for the table of a kind.
func (p *page) cell(c contender, r row, what string) string {
	rounds := p.results[c.name][r.id]
	f, ok := median(rounds)
	if !ok {
		return "–"
	}
	for _, one := range rounds {
		if one.bad() {
			return fmt.Sprintf("%d of %d failed: %s", one.Failed, one.Sent+one.Failed, one.Failure)
		}
	}
	switch what {
	case "cpu":
		low, high := rounds[0].perRequest(), rounds[0].perRequest()
		for _, one := range rounds {
			low, high = min(low, one.perRequest()), max(high, one.perRequest())
		}
		return fmt.Sprintf("**%.1f** (%.1f–%.1f)", micros(f.perRequest()), micros(low), micros(high))
	case "core":
		return fmt.Sprintf("%.0f", 1e6/micros(f.perRequest()))
	case "latency":
		return fmt.Sprintf("%.2f / %.2f", millis(f.P50), millis(f.P99))
	case "rate":
		return fmt.Sprintf("%.0f (%.0f %%)", f.perSecond(), 100*f.busy())
	}
	return fmt.Sprintf("%.0f", float64(f.Memory)/(1<<20))
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// failed reports whether a round is no measurement of what the row is about.
func failed(rounds []figure) bool { return slices.ContainsFunc(rounds, figure.bad) }

// mayAdd is how much Pavise may add to the bare program, in microseconds, besides the
// row's own cryptography.
const mayAdd = 12.0

// added compares Pavise with the bare program.
func (p *page) added(r row) string {
	ours, ok := median(p.results["Pavise"][r.id])
	theirs, has := median(p.results["net/http"][r.bare])
	if !ok || !has || failed(p.results["Pavise"][r.id]) || failed(p.results["net/http"][r.bare]) {
		return "–"
	}
	crypto := 0.0
	if r.proof == "hmac" {
		crypto = p.primitives.HMAC / 1e3
	}
	more := micros(ours.perRequest()) - micros(theirs.perRequest()) - crypto
	if more <= mayAdd {
		return fmt.Sprintf("%+.1f", more)
	}
	return fmt.Sprintf("%+.1f, **more than the %.0f aimed at**", more, mayAdd)
}

// aimOf says what a step is meant to take, and whether it does.
func aimOf(s step) string {
	if s.aim == 0 {
		return "–"
	}
	text := fmt.Sprintf("%.1f µs", s.aim/1e3)
	kept := s.ns <= s.aim
	if s.aimAllocs >= 0 {
		text += fmt.Sprintf(", %d allocations", s.aimAllocs)
		kept = kept && s.allocs <= s.aimAllocs
	}
	if !kept {
		return text + ": **missed**"
	}
	return text
}

// stepLines are the rows of the table of steps.
func stepLines(steps []step) (lines []string) {
	for _, s := range steps {
		lines = append(lines, fmt.Sprintf("| %s | %.2f µs | %d | %s |", s.title, s.ns/1e3, s.allocs, aimOf(s)))
	}
	return lines
}

// failures is an error if the page that was just written has a row with failed calls,
// or if Pavise did not write an event for each request that it answered.
func (p *page) failures() error {
	var all []error
	for _, c := range p.contenders {
		for _, r := range allRows() {
			for _, f := range p.results[c.name][r.id] {
				if f.bad() {
					all = append(all, fmt.Errorf("%s, %s: %d of %d calls failed: %s", c.name, r.title, f.Failed, f.Sent+f.Failed, f.Failure))
				}
			}
		}
	}
	if p.events < p.answered {
		all = append(all, fmt.Errorf("the log of Pavise holds %d events of %d requests", p.events, p.answered))
	}
	return errors.Join(all...)
}
