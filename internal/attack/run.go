package attack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/shell"
)

// Outcome is how a case ended.
type Outcome string

// The outcomes.
const (
	Held    Outcome = "held"    // nothing was wrong
	Fell    Outcome = "fell"    // something was found
	Skipped Outcome = "skipped" // it demands what was not allowed, or there is nothing to try
	Unsure  Outcome = "unsure"  // it could not be carried out
)

// Options say how a plan is run.
type Options struct {
	Allowed  Demand
	Journal  *Journal       // nil: a run that is broken off begins anew
	Progress func(Progress) // is told after each case; nil: nobody is
	Now      func() time.Time
	Version  string

	// Again is the command that repeats a case whose ID is put behind it: what is shown to paste where no
	// request of a client shows what was found. Empty: there is none.
	Again string
}

// Progress is how far a run is.
type Progress struct {
	Done, All int
	Case      string
	Outcome   Outcome
	Findings  int
	Left      time.Duration // about; 0: not known yet
}

// Run tries the cases of a plan, one after the other. A run that ends early, because ctx ends, the
// target refuses everything ([ErrBlocked]) or is gone ([ErrGone]), or enough was sent, returns what it found, and says so in the report:
// Partial.
func Run(ctx context.Context, p *Prober, plan *Plan, o Options) (*finding.Report, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &run{prober: p, plan: plan, o: o, began: o.Now(), counts: map[Outcome]int{}, lacking: map[Demand]int{}}
	r.report = &finding.Report{
		Tool: "pavise attack", Version: o.Version, Subject: p.scope.base.String(), Time: r.began, Rules: plan.Rules(), Findings: []finding.Finding{}, Notes: plan.Notes,
	}
	err := r.all(ctx)
	if plan.Doubt != nil && r.report.Partial == "" {
		r.report.Partial = plan.Doubt()
	}
	r.report.Sort()
	r.report.Notes = append(r.report.Notes, r.notAllowed()...)
	r.report.About = fmt.Sprintf("%d cases, %d requests: %d held, %d fell, %d skipped, %d unsure", len(plan.Cases), r.sent(),
		r.counts[Held], r.counts[Fell], r.counts[Skipped], r.counts[Unsure])
	return r.report, err
}

type run struct {
	prober *Prober
	plan   *Plan
	o      Options
	report *finding.Report
	began  time.Time
	counts map[Outcome]int
	fresh  int // cases that were tried in this run, not before

	lacking map[Demand]int // cases that were not tried, by what they demand and was not allowed
}

func (r *run) all(ctx context.Context) error {
	for i := range r.plan.Cases {
		c := &r.plan.Cases[i]
		done, known := r.o.Journal.done(c.ID)
		if !known {
			var err error
			done, err = r.one(ctx, c)
			switch {
			case ctx.Err() != nil:
				r.unjudged(r.plan.Cases[i:])
				r.report.Partial = fmt.Sprintf("it was broken off after %d of %d cases", i, len(r.plan.Cases))
				return nil
			case ends(err):
				r.report.Findings = append(r.report.Findings, done.Findings...)
				r.unjudged(r.plan.Cases[i:])
				r.report.Partial = fmt.Sprintf("it ended after %d of %d cases: %s", i, len(r.plan.Cases), done.Why)
				return nil
			case done.Outcome == Unsure, c.Demands&^r.o.Allowed != 0: // another time it may be tried
			default:
				if err := r.o.Journal.note(done); err != nil {
					return err
				}
			}
			r.fresh++
		}
		r.counts[done.Outcome]++
		if done.Unjudged {
			r.unjudged(r.plan.Cases[i : i+1])
		}
		r.report.Findings = append(r.report.Findings, done.Findings...)
		if done.Why != "" {
			r.report.Notes = append(r.report.Notes, fmt.Sprintf("%s: %s: %s", done.Outcome, c.ID, done.Why))
		}
		r.tell(i+1, c, done.Outcome)
	}
	return nil
}

// notAllowed says how many cases were left out for what was not allowed, and which words allow them: a
// report without findings that tried the half of it would comfort too much.
func (r *run) notAllowed() []string {
	if len(r.lacking) == 0 {
		return nil
	}
	all, words := 0, []string{}
	for _, demands := range slices.Sorted(maps.Keys(r.lacking)) {
		all += r.lacking[demands]
		words = append(words, fmt.Sprintf("--allow %s (%d)", strings.Join(demands.Words(), ","), r.lacking[demands]))
	}
	return []string{fmt.Sprintf("not allowed, and so not tried: %d of %d cases: %s", all, len(r.plan.Cases), strings.Join(words, ", "))}
}

// unjudged notes cases that did not come to a verdict.
func (r *run) unjudged(cases []Case) {
	for i := range cases {
		r.report.Unjudged = append(r.report.Unjudged, cases[i].ID)
	}
}

// one tries a case.
func (r *run) one(ctx context.Context, c *Case) (e entry, err error) {
	e = entry{ID: c.ID, Outcome: Held}
	if lacks := c.Demands &^ r.o.Allowed; lacks != 0 {
		e.Outcome, e.Unjudged = Skipped, true
		r.lacking[lacks]++
		return e, nil
	}
	s := &Session{prober: cmp.Or(c.Prober, r.prober), rule: c.Rule, id: c.ID, secrets: map[string]string{}, short: map[string]string{}}
	if r.o.Again != "" {
		s.again = r.o.Again + " --only " + shell.Quoted(c.ID)
		if c.Demands != 0 {
			s.again += " --allow " + strings.Join(c.Demands.Words(), ",")
		}
	}
	err = c.Try(ctx, s)
	e.Findings, e.Unjudged = s.found, err != nil && !errors.Is(err, ErrNotHere)
	if errors.Is(err, ErrRefused) || ends(err) {
		e.Why = s.masked(err.Error())
	}
	switch {
	case len(s.found) > 0:
		e.Outcome = Fell
	case errors.Is(err, ErrOutside), errors.Is(err, ErrNotHere), errors.Is(err, ErrUntried):
		e.Outcome = Skipped
	case err != nil:
		e.Outcome, e.Why = Unsure, s.masked(err.Error())
	}
	return e, err
}

// sent counts the requests of all probers.
func (r *run) sent() int64 {
	all := map[*Prober]bool{r.prober: true}
	for i := range r.plan.Cases {
		all[cmp.Or(r.plan.Cases[i].Prober, r.prober)] = true
	}
	n := int64(0)
	for p := range all {
		n += p.Sent()
	}
	return n
}

func (r *run) tell(done int, c *Case, outcome Outcome) {
	if r.o.Progress == nil {
		return
	}
	left := time.Duration(0)
	if r.fresh > 0 {
		left = r.o.Now().Sub(r.began) / time.Duration(r.fresh) * time.Duration(len(r.plan.Cases)-done)
	}
	r.o.Progress(Progress{done, len(r.plan.Cases), c.ID, outcome, len(r.report.Findings), left})
}
