package foreign_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/finding"
)

// patient is an API that answers only who has a key, and does not answer at all while busy says so.
func patient(t *testing.T, busy func(r *http.Request) (retryAfter string)) *httptest.Server {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if after := busy(r); after != "" {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if !strings.HasPrefix(r.Header.Get("X-Api-Key"), "key-of-") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":"` + r.URL.Path + `"}`))
	}))
	t.Cleanup(api.Close)
	return api
}

// waiting runs the plan for a patient API by a clock that goes on where somebody waits; a journal may be kept.
func waiting(t *testing.T, api *httptest.Server, c *clock, journal string) *finding.Report {
	t.Helper()
	p, err := attack.NewProber(t.Context(), attack.Settings{Target: api.URL, Now: c.Now, Wait: c.Wait})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	target := plainTarget()
	target.Allowed = 0
	plan, err := foreign.Plan(target)
	if err != nil {
		t.Fatal(err)
	}
	o := attack.Options{}
	if journal != "" {
		if o.Journal, err = attack.OpenJournal(journal, api.URL); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = o.Journal.Close() }()
	}
	report, err := attack.Run(t.Context(), p, plan, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// A limit that is used up now and then slows the run down, and nothing is taken for an answer.
func TestATargetThatCountsRequestsIsAskedMoreSlowly(t *testing.T) {
	c := newClock()
	var second, count, refused int64
	api := patient(t, func(*http.Request) string {
		if now := c.Now().Unix(); now != second {
			second, count = now, 0
		}
		if count++; count > 10 {
			refused++
			return "1"
		}
		return ""
	})
	report := waiting(t, api, c, "")
	if report.Partial != "" || refused == 0 || refused > 20 || strings.Contains(strings.Join(report.Notes, "\n"), "429") {
		t.Errorf("refused %d times, partial %q, notes %v", refused, report.Partial, report.Notes)
	}
}

// A caller that is locked out is answered nothing: the run ends, says so, and can be gone on with.
func TestARunThatIsLockedOutEndsAndSaysSo(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusForbidden} {
		c := newClock()
		var wrong, after int
		locked := true
		var until time.Time
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch key := r.Header.Get("X-Api-Key"); {
			case locked && c.Now().Before(until):
				after++
				w.Header().Set("Retry-After", "900")
				w.WriteHeader(status)
			case key != "" && !strings.HasPrefix(key, "key-of-"):
				if wrong++; wrong == 5 {
					until = c.Now().Add(15 * time.Minute)
				}
				fallthrough
			case key == "":
				w.WriteHeader(http.StatusUnauthorized)
			default:
				_, _ = w.Write([]byte(`{}`))
			}
		}))
		journal := filepath.Join(t.TempDir(), "run.journal")
		report := waiting(t, api, c, journal)
		if !strings.Contains(report.Partial, "it ended after") || !strings.Contains(report.Partial, "refuses everything for now") || !strings.Contains(report.Partial, "15m0s") {
			t.Errorf("%d: partial %q", status, report.Partial)
		}
		if after == 0 || after > 20 {
			t.Errorf("%d: it was asked %d times while it refused", status, after)
		}
		for _, f := range report.Findings {
			t.Errorf("%d: invented %s at %s: %s", status, f.Rule, f.Where, f.What)
		}
		locked = false
		if report = waiting(t, api, c, journal); report.Partial != "" {
			t.Errorf("%d: it does not go on: %q", status, report.Partial)
		}
		api.Close()
	}
}

// One operation that refuses for long leaves its own cases open, and no others.
func TestOneOperationThatRefusesForLongStopsNothingElse(t *testing.T) {
	c := newClock()
	var others atomic.Int64
	api := patient(t, func(r *http.Request) string {
		if r.URL.Path == "/v1/admin/users" {
			return "3600"
		}
		others.Add(1)
		return ""
	})
	report := waiting(t, api, c, "")
	notes := strings.Join(report.Notes, "\n")
	if report.Partial != "" || !strings.Contains(notes, "GET /v1/admin/users answers 429: it asks for a pause of 1h0m0s") || others.Load() < 100 {
		t.Errorf("partial %q, %d requests elsewhere, notes %s", report.Partial, others.Load(), notes)
	}
	if strings.Contains(notes, "good request GET /v1/orders:") {
		t.Errorf("others are open as well: %s", notes)
	}
}

// Where no operation takes a good request the run does not look as if all held.
func TestARunWithoutOneGoodRequestSaysSo(t *testing.T) {
	for status, help := range map[int]string{http.StatusNotFound: "is the path of servers right", http.StatusUnauthorized: "in force?"} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		if report := waiting(t, api, newClock(), ""); !strings.Contains(report.Partial, "no operation took one good request") || !strings.Contains(report.Partial, help) {
			t.Errorf("%d: partial %q", status, report.Partial)
		}
		api.Close()
	}
}
