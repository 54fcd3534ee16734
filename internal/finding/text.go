package finding

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// maxPlaces is how many places of one rule the table shows, unless all are wanted.
const maxPlaces = 10

// WriteTable writes what was found for people: rule by rule, the worst first, each with why it
// matters, what mends it and its places; the last line counts.
func WriteTable(w io.Writer, style Style, r *Report) error {
	var b strings.Builder
	for _, group := range r.grouped(style.All) {
		writeGroup(&b, style, group)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "%s\n", line(note))
	}
	fmt.Fprintf(&b, "%s\n", r.Summary())
	if r.Partial != "" {
		fmt.Fprintf(&b, "%s\n", line(r.Partial))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Summary counts, in one line.
func (r *Report) Summary() string {
	by, waived := r.counts()
	var counts []string
	for s := Critical; s >= Info; s-- {
		if by[s] > 0 || s != Critical {
			counts = append(counts, fmt.Sprintf("%d %s", by[s], s))
		}
	}
	text := line(r.Subject) + ": "
	if r.About != "" {
		text += line(r.About) + "; "
	}
	return fmt.Sprintf("%s%s; %d waived", text, strings.Join(counts, ", "), waived)
}

// grouped are the findings by rule, the worst first; those that are waived only if all are
// wanted.
func (r *Report) grouped(all bool) (groups [][]Finding) {
	byRule, order := map[string]int{}, map[string]int{}
	for i, rule := range r.Rules {
		order[rule.ID] = i
	}
	for _, f := range r.Findings {
		if f.Waived != nil && !all {
			continue
		}
		at, known := byRule[f.Rule]
		if !known {
			at = len(groups)
			byRule[f.Rule] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], f)
	}
	slices.SortStableFunc(groups, func(a, b []Finding) int {
		return cmp.Or(cmp.Compare(b[0].Severity, a[0].Severity), cmp.Compare(order[a[0].Rule], order[b[0].Rule]))
	})
	return groups
}

func writeGroup(b *strings.Builder, style Style, found []Finding) {
	f := found[0]
	tone := [...]string{Info: "2", Low: "36", Medium: "33", High: "31", Critical: "1;31"}[f.Severity]
	places := fmt.Sprintf("%d places", len(found))
	if len(found) == 1 {
		places = "1 place"
	}
	risk, _, _ := strings.Cut(f.OWASP, " ")
	head := []string{paint(style.Color, tone, fmt.Sprintf("%-6s", f.Severity)), f.Rule, risk, places}
	head = slices.DeleteFunc(head, func(s string) bool { return s == "" })
	fmt.Fprintf(b, "%s\n  %s\n  %s\n", strings.Join(head, "  "), f.Why, paint(style.Color, "2", "mend: "+f.Mend))
	for i := range found {
		if i == maxPlaces && !style.All {
			fmt.Fprintf(b, "    … and %d more: --all shows them\n", len(found)-maxPlaces)
			break
		}
		writePlace(b, &found[i])
	}
	b.WriteByte('\n')
}

func writePlace(b *strings.Builder, f *Finding) {
	note := ""
	if f.Waived != nil {
		note = " (waived until " + f.Waived.Until + ": " + f.Waived.Reason + ")"
	}
	fmt.Fprintf(b, "    %s  %s\n", line(f.Where.String()), line(f.What+note))
	if f.Proof != "" {
		fmt.Fprintf(b, "      %s\n", line(f.Proof))
	}
	if again := f.Again(); again != "" {
		fmt.Fprintf(b, "      again: %s\n", line(again))
	}
}

// line keeps what others wrote on one line, and from steering the terminal.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return '\uFFFD'
	}, text)
}

func paint(color bool, code, text string) string {
	if !color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
