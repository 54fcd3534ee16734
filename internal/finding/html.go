package finding

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed report.html
var page string

//go:embed report.css
var style string

// htmlPage is what the page shows.
type htmlPage struct {
	Title  string
	Style  template.CSS
	Policy string // of the content: nothing from anywhere, and this style alone
	Shown  []htmlReport
}

type htmlReport struct {
	*Report

	When   string
	Bars   []htmlBar
	Groups []htmlGroup
	Passed []Rule
}

// htmlBar is a bar of the chart.
type htmlBar struct {
	Severity string
	Count    int
	Y, Width int // of 100
}

type htmlGroup struct {
	Finding // the first of them, for what they have in common

	Words  []string
	Found  []Finding
	Waived int
}

// WriteHTML writes reports as one page that needs nothing else: no script, no font, no picture
// from anywhere. It is legible in the light, in the dark and in print.
func WriteHTML(w io.Writer, reports ...*Report) error {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	css, policy := PageStyle()
	shown := htmlPage{Title: "Findings", Style: template.CSS(css), Policy: policy} //nolint:gosec // it is ours
	var tools []string
	for _, r := range reports {
		if tool := r.Tool + " " + r.Subject; !strings.Contains(strings.Join(tools, ", "), tool) {
			tools = append(tools, tool)
		}
		shown.Shown = append(shown.Shown, htmlOf(r))
	}
	if len(tools) > 0 {
		shown.Title = shorten(strings.Join(tools, ", "), 120)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, shown); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// HTMLOf is what a report found, for a page that has [PageStyle]: the chart, and the findings.
func HTMLOf(r *Report) (template.HTML, error) {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return "", fmt.Errorf("read the page: %w", err)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "findings", htmlOf(r)); err != nil {
		return "", fmt.Errorf("write the findings: %w", err)
	}
	return template.HTML(b.String()), nil //nolint:gosec // the template has escaped it
}

// PageStyle is the style of pages about findings, and the policy under which a page has this
// style alone, and nothing from anywhere.
func PageStyle() (css, policy string) {
	sum := sha256.Sum256([]byte(style))
	return style, "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}

func htmlOf(r *Report) htmlReport {
	shown := htmlReport{Report: r, When: r.Time.UTC().Format(time.RFC1123)}
	by, _ := r.counts()
	most := 1
	for _, n := range by {
		most = max(most, n)
	}
	for s := Critical; s >= Info; s-- {
		bar := htmlBar{Severity: s.String(), Count: by[s], Y: int(Critical-s) * 22}
		if by[s] > 0 {
			bar.Width = max(1, by[s]*100/most)
		}
		shown.Bars = append(shown.Bars, bar)
	}
	found := map[string]bool{}
	for _, group := range r.grouped(true) {
		g := htmlGroup{Finding: group[0], Words: group[0].words(), Found: group}
		for i := range group {
			if group[i].Waived != nil {
				g.Waived++
			}
		}
		found[g.Rule] = true
		shown.Groups = append(shown.Groups, g)
	}
	for _, rule := range r.Rules {
		if !found[rule.ID] {
			shown.Passed = append(shown.Passed, rule)
		}
	}
	return shown
}
