package schedule

import (
	"fmt"
	"io"
	"strings"

	"pavise.dev/pavise/internal/finding"
)

// maxBars is how many lines the chart has, and maxWidth how many cells a bar.
const (
	maxBars  = 20
	maxWidth = 40
)

// thinned are at most so many days, with what was new and mended in between; each stands for the
// days up to it.
func thinned(days []Day, most int) []Day {
	if len(days) <= most {
		return days
	}
	var all []Day
	each := (len(days) + most - 1) / most
	for end := len(days); end > 0; end -= each {
		day := Day{Date: days[end-1].Date, Open: days[end-1].Open}
		for _, d := range days[max(0, end-each):end] {
			day.New += d.New
			day.Mended += d.Mended
		}
		all = append([]Day{day}, all...)
	}
	return all
}

func total(open map[string]int) (n int) {
	for _, one := range open {
		n += one
	}
	return n
}

// WriteChart writes how many findings were open, a line for each day, or for each few.
func (t *Trend) WriteChart(w io.Writer, color bool) error {
	days := thinned(t.Days, maxBars)
	most := 1
	for _, d := range days {
		most = max(most, total(d.Open))
	}
	for _, d := range days {
		if _, err := fmt.Fprintf(w, "%s  %s%s\n", d.Date, bar(d.Open, most, color), told(&d)); err != nil {
			return err
		}
	}
	return nil
}

// bar has cells for each severity, the worst first: at least one where there is any.
func bar(open map[string]int, most int, color bool) string {
	tones := map[string]string{"critical": "1;31", "high": "31", "medium": "33", "low": "36", "info": "2"}
	var b strings.Builder
	cells := 0
	for _, s := range Severities() {
		n := open[s] * maxWidth / most
		if open[s] > 0 {
			n = max(n, 1)
		}
		if n == 0 {
			continue
		}
		cells += n
		text := strings.Repeat(mark(s), n)
		if color {
			text = "\x1b[" + tones[s] + "m" + text + "\x1b[0m"
		}
		b.WriteString(text)
	}
	return b.String() + strings.Repeat(" ", max(0, maxWidth+spare-cells))
}

// spare is by how many cells a bar is longer at most, as each severity has a cell.
const spare = int(finding.Critical) + 1

// mark tells severities apart without colours, too.
func mark(severity string) string {
	switch severity {
	case "critical", "high":
		return "█"
	case "medium":
		return "▓"
	case "low":
		return "▒"
	}
	return "░"
}

// told says in words what a bar shows.
func told(d *Day) string {
	var parts []string
	for _, s := range Severities() {
		if n := d.Open[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	text := strings.Join(parts, ", ")
	if text == "" {
		text = "nothing open"
	}
	if d.New > 0 {
		text += fmt.Sprintf("; %d new", d.New)
	}
	if d.Mended > 0 {
		text += fmt.Sprintf("; %d mended", d.Mended)
	}
	return text
}
