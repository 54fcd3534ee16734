package foreign_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/finding"
)

// delayed runs the cases that have a service wait, against one that takes its time: as long as it says for each
// request.
func delayed(t *testing.T, allowed attack.Demand, takes func(n int, r *http.Request) time.Duration) (report *finding.Report, asked int) {
	t.Helper()
	c := newClock()
	var mu sync.Mutex
	n := 0
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		d := takes(n, r)
		if text := r.URL.RawQuery; strings.Contains(text, "SLEEP") || strings.Contains(text, "sleep") {
			asked++
		}
		mu.Unlock()
		_ = c.Wait(r.Context(), d)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":"1"}`))
	}))
	defer api.Close()
	target := plainTarget()
	target.Allowed = allowed
	report = attackSome(t, api.URL, c, target, func(_ int, c *attack.Case) bool { return strings.Contains(c.ID, "by delay") })
	mu.Lock()
	defer mu.Unlock()
	return report, asked
}

// TestASlowServiceInventsNoDelay: not where each answer takes its time, where some do, where those do that look like an
// attack, and where it gets slower and slower.
func TestASlowServiceInventsNoDelay(t *testing.T) {
	seed := uint32(4711)
	random := func() time.Duration {
		seed = seed*1664525 + 1013904223
		return time.Duration(seed>>16) * 7 * time.Second / (1 << 16)
	}
	suspicious := func(r *http.Request) bool { return strings.ContainsAny(r.URL.RawQuery, "%;") }
	for name, takes := range map[string]func(n int, r *http.Request) time.Duration{
		"each takes three seconds": func(int, *http.Request) time.Duration { return 3 * time.Second },
		"each takes its time":      func(int, *http.Request) time.Duration { return random() },
		"one of four takes long":   func(n int, _ *http.Request) time.Duration { return time.Duration(n%4/3) * 5 * time.Second },
		"it gets slower":           func(n int, _ *http.Request) time.Duration { return time.Duration(n) * 20 * time.Millisecond },
		"what looks wrong is kept long": func(_ int, r *http.Request) time.Duration {
			return map[bool]time.Duration{true: 4 * time.Second}[suspicious(r)]
		},
		"what looks wrong takes its time": func(_ int, r *http.Request) time.Duration {
			return map[bool]func() time.Duration{true: random, false: func() time.Duration { return 0 }}[suspicious(r)]()
		},
	} {
		report, _ := delayed(t, attack.Writes|attack.Delays, takes)
		for _, f := range report.Findings {
			t.Errorf("%s: invented %s at %s: %s", name, f.Rule, f.Where, f.What)
		}
		if notes := strings.Join(report.Notes, "\n"); strings.HasPrefix(name, "each takes three") && !strings.Contains(notes, "too slowly") {
			t.Errorf("%s: it does not say so: %s", name, notes)
		}
	}
}

// TestNobodyIsKeptWaitingUnlessThatIsAllowed: without it nothing is sent that asks for a delay.
func TestNobodyIsKeptWaitingUnlessThatIsAllowed(t *testing.T) {
	quick := func(int, *http.Request) time.Duration { return 0 }
	if _, asked := delayed(t, attack.Writes, quick); asked != 0 {
		t.Errorf("%d requests ask for a delay", asked)
	}
	if _, asked := delayed(t, attack.Writes|attack.Delays, quick); asked == 0 {
		t.Error("where it is allowed none does")
	}
}
