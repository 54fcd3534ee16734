package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/advise"
)

// advised is the form for programs.
type advised struct {
	Endpoint   string           `json:"endpoint"`
	Answers    advise.Answers   `json:"answers"`
	Guessed    []advise.Guess   `json:"guessed"`
	Shield     string           `json:"shield"`
	Guarantees []string         `json:"guarantees"`
	Demanded   []string         `json:"demanded"`
	Because    []advise.Reason  `json:"because"`
	Refused    []advise.Refused `json:"refused"`
	Layers     []advise.Layer   `json:"layers"`
	Scopes     []string         `json:"scopes"`
	Limit      string           `json:"limit"`
	Risks      []advise.Risk    `json:"risks"`
	Costs      []string         `json:"costs"`
}

func showAdvice(command *cobra.Command, plan *advise.Plan, f *adviseFlags) error {
	out := command.OutOrStdout()
	switch {
	case f.markdown:
		_, err := fmt.Fprint(out, plan.Markdown(today()))
		return err
	case f.asJSON:
		return writeJSON(out, adviceForPrograms(plan))
	}
	if err := adviceTable(out, plan); err != nil {
		return err
	}
	var b strings.Builder
	page := advicePage{b: &b, color: isTerminal(out), told: map[string]bool{}}
	if page.color {
		page.width = helpWidth
	}
	for _, g := range plan.Groups() {
		page.group(&g)
	}
	for _, n := range plan.Notes {
		fmt.Fprintf(&b, "\nopen: %s\n", n)
	}
	for _, l := range plan.Left {
		fmt.Fprintf(&b, "\nleft out: %s: %s\n", l.What, l.Why)
	}
	if f.write != "" {
		fmt.Fprintf(&b, "\nwrote %s. Next:\n", f.write)
		for _, next := range advise.Next([]*advise.Plan{plan}, f.write) {
			fmt.Fprintf(&b, "  %s\n", next)
		}
	}
	_, err := io.WriteString(out, printableKeepingColours(b.String(), isTerminal(out)))
	return err
}

// printableKeepingColours leaves the colours that the program itself wrote for a terminal.
func printableKeepingColours(text string, color bool) string {
	if color {
		return text // every part was made printable before it was painted
	}
	return printable(text)
}

func adviceForPrograms(plan *advise.Plan) any {
	all := []advised{}
	for i := range plan.Advice {
		a := &plan.Advice[i]
		all = append(all, advised{
			a.Pattern, a.Answers, append([]advise.Guess{}, a.Guessed...), a.Shield.String(), a.Shield.Gives().Names(), a.Demand.Names(), a.Because, a.Refused, a.Layers,
			append([]string{}, a.Scopes...), a.Limit, append([]advise.Risk{}, a.Risks...), a.Costs,
		})
	}
	return struct {
		Endpoints []advised     `json:"endpoints"`
		Left      []advise.Left `json:"left"`
		Notes     []string      `json:"notes"`
	}{all, append([]advise.Left{}, plan.Left...), append([]string{}, plan.Notes...)}
}

func adviceTable(w io.Writer, plan *advise.Plan) error {
	rows := [][]string{}
	for i := range plan.Advice {
		a := &plan.Advice[i]
		mark := func(question string) string {
			for _, g := range a.Guessed {
				if g.Question == question {
					return "?"
				}
			}
			return ""
		}
		rows = append(rows, []string{a.Pattern, a.Who() + mark("callers"), string(a.Answers.Data) + mark("data"), string(a.Answers.Harm) + mark("harm"), a.Shield.String(), a.Limit})
	}
	return table(w, []string{"ENDPOINT", "WHO CALLS", "DATA", "AT WORST", "SHIELD", "LIMIT"}, rows)
}

// advicePage is the text for people. What was told is not told again for the next endpoints: only the
// name of the rule is.
type advicePage struct {
	b     *strings.Builder
	color bool
	width int // lines are broken at it; 0: they are not
	told  map[string]bool
}

