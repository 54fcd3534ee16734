package alert_test

import (
	"bytes"
	"encoding/gob"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/attacktest"
)

var update = flag.Bool("update", false, "write the table of the docs")

func newRand(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 5)) }

// weeks is what three weeks of a world have taught, and what was told in them.
type weeks struct {
	world  *world
	events int
	told   []alert.Incident
	states map[string][]byte
}

// threeWeeks lets all detections watch three weeks of harmless traffic.
func threeWeeks(t testing.TB, seed uint64) *weeks {
	t.Helper()
	l := &weeks{world: newWorld(seed), states: map[string][]byte{}}
	kinds, states := observed(alert.Detections())
	e := alert.NewEngine(kinds, func(i alert.Incident) {
		if !i.Ended {
			l.told = append(l.told, i)
		}
	}, nil)
	steady(states())
	l.world.run(0, 0, 21*1440, nil, e.See)
	l.events = l.world.n
	for name, state := range states() {
		var text bytes.Buffer
		if err := gob.NewEncoder(&text).Encode(state); err != nil {
			t.Fatal(err)
		}
		l.states[name] = text.Bytes()
	}
	return l
}

// steady gives the tables one seed, so that estimates are the same in each run.
func steady(states map[string]any) {
	for _, state := range states {
		steadyValue(reflect.ValueOf(state).Elem())
	}
}

func steadyValue(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	if seed := v.FieldByName("Seed"); seed.IsValid() {
		seed.SetUint(1)
		return
	}
	for i := range v.NumField() {
		steadyValue(v.Field(i))
	}
}

// then lets detections that know the weeks watch an attack in the traffic of the day behind
// them, and returns what is told from its beginning on.
func (l *weeks) then(t testing.TB, r recording) (told []alert.Incident) {
	t.Helper()
	kinds, states := observed(alert.Detections())
	e := alert.NewEngine(kinds, func(i alert.Incident) {
		if !i.Ended {
			told = append(told, i)
		}
	}, nil)
	for name, state := range states() {
		if err := gob.NewDecoder(bytes.NewReader(l.states[name])).Decode(state); err != nil {
			t.Fatal(err)
		}
	}
	const today = 21
	a := &attack{at: monday.AddDate(0, 0, today).Add(time.Duration(r.begins) * time.Minute), world: l.world, today: l.world.day(today)}
	r.events(l.world, a)
	const before = 30 // minutes of the day that are only harmless
	l.world.run(today, r.begins-before, before+r.minutes, a.sorted(), e.See)
	return told
}

func TestEachDetectionFiresOnceOnItsAttackAndIsSilentOnThreeHarmlessWeeks(t *testing.T) {
	attacktest.Rows(t, 17, 149, 166, 172, 173)
	if testing.Short() {
		t.Skip("it watches four million events")
	}
	tuned := threeWeeks(t, 1)
	other := threeWeeks(t, 20261130)
	fired := map[string][]string{}
	for _, r := range recordings() {
		var once int
		for _, i := range tuned.then(t, r) {
			holdsAbout(t, i)
			if i.Detection == r.detection {
				once++
			} else {
				fired[r.detection] = append(fired[r.detection], i.Detection)
			}
		}
		if once != 1 {
			t.Errorf("%s: %q fires %d times", r.detection, r.what, once)
		}
	}
	for _, k := range alert.Detections() {
		if !slices.ContainsFunc(recordings(), func(r recording) bool { return r.detection == k.Name }) {
			t.Errorf("%s has no attack", k.Name)
		}
	}
	for _, l := range []*weeks{tuned, other} {
		for _, i := range l.told {
			holdsAbout(t, i)
			t.Logf("false: %s %s %s: %s", i.Began.Format("Mon 02 15:04"), i.Detection, i.Subject, i.What)
		}
	}
	writeTable(t, fired, tuned, other)
}

// holdsAbout holds a detection to what it says that it finds something about: responses to anything
// else are refused.
func holdsAbout(t *testing.T, i alert.Incident) {
	t.Helper()
	kinds := alert.Detections()
	k := kinds[slices.IndexFunc(kinds, func(k alert.Kind) bool { return k.Name == i.Detection })]
	if !slices.Contains(k.About, i.Subject.Kind) {
		t.Errorf("%s found something about a %s, and says that it is about %q", k.Name, i.Subject.Kind, k.About)
	}
}

// writeTable holds the docs to what was found.
func writeTable(t *testing.T, also map[string][]string, tuned, other *weeks) {
	t.Helper()
	const page, begin, end = "../../docs/guide/detections.md", "<!-- what the test found -->\n", "<!-- end -->"
	var table strings.Builder
	fmt.Fprintf(&table, "| detection | severity | fires once on | beside it fire | false alerts in %.1f million events | in %.1f million of the other seed |\n|---|---|---|---|---|---|\n", float64(tuned.events)/1e6, float64(other.events)/1e6)
	for _, r := range recordings() {
		kinds := alert.Detections()
		k := kinds[slices.IndexFunc(kinds, func(k alert.Kind) bool { return k.Name == r.detection })]
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s | %d | %d |\n", k.Name, k.Severity, r.what, strings.Join(also[k.Name], ", "), count(tuned.told, k.Name), count(other.told, k.Name))
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", page)
	}
	want := head + begin + table.String() + end + tail
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("%s does not say what was found; run go test ./internal/alert -run FiresOnce -update\n%s", page, table.String())
	}
}

func count(told []alert.Incident, name string) (n int) {
	for _, i := range told {
		if i.Detection == name {
			n++
		}
	}
	return n
}
