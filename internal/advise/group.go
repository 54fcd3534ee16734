package advise

import (
	"fmt"
	"strings"
)

// Group is endpoints for which the same was advised for the same reasons.
type Group struct {
	Patterns []string
	Advice   *Advice // of the first
}

// Groups puts endpoints together, in the order of the first of each.
func (p *Plan) Groups() (all []Group) {
	at := map[string]int{}
	for i := range p.Advice {
		a := &p.Advice[i]
		key := fmt.Sprint(a.Answers.Callers, a.Answers.Data, a.Answers.Harm, a.Shield, a.Because, a.Refused, a.Layers, a.Risks, a.Limit, a.Guessed)
		if n, known := at[key]; known {
			all[n].Patterns = append(all[n].Patterns, a.Pattern)
			continue
		}
		at[key] = len(all)
		all = append(all, Group{[]string{a.Pattern}, a})
	}
	return all
}

// Who names the callers in words.
func (a *Advice) Who() string { return who(a.Answers.Callers) }

// Markdown is the plan as a record of the decision: what was answered, what follows, what was
// refused and why, and what remains.
func (p *Plan) Markdown(day string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Security of %s: which shields, and why\n", inline(p.API.withDefaults().Name))
	line("Decided on %s, by the rules of `pavise advise`. Answers that nobody gave are marked: they were guessed.\n", day)
	line("| endpoint | who calls | data | at worst | shield | limit |\n|---|---|---|---|---|---|")
	for i := range p.Advice {
		a := &p.Advice[i]
		line("| `%s` | %s | %s | %s | `%s` | %s |", inline(a.Pattern), a.Who()+a.mark("callers"), string(a.Answers.Data)+a.mark("data"), string(a.Answers.Harm)+a.mark("harm"), a.Shield, a.Limit)
	}
	for _, g := range p.Groups() {
		p.section(line, &g)
	}
	if len(p.Left)+len(p.Notes) > 0 {
		line("\n## Open\n")
		for _, n := range p.Notes {
			line("- %s", inline(n))
		}
		for _, l := range p.Left {
			line("- `%s`: %s", inline(l.What), inline(l.Why))
		}
	}
	return b.String()
}

func (p *Plan) section(line func(string, ...any), g *Group) {
	a := g.Advice
	line("\n## %s\n", inline(strings.Join(g.Patterns, ", ")))
	line("**Choice.** `%s`: %s.\n", a.Shield, orNone(a.Shield.Gives().String()))
	for _, r := range a.Because {
		line("- %s (`%s`; %s)", r.Why, r.Rule, r.Source)
	}
	for _, guess := range a.Guessed {
		line("- guessed: %s, since %s (`%s`)", guess.Question, inline(guess.Why), guess.Rule)
	}
	line("\n**Around it.**\n")
	for _, l := range a.Layers {
		line("- %s%s: %s (`%s`; %s)", l.Name, colon(l.Setting), l.Why, l.Rule, l.Source)
	}
	line("\n**Refused.**\n")
	for _, r := range a.Refused {
		line("- `%s`: %s (`%s`)", r.Shield, r.Why, r.Rule)
	}
	line("\n**What remains.**\n")
	for _, r := range a.Risks {
		line("- %s. What lessens it: %s (`%s`)", r.What, r.Do, r.Rule)
	}
	line("\n**What it costs.**\n")
	for _, c := range a.Costs {
		line("- %s", c)
	}
}

func colon(setting string) string {
	if setting == "" {
		return ""
	}
	return " `" + setting + "`"
}

// mark tells that an answer was guessed.
func (a *Advice) mark(question string) string {
	if a.isGuessed(question) {
		return " (guessed)"
	}
	return ""
}

func (a *Advice) isGuessed(question string) bool {
	for _, g := range a.Guessed {
		if g.Question == question {
			return true
		}
	}
	return false
}

// inline keeps what others wrote from being read as Markdown of ours.
func inline(text string) string {
	return strings.NewReplacer("\n", " ", "\r", " ", "|", `\|`, "`", "'", "<", "&lt;", "[", `\[`, "]", `\]`).Replace(text)
}
