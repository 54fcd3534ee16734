// Package replay_test replays the regression suite of the OWASP Core Rule Set over sockets against a gateway.
package replay_test

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/waf"
	"pavise.dev/pavise/waf/crs"
)

var update = flag.Bool("update", false, "replay all levels and write the tables of README.md")

// judge is one of the layers that are compared.
type judge struct {
	name  string
	layer func(pattern string) pavise.Layer
}

// own is the name of our detectors among the judges.
const own = "own"

// judgesOf are the layers that are compared: our detectors, and the rule set at each level.
func judgesOf(t testing.TB, levels []int) []judge {
	t.Helper()
	detectors, err := waf.New(waf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := []judge{{own, func(string) pavise.Layer { return detectors }}}
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
	set, own, either          int // refused by the rule set, by our detectors, by one of them
	named                     int // the tested rule is among those that are told
}

func (c *count) add(level int, s sample, v verdict) {
	c.tests++
	bySet, byOwn := v.refused[setName(level)], v.refused[own]
	switch {
	case v.door:
		c.door++
		return
	case v.form:
		c.form++
		return
	case slices.Contains(v.rules[setName(level)], fmt.Sprintf("crs-%d", s.rule)):
		c.named++
	}
	c.judged++
	for where, refused := range map[*int]bool{&c.set: bySet, &c.own: byOwn, &c.either: bySet || byOwn} {
		if refused {
			*where++
		}
	}
}

// replayed is what became of the suite.
type replayed struct {
	attacks, silent    map[int]*count // by level
	respelled          int            // requests that the door refuses as the suite has them, and takes with escapes
	off, offDoor, noOp int            // tests of rules that are switched off; of these refused by the door; of rules without a bound set

	groups map[int]*count // attacks by the thousands of their rules, at the first level
}

// withoutBound are rules that do nothing until a bound is set that the set leaves open; ours are max_body and max_fields.
func withoutBound() []int { return []int{920360, 920370, 920380, 920390, 920400, 920410, 920250} }

func replay(t testing.TB, levels []int) *replayed {
	t.Helper()
	all := suite(t)
	out := &replayed{attacks: map[int]*count{}, silent: map[int]*count{}, groups: map[int]*count{}}
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
			if level == 1 {
				r.group(s.rule/1000).add(level, s, v)
			}
		default:
			r.silent[level].add(level, s, v)
		}
	}
}

func (r *replayed) group(thousands int) *count {
	if r.groups[thousands] == nil {
		r.groups[thousands] = &count{}
	}
	return r.groups[thousands]
}

func share(part, of int) string {
	return fmt.Sprintf("%.1f %%", percent(part, of))
}

func percent(part, of int) float64 { return 100 * float64(part) / math.Max(1, float64(of)) }

// attackTable is what README.md tells of attacks.
func (r *replayed) attackTable(levels []int) string {
	var b strings.Builder
	b.WriteString("| level | attacks | refused by the door | refused for their form | judged | refused by the rule set | and by the very rule | by our detectors | by either |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, level := range levels {
		c := r.attacks[level]
		fmt.Fprintf(&b, "| %d | %d | %d | %d | %d | %d (%s) | %d | %d (%s) | %d (%s) |\n", level, c.tests, c.door, c.form, c.judged,
			c.set, share(c.set, c.judged), c.named, c.own, share(c.own, c.judged), c.either, share(c.either, c.judged))
	}
	fmt.Fprintf(&b, "\nOf these, %d requests have bytes in their target that no target may have, or another host: the door refuses them as the suite has "+
		"them. They were sent once more with escapes and our host, and that is what is judged. Not in the table: %d attacks whose rule is switched off, of "+
		"which the door or the reading of the body refuses %d; and %d of rules that do nothing until a bound is set.\n", r.respelled, r.off, r.offDoor, r.noOp)
	return b.String()
}

// silentTable is what README.md tells of requests at which a rule is to stay silent.
func (r *replayed) silentTable(levels []int) string {
	var b strings.Builder
	b.WriteString("| level | tests | judged | passed by the rule set | by our detectors | by both |\n|---|---|---|---|---|---|\n")
	for _, level := range levels {
		c := r.silent[level]
		fmt.Fprintf(&b, "| %d | %d | %d | %d (%s) | %d (%s) | %d (%s) |\n", level, c.tests, c.judged, c.judged-c.set, share(c.judged-c.set, c.judged),
			c.judged-c.own, share(c.judged-c.own, c.judged), c.judged-c.either, share(c.judged-c.either, c.judged))
	}
	return b.String()
}

// groupTable is what README.md tells of kinds of attacks.
func (r *replayed) groupTable() string {
	var b strings.Builder
	b.WriteString("| rules | attacks judged | refused by the rule set | by our detectors |\n|---|---|---|---|\n")
	for _, thousands := range slices.Sorted(maps.Keys(r.groups)) {
		c := r.groups[thousands]
		fmt.Fprintf(&b, "| %d… %s | %d | %d (%s) | %d (%s) |\n", thousands, kinds()[thousands], c.judged, c.set, share(c.set, c.judged), c.own, share(c.own, c.judged))
	}
	return b.String()
}

func kinds() map[int]string {
	return map[int]string{
		913: "scanners", 920: "protocol", 921: "protocol attacks", 922: "multipart", 930: "files", 931: "remote files", 932: "shell", 933: "PHP",
		934: "JavaScript, Ruby, Perl, templates, SSRF", 941: "scripts", 942: "SQL", 943: "session fixation", 944: "Java",
	}
}

// What the suite calls an attack is refused, and what it calls harmless for a rule is not refused more often than before.
func TestReplay(t *testing.T) {
	attacktest.Rows(t, 111)
	levels := []int{1}
	if *update {
		levels = []int{1, 2, 3, 4}
	}
	got := replay(t, levels)
	t.Log("\n" + got.attackTable(levels) + got.silentTable(levels) + got.groupTable())
	if a := got.attacks[1]; a.tests < 2000 || percent(a.set, a.judged) < 98 {
		t.Errorf("%d of %d attacks of level 1 are refused, want at least 98 %%", a.set, a.judged)
	}
	if s := got.silent[1]; s.tests < 500 || percent(s.judged-s.set, s.judged) < 85 {
		t.Errorf("%d of %d requests pass at which a rule stays silent, want at least 85 %%", s.judged-s.set, s.judged)
	}
	if *update {
		write(t, "attacks", got.attackTable(levels))
		write(t, "silent", got.silentTable(levels))
		write(t, "kinds", got.groupTable())
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
