package review

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"time"

	"pavise.dev/pavise/internal/finding"
)

//go:embed review.html
var page string

// reviewPage is what the page shows.
type reviewPage struct {
	*Used

	Style    template.CSS
	Policy   string
	When     string
	Coverage string
	Report   *finding.Report
	Findings template.HTML // made by the template of findings
	Proposal *Proposal
	Unjudged []Unjudged
	Grants   []grantBar // of clients, those with the most that is not used first
	Rest     int        // clients beyond those
	Most     int        // scopes of one client
	Settle   string
}

// grantBar is what a client was granted: scopes that it used, that it did not, and that are not judged.
type grantBar struct {
	*ClientUse

	Used, Idle, New          []string
	UsedWide, IdleWide, From float64 // of 100
	NewWide, NewFrom         float64
}

// maxGrantBars bounds the clients of the chart.
const maxGrantBars = 200

// WriteHTML writes who used what as one page that needs nothing else: no script, no font, no picture from
// anywhere. It holds the window, what was granted and used, client by client, what could be taken away, what
// is not judged, and what was found.
func (u *Used) WriteHTML(w io.Writer, report *finding.Report, a Aim) error {
	t, err := template.New("review").Funcs(template.FuncMap{"day": dayOf, "words": func(c Change) string { return c.Words() }}).Parse(page)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	found, err := finding.HTMLOf(report)
	if err != nil {
		return err
	}
	style, policy := finding.PageStyle()
	shown := reviewPage{
		Used: u, Style: template.CSS(style), Policy: policy, When: a.Now.UTC().Format(time.RFC1123), Coverage: report.Partial, Report: report, //nolint:gosec // the style is ours
		Findings: found, Proposal: u.Propose(a), Unjudged: u.Unjudged(a), Settle: days(a.Settle), Most: 1,
	}
	f := &finder{Aim: a, used: u}
	for i := range u.Clients {
		if c := &u.Clients[i]; f.wants(c.Client) {
			shown.Grants = append(shown.Grants, f.grantBar(c))
			shown.Most = max(shown.Most, len(c.Scopes))
		}
	}
	slices.SortStableFunc(shown.Grants, func(a, b grantBar) int { return len(b.Idle) - len(a.Idle) })
	if shown.Rest = len(shown.Grants) - maxGrantBars; shown.Rest > 0 {
		shown.Grants = shown.Grants[:maxGrantBars]
	}
	for i := range shown.Grants {
		shown.Grants[i].scale(100 / float64(shown.Most))
	}
	var b bytes.Buffer
	if err := t.Execute(&b, shown); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

func (f *finder) grantBar(c *ClientUse) grantBar {
	bar := grantBar{ClientUse: c}
	young := f.young(c.given) || c.Elsewhere != ""
	for _, s := range c.Scopes {
		switch {
		case s.used():
			bar.Used = append(bar.Used, s.Scope)
		case young || f.young(s.since):
			bar.New = append(bar.New, s.Scope)
		default:
			bar.Idle = append(bar.Idle, s.Scope)
		}
	}
	return bar
}

// scale gives the parts their places; each is a scope wide.
func (g *grantBar) scale(wide float64) {
	g.UsedWide, g.IdleWide, g.NewWide = float64(len(g.Used))*wide, float64(len(g.Idle))*wide, float64(len(g.New))*wide
	g.From = g.UsedWide
	g.NewFrom = g.UsedWide + g.IdleWide
}

func dayOf(at *time.Time) string {
	if at == nil {
		return "never"
	}
	return at.UTC().Format(time.DateOnly)
}
