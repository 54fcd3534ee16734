package limit_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/limit"
)

func TestParseQuota(t *testing.T) {
	for text, want := range map[string]limit.Quota{
		"100000/month per client":     {Count: 100000, Period: limit.Month, Per: limit.PerClient},
		"5000/day per user cost 10":   {Count: 5000, Period: limit.Day, Per: limit.PerUser, Cost: 10},
		" 1/day  per endpoint ":       {Count: 1, Period: limit.Day, Per: limit.PerEndpoint},
		"1000000000/month per client": {Count: limit.MaxCount, Period: limit.Month, Per: limit.PerClient},
	} {
		q, err := limit.ParseQuota(text)
		if err != nil || q != want {
			t.Errorf("%q: %+v, %v", text, q, err)
		}
		if again, err := limit.ParseQuota(q.String()); err != nil || again != q {
			t.Errorf("%q is written %q: %+v, %v", text, q, again, err)
		}
	}
	for text, says := range map[string]string{
		"":                            "empty",
		"100":                         "per day or month",
		"100/hour per client":         "limit counts per second",
		"100/monthly per client":      "did you mean month?",
		"100/day":                     "whom it counts for",
		"100/day per":                 "whom it counts for",
		"100/day client":              "whom it counts for",
		"100/day per address":         "more addresses than could be kept",
		"100/day per key":             "did you mean client?",
		"100/day per client burst 5":  "not understood",
		"100/day per client cost":     "a number is missing",
		"100/day per client cost 101": "can never pass",
		"0/day per client":            "not a number",
		"-5/day per client":           "not a whole number",
		"1000000001/day per client":   "too many",
	} {
		if _, err := limit.ParseQuota(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func FuzzParseQuota(f *testing.F) {
	f.Add("100000/month per client cost 3")
	f.Add("1/day per endpoint")
	f.Fuzz(func(t *testing.T, text string) {
		q, err := limit.ParseQuota(text)
		if err != nil {
			return
		}
		if again, err := limit.ParseQuota(q.String()); err != nil || again.String() != q.String() {
			t.Errorf("%q is written %q, which is read as %v, %v", text, q, again, err)
		}
	})
}

func quotas(t testing.TB, h *hand, most int) *limit.MemoryQuotas {
	t.Helper()
	m, err := limit.NewMemoryQuotas(most, h.now)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func daily(n int) limit.Quota {
	return limit.Quota{Name: "q", Count: n, Period: limit.Day, Per: limit.PerClient}
}

func use(t testing.TB, m limit.Quotas, key string, q limit.Quota, cost int) limit.State {
	t.Helper()
	s, err := m.Take(key, q, cost)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The window is the calendar's: there is no edge at which twice the quota passes within one
// day, and the headers say when the next one begins.
func TestQuotasCountDaysAndMonthsOfUTC(t *testing.T) {
	attacktest.Rows(t, 126, 131, 133)
	h := newHand() // 2026-11-23 12:00
	m := quotas(t, h, 0)
	q := limit.Quota{Name: "m", Count: 10, Period: limit.Month, Per: limit.PerClient, Cost: 4}
	for i, left := range []int{6, 2} {
		if s := use(t, m, "a", q, 4); !s.Allowed || s.Remaining != left || s.Reset != 7*24*time.Hour+12*time.Hour {
			t.Errorf("use %d: %+v", i, s)
		}
	}
	s := use(t, m, "a", q, 4) // two are left, four are wanted: nothing is taken
	if s.Allowed || s.Remaining != 2 || s.Retry != 180*time.Hour {
		t.Errorf("the third: %+v", s)
	}
	if s := use(t, m, "a", q, 2); !s.Allowed || s.Remaining != 0 {
		t.Errorf("what is left: %+v", s)
	}
	header := http.Header{}
	limit.SetHeaders(header, []limit.Applied{q.Apply(s, h.now())})
	if p, r := header.Get("Ratelimit-Policy"), header.Get("Ratelimit"); p != `"m";q=10;w=2592000` || r != `"m";r=2;t=648000` {
		t.Errorf("headers %s and %s", p, r)
	}
	h.move(s.Retry - time.Nanosecond)
	if s := use(t, m, "a", q, 1); s.Allowed || limit.RetryAfter(s.Retry) != "1" {
		t.Errorf("before the month's end: %+v", s)
	}
	h.move(time.Nanosecond)
	if s := use(t, m, "a", q, 4); !s.Allowed || s.Remaining != 6 || s.Reset != 31*24*time.Hour {
		t.Errorf("in December: %+v", s)
	}
}

// Whichever way the clock is set, and wherever in the day: over the days that really pass,
// nobody has more than their quotas, and nobody who has something left waits for longer than to the
// end of the next day.
func TestAStepOfTheClockGivesNoQuotaAndNoEternalBlock(t *testing.T) {
	attacktest.Rows(t, 134)
	for step, most := range map[time.Duration]int{ // most: that may pass in today and tomorrow
		time.Hour: 20, -time.Hour: 20, 23 * time.Hour: 20,
		25 * time.Hour: 30, -25 * time.Hour: 30, 30 * 24 * time.Hour: 30, // a day beyond tomorrow was once today
	} {
		for hour := range 24 {
			h := newHand()
			h.move(time.Duration(hour)*time.Hour - 12*time.Hour + 30*time.Minute)
			m := quotas(t, h, 0)
			passed := 0
			all := func() {
				for range 30 {
					if use(t, m, "a", daily(10), 1).Allowed {
						passed++
					}
				}
			}
			all()
			h.move(step)
			all()
			h.move(-step)
			all()
			if passed > 20 || step == -time.Hour && hour > 0 && passed > 10 { // of today, and of the day that the clock said
				t.Errorf("step %s at %d:30: %d passed", step, hour, passed)
			}
			if s := use(t, m, "a", daily(10), 1); s.Allowed || s.Retry > 48*time.Hour {
				t.Errorf("step %s at %d:30: %+v", step, hour, s)
			}
			h.move(24 * time.Hour)
			all()
			if passed > most {
				t.Errorf("step %s at %d:30: %d passed in two days", step, hour, passed)
			}
			h.move(24 * time.Hour)
			if s := use(t, m, "a", daily(10), 1); !s.Allowed {
				t.Errorf("step %s at %d:30: two days later still %+v", step, hour, s)
			}
		}
	}
}

func TestQuotasAreBounded(t *testing.T) {
	h := newHand()
	m := quotas(t, h, 320)
	full := 0
	for i := range 1000 {
		if _, err := m.Take(fmt.Sprint(i), daily(5), 1); errors.Is(err, limit.ErrFull) {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if full < 680 {
		t.Errorf("%d of 1000 were refused for want of room", full)
	}
	h.move(48 * time.Hour)
	for i := range 100 {
		if _, err := m.Take(fmt.Sprint("new ", i), daily(5), 1); err != nil {
			t.Fatalf("two days later: %v", err)
		}
	}
	for what, take := range map[string]func() (limit.State, error){
		"a cost over the quota": func() (limit.State, error) { return m.Take("a", daily(5), 6) },
		"no cost":               func() (limit.State, error) { return m.Take("a", daily(5), 0) },
		"no quota":              func() (limit.State, error) { return m.Take("a", limit.Quota{}, 1) },
		"a long key":            func() (limit.State, error) { return m.Take(strings.Repeat("a", 2000), daily(5), 1) },
	} {
		if s, err := take(); err == nil {
			t.Errorf("%s: %+v", what, s)
		}
	}
}

func TestKeysOfQuotasCanBeRead(t *testing.T) {
	q := limit.Quota{Name: "orders-client-month", Period: limit.Month}
	prefix := q.KeyPrefix("orders")
	for key, want := range map[string]limit.QuotaKey{
		prefix + "client\x00shop":             {Client: "shop"},
		prefix + "user\x00https://x\x00alice": {Issuer: "https://x", User: "alice"},
		prefix + limit.Nobody:                 {Other: limit.Nobody},
		prefix + "GET /v1/orders":             {Other: "GET /v1/orders"},
	} {
		want.API, want.Quota, want.Period = "orders", "orders-client-month", limit.Month
		if k, ok := limit.ParseQuotaKey(key); !ok || k != want {
			t.Errorf("%q: %+v, %v", key, k, ok)
		}
	}
	for _, key := range []string{"", "a\x00b", "a\x00b\x00year\x00client\x00c", prefix + "user\x00alice"} {
		if k, ok := limit.ParseQuotaKey(key); ok {
			t.Errorf("%q: %+v", key, k)
		}
	}
}

func BenchmarkQuotaTake(b *testing.B) {
	m := quotas(b, newHand(), 0)
	q := daily(limit.MaxCount)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Take("orders\x00orders-client-month\x00month\x00client\x00shop", q, 1); err != nil {
			b.Fatal(err)
		}
	}
}