// group tells why, what around it, what was refused, and what remains.
func (p *advicePage) group(g *advise.Group) {
	a := g.Advice
	fmt.Fprintf(p.b, "\n%s\n", paint(p.color, "1", printable(strings.Join(g.Patterns, "\n"))))
	p.row("shield", a.Shield.String()+"  ("+orDash(a.Shield.Gives().String())+")")
	for _, one := range a.Guessed {
		p.row("guessed", one.Question+": "+one.Why)
	}
	var again []string
	for _, r := range a.Because {
		if p.again("because " + r.Rule + r.Why) {
			again = append(again, r.Rule)
			continue
		}
		p.row("because", r.Rule+": "+r.Why+"  ["+r.Source+"]")
	}
	p.above("because", again)
	for _, l := range a.Layers {
		switch {
		case l.Setting == "":
		case p.again("around " + l.Rule + l.Why):
			p.row("around", l.Name+": "+l.Setting+"  "+l.Rule)
		default:
			p.row("around", l.Name+": "+l.Setting+"  "+l.Rule+": "+l.Why)
		}
	}
	for _, r := range together(a.Refused) {
		if p.again("not " + r.Rule + r.Why) {
			p.row("not", r.Shield+"  "+r.Rule)
			continue
		}
		p.row("not", r.Shield+"  "+r.Rule+": "+r.Why)
	}
	for _, r := range a.Risks {
		if p.again("remains " + r.What) {
			p.row("remains", r.What)
			continue
		}
		p.row("remains", r.What+"; "+r.Do)
	}
	for _, c := range a.Costs {
		if !p.again("costs " + c) {
			p.row("costs", c)
		}
	}
}

// above names what was told before.
func (p *advicePage) above(label string, rules []string) {
	if len(rules) > 0 {
		p.row(label, strings.Join(rules, ", ")+", as above")
	}
}

// again reports whether something was told before, and notes it.
func (p *advicePage) again(what string) bool {
	was := p.told[what]
	p.told[what] = true
	return was
}

func (p *advicePage) row(label, text string) {
	line := fmt.Sprintf("  %-9s %s", label, printable(text))
	if p.width > 0 {
		line = broken(line, 12)
	}
	p.b.WriteString(line + "\n")
}

// together tells of shields that are refused for one reason in one line.
func together(all []advise.Refused) (lines []advise.Refused) {
	for _, r := range all {
		at := slices.IndexFunc(lines, func(l advise.Refused) bool { return l.Rule == r.Rule && l.Why == r.Why })
		if at < 0 {
			lines = append(lines, r)
			continue
		}
		lines[at].Shield += ", " + r.Shield
	}
	return lines
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func showComparison(w io.Writer, c *advise.Comparison) error {
	rows := [][]string{}
	for _, one := range c.Weaker {
		rows = append(rows, []string{one.Endpoint, one.What, one.Has, one.Advised, one.Rule, one.Where})
	}
	if len(rows) > 0 {
		if err := table(w, []string{"ENDPOINT", "WEAKER IN", "HAS", "ADVISED", "RULE", "WHERE"}, rows); err != nil {
			return err
		}
	}
	var b strings.Builder
	told := map[string]bool{}
	for _, one := range c.Weaker {
		if !told[one.Rule+one.Why] {
			told[one.Rule+one.Why] = true
			fmt.Fprintf(&b, "\n%s: %s\n", one.Rule, one.Why)
		}
	}
	for _, pattern := range c.Absent {
		fmt.Fprintf(&b, "\nnot served, and so refused: %s\n", pattern)
	}
	for _, pattern := range c.Beyond {
		fmt.Fprintf(&b, "\nserved, and nothing was advised for it: %s\n", pattern)
	}
	fmt.Fprintf(&b, "\n%s at least as strong as advised\n", counted(c.Equal, "endpoint"))
	_, err := io.WriteString(w, printable(b.String()))
	return err
}

func listAdviceRules(command *cobra.Command, asJSON bool) error {
	rules := advise.Rules()
	if asJSON {
		return writeJSON(command.OutOrStdout(), rules)
	}
	rows := [][]string{}
	for _, r := range rules {
		rows = append(rows, []string{r.ID, r.About, r.When, r.Then, r.Source})
	}
	return table(command.OutOrStdout(), []string{"RULE", "ABOUT", "WHEN", "THEN", "SOURCE"}, rows)
}
