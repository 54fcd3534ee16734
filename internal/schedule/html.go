package schedule

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"

	"pavise.dev/pavise/internal/finding"
)

//go:embed trend.html
var page string

// trendPage is what the page shows.
type trendPage struct {
	*Trend

	Style  template.CSS
	Policy string
	When   string
	Bars   []trendBar
	Open   int
	First  string // day of the chart
	Last   string
	Most   int
	Counts []trendCount
}

// trendBar is a day of the chart.
type trendBar struct {
	X, Width float64
	Words    string
	Parts    []trendPart
}

type trendPart struct {
	Severity  string
	Y, Height float64
}

type trendCount struct {
	Severity string
	Count    int
}

// Size of the chart.
const (
	chartWidth  = 600.0
	chartHeight = 160.0
	maxColumns  = 120
)

// WriteHTML writes a trend as one page that needs nothing else: no script, no font, no picture
// from anywhere.
func (t *Trend) WriteHTML(w io.Writer) error {
	parsed, err := template.New("trend").Parse(page)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	style, policy := finding.PageStyle()
	shown := trendPage{Trend: t, Style: template.CSS(style), Policy: policy, When: t.Until.UTC().Format(time.RFC1123)} //nolint:gosec // it is ours
	shown.chart()
	open := map[string]int{}
	for _, f := range t.Findings {
		if f.IsOpen() {
			open[f.Severity.String()]++
			shown.Open++
		}
	}
	for _, s := range Severities() {
		shown.Counts = append(shown.Counts, trendCount{s, open[s]})
	}
	var b bytes.Buffer
	if err := parsed.Execute(&b, shown); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

func (p *trendPage) chart() {
	days := thinned(p.Days, maxColumns)
	if len(days) == 0 {
		return
	}
	p.First, p.Last, p.Most = days[0].Date, days[len(days)-1].Date, 1
	for _, d := range days {
		p.Most = max(p.Most, total(d.Open))
	}
	step := chartWidth / float64(len(days))
	for i, d := range days {
		bar := trendBar{X: float64(i) * step, Width: max(step-1, 0.5), Words: d.Date + ": " + told(&d)}
		y := chartHeight
		for s := finding.Info; s <= finding.Critical; s++ { // the worst on top
			if n := d.Open[s.String()]; n > 0 {
				height := float64(n) / float64(p.Most) * chartHeight
				y -= height
				bar.Parts = append(bar.Parts, trendPart{s.String(), y, height})
			}
		}
		p.Bars = append(p.Bars, bar)
	}
}

// State says in words how a finding is.
func (f *Finding) State() string {
	if f.IsOpen() {
		return "open"
	}
	state := f.Reason + " " + f.Ended.UTC().Format(time.DateOnly)
	if f.Reason == Waived && f.Waived != nil {
		state += " until " + f.Waived.Until + ": " + f.Waived.Reason
	}
	return state
}

// Target names what a finding is about.
func (f *Finding) Target() string { return f.target() }

// Day writes a time as a day.
func (f *Finding) Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
