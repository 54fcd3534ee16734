package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"pavise.dev/pavise/internal/alert"
)

// Shown is how many incidents a message for people tells of one by one.
const Shown = 10

// Style is how a medium shows text.
type Style struct {
	Strong func(string) string // words of ours that matter; nil: as they are
	Word   func(string) string // words that anybody may have chosen, after [Clean]; nil: as they are
}

// Title is a notice in one line, of words of ours alone: no attacker has chosen any of them.
func (n *Notice) Title() string {
	if n.Test != "" {
		return "Pavise: a test"
	}
	var parts []string
	if began := len(n.Began); began > 0 {
		parts = append(parts, plural(began, "alert")+" ("+counted(n.Began)+")")
	}
	if ended := len(n.Ended); ended > 0 {
		parts = append(parts, fmt.Sprintf("%d ended (%s)", ended, counted(n.Ended)))
	}
	return fmt.Sprintf("Pavise [%s]: %s", n.Severity(), strings.Join(parts, ", "))
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// counted names the detections with most incidents.
func counted(items []Item) string {
	const most = 4
	var parts []string
	all := Counts(items)
	for i, c := range all {
		if i == most {
			parts = append(parts, fmt.Sprintf("%d more kinds", len(all)-most))
			break
		}
		name := Clean(c.Detection, 64)
		if c.Incidents > 1 {
			name = fmt.Sprintf("%s %d", name, c.Incidents)
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, ", ")
}

// Text is a notice for people, in lines. Nothing in it is longer than it may be, whoever chose
// the words.
func (n *Notice) Text(s Style) string {
	if s.Strong == nil {
		s.Strong = func(text string) string { return text }
	}
	if s.Word == nil {
		s.Word = func(text string) string { return text }
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s", s.Strong(n.Title()))
	if n.Test != "" {
		line("%s", s.Word(Clean(n.Test, 300)))
		line("Of %s, at %s. Nothing is wrong: somebody wanted to know whether alerts arrive.", s.Word(Clean(n.Node, 64)), moment(n.Time))
		return b.String()
	}
	for i := range n.Began {
		if i == Shown {
			line("… and %d more: %s", len(n.Began)-Shown, counted(n.Began[Shown:]))
			break
		}
		n.Began[i].began(line, s)
	}
	for i := range n.Ended {
		if i == Shown {
			line("… and %d more have ended: %s", len(n.Ended)-Shown, counted(n.Ended[Shown:]))
			break
		}
		e := &n.Ended[i]
		line("%s %s: %s, after %s and %s", s.Strong("ended"), Clean(e.Detection, 64), s.Word(about(&e.Incident)), lasted(&e.Incident), plural(e.Count, "sign"))
	}
	line("Open now: %d. Node %s, %s. `pavise log alerts` shows all.", n.Open, s.Word(Clean(n.Node, 64)), moment(n.Time))
	return b.String()
}

func (i *Item) began(line func(string, ...any), s Style) {
	line("%s %s: %s", s.Strong(string(i.Severity)), Clean(i.Detection, 64), s.Word(about(&i.Incident)))
	line("  %s", s.Word(Clean(i.What, 300)))
	if i.Means != "" {
		line("  It means: %s.", Clean(i.Means, 300))
	}
	if i.Do != "" {
		line("  What to do: %s.", Clean(i.Do, 400))
	}
	state := "since " + moment(i.Began)
	if i.Ended {
		state = fmt.Sprintf("from %s to %s: it has ended already", moment(i.Began), moment(i.Last))
	}
	line("  %s, event %s", state, s.Word(Clean(i.Event, 64)))
}

// about is the subject, in a form that fits a line.
func about(i *alert.Incident) string { return Clean(i.Subject.String(), 120) }

func moment(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") }

func lasted(i *alert.Incident) string {
	if i.Began.IsZero() || i.Last.Before(i.Began) {
		return "some time"
	}
	return i.Last.Sub(i.Began).Round(time.Second).String()
}

// Clean makes of any text one line of at most so many characters, none of which a terminal or
// a reader's program acts on: controls, line ends, and marks that turn the direction of
// writing are shown as a dot.
func Clean(text string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n == most {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			r = '·'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}
