// Package replay_test replays the regression suite of the OWASP Core Rule Set over sockets against a gateway.
package replay_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pavise.dev/pavise"
	"pavise.dev/pavise/waf/crs"
)

var update = flag.Bool("update", false, "replay all levels and write the tables of README.md")

// judge is one of the layers that are compared.
type judge struct {
	name  string
	layer func(pattern string) pavise.Layer
}

// judgesOf are the layers that are compared: the rule set at each level.
func judgesOf(t testing.TB, levels []int) (all []judge) {
	t.Helper()
	for _, level := range levels {
		rules, err := crs.New(crs.Settings{Paranoia: level})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, judge{setName(level), func(pattern string) pavise.Layer { return rules.Layer(crs.Endpoint{Pattern: pattern}) }})
	}
	return all
}

func setName(level int) string { return fmt.Sprintf("crs-%d", level) }

// count is what became of the tests of one level.
type count struct {
	tests, door, form, judged int
	refused                   int // by the rule set
	named                     int // of these, the tested rule is among the rules that are told
}

func (c *count) add(level int, s sample, v verdict) {
	c.tests++
	switch {
	case v.door:
		c.door++
	case v.form:
		c.form++
	default:
		c.judged++
		if v.refused[setName(level)] {
			c.refused++
		}
		if slices.Contains(v.rules[setName(level)], fmt.Sprintf("crs-%d", s.rule)) {
			c.named++
		}
	}
}

// replayed is what became of the suite.
type replayed struct {
	attacks, silent    map[int]*count // by level
	respelled          int            // requests that the door refuses as the suite has them, and takes with escapes
	off, offDoor, noOp int            // tests of rules that are switched off; of these refused by the door; of rules without a bound set
}

// withoutBound are rules that do nothing until a bound is set that the set leaves open; ours are max_body and max_fields.
func withoutBound() []int { return []int{920360, 920370, 920380, 920390, 920400, 920410, 920250} }

func replay(t testing.TB, levels []int) *replayed {
	t.Helper()
	all := suite(t)
	out := &replayed{attacks: map[int]*count{}, silent: map[int]*count{}}
	for _, level := range levels {
		out.attacks[level], out.silent[level] = &count{}, &count{}
	}
	judges := judgesOf(t, levels)
	var mu sync.Mutex
	var workers sync.WaitGroup
	next := make(chan sample)
	for range runtime.GOMAXPROCS(0) {
		g := start(t, judges)
		workers.Go(func() {
			for s := range next {
				v, again := g.judge(t, s)
				mu.Lock()
				out.add(s, v, again)
				mu.Unlock()
			}
		})
	}
	for _, s := range all {
		next <- s
	}
	close(next)
	workers.Wait()
	return out
}

// judge sends a request, and if the door refuses its form, once more with escapes.
func (g *gateway) judge(t testing.TB, s sample) (v verdict, again bool) {
	v = g.send(t, s.wire)
	if !v.door {
		return v, false
	}
	wire, ok := respelled(s.wire)
	if !ok || slices.Contains(crs.SwitchedOff(), s.rule) {
		return v, false
	}
	second := g.send(t, wire)
	return second, !second.door
}

func (r *replayed) add(s sample, v verdict, again bool) {
	switch {
	case slices.Contains(crs.SwitchedOff(), s.rule) || s.rule/1000 == 911:
		if s.attack {
			r.off++
			if v.door || v.form {
				r.offDoor++
			}
		}
		return
	case slices.Contains(withoutBound(), s.rule):
		if s.attack {
			r.noOp++
		}
		return
	case again:
		r.respelled++
	}
	for level, c := range r.attacks {
		switch {
		case s.level > level:
		case s.attack:
			c.add(level, s, v)
		default:
			r.silent[level].add(level, s, v)
		}
	}
}

func share(part, of int) float64 { return 100 * float64(part) / math.Max(1, float64(of)) }

// table is what README.md tells.
func (r *replayed) table(levels []int) string {
	var b strings.Builder
	b.WriteString("| level | attacks | refused by the door | refused for its form | judged | refused by the rules | by the very rule | tests that a rule stays silent | judged | passed |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	for _, level := range levels {
		a, s := r.attacks[level], r.silent[level]
		fmt.Fprintf(&b, "| %d | %d | %d | %d | %d | %d (%.1f %%) | %d | %d | %d | %d (%.1f %%) |\n", level, a.tests, a.door, a.form, a.judged,
			a.refused, share(a.refused, a.judged), a.named, s.tests, s.judged, s.judged-s.refused, share(s.judged-s.refused, s.judged))
	}
	fmt.Fprintf(&b, "\nOf these, %d requests have bytes in their target that no target may have, so that the door refuses them as the suite has them; "+
		"they were sent once more with escapes, and that is what is judged. Not in the table: %d tests of attacks whose rule is switched off, of which the door, "+
		"or the reading of the body, refuses %d; and %d of rules that do nothing until a bound is set.\n", r.respelled, r.off, r.offDoor, r.noOp)
	return b.String()
}

// What the suite calls an attack is refused, and what it calls harmless for a rule is not refused more often than before.
func TestReplay(t *testing.T) {
	levels := []int{1}
	if *update {
		levels = []int{1, 2, 3, 4}
	}
	got := replay(t, levels)
	t.Log("\n" + got.table(levels))
	if a := got.attacks[1]; a.tests < 2000 || share(a.refused, a.judged) < 97 {
		t.Errorf("%d of %d attacks of level 1 are refused, want at least 97 %%", a.refused, a.judged)
	}
	if s := got.silent[1]; s.tests < 500 || share(s.judged-s.refused, s.judged) < 85 {
		t.Errorf("%d of %d requests pass at which a rule stays silent, want at least 85 %%", s.judged-s.refused, s.judged)
	}
	if *update {
		write(t, "replay", got.table(levels))
	}
}

// write puts a table into README.md, between its marks.
func write(t *testing.T, mark, text string) {
	t.Helper()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+mark+" -->\n", "<!-- end of "+mark+" -->"
	before, rest, found := strings.Cut(string(page), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("README.md has no marks for %s", mark)
	}
	if err := os.WriteFile("README.md", []byte(before+begin+text+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
