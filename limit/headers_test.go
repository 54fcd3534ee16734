package limit_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/limit"
)

// Row 131.
func TestHeadersTellTheTruth(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now})
	client := limit.Limit{Name: "orders-client", Rate: limit.Rate{Count: 10, Per: time.Minute, Burst: 2}, Per: limit.PerClient}
	user := limit.Limit{Name: "orders-user", Rate: limit.Rate{Count: 3600, Per: time.Hour}, Per: limit.PerUser}
	apply := func() ([]limit.Applied, http.Header) {
		applied := []limit.Applied{
			{Limit: user, State: take(t, m, "u", user.Rate, 1)},
			{Limit: client, State: take(t, m, "c", client.Rate, 1)},
		}
		h := http.Header{}
		limit.SetHeaders(h, applied)
		return applied, h
	}
	_, h := apply()
	if got, want := h.Get("RateLimit-Policy"), `"orders-user";q=3600;w=3600, "orders-client";q=10;w=60`; got != want {
		t.Errorf("RateLimit-Policy: %s, want %s", got, want)
	}
	if got, want := h.Get("RateLimit"), `"orders-user";r=3599;t=1, "orders-client";r=1;t=6`; got != want {
		t.Errorf("RateLimit: %s, want %s", got, want)
	}
	apply()
	clock.move(500 * time.Millisecond)
	applied, h := apply()
	last := applied[1].State
	if last.Allowed {
		t.Fatal("a third request passed")
	}
	if got, want := h.Get("RateLimit"), `"orders-client";r=0;t=6`; !strings.HasSuffix(got, want) {
		t.Errorf("RateLimit: %s, want %s at the end", got, want)
	}
	wait, err := strconv.Atoi(limit.RetryAfter(last.Retry))
	if err != nil || wait != 6 {
		t.Fatalf("Retry-After %d, %v", wait, err)
	}
	clock.move(time.Duration(wait) * time.Second)
	if applied, _ := apply(); !applied[1].State.Allowed {
		t.Error("a caller who waited as he was told was refused")
	}
}

func TestHeadersCannotBeInjected(t *testing.T) {
	h := http.Header{}
	limit.SetHeaders(h, []limit.Applied{{
		Limit: limit.Limit{Name: "a\"\\\r\nX: y\x00é" + strings.Repeat("z", 100), Rate: limit.Rate{Count: 1, Per: time.Second}},
	}})
	name, _, _ := strings.Cut(h.Get("RateLimit"), ";")
	if want := `"a____X: y___` + strings.Repeat("z", 52) + `"`; name != want {
		t.Errorf("%s, want %s", name, want)
	}
}

func TestNoLimitNoHeaders(t *testing.T) {
	h := http.Header{}
	limit.SetHeaders(h, nil)
	if len(h) != 0 {
		t.Errorf("%v", h)
	}
}

func TestRetryAfterRoundsUp(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		-time.Second: "1", 0: "1", 1: "1", time.Second: "1", time.Second + 1: "2", 90 * time.Second: "90",
	} {
		if got := limit.RetryAfter(wait); got != want {
			t.Errorf("%s: %s, want %s", wait, got, want)
		}
	}
}

func BenchmarkSetHeaders(b *testing.B) {
	h := http.Header{}
	applied := []limit.Applied{{Limit: limit.Limit{Name: "orders-client", Rate: perMinute(600)}, State: limit.State{Allowed: true, Remaining: 500, Reset: 10 * time.Second}}}
	b.ReportAllocs()
	for b.Loop() {
		limit.SetHeaders(h, applied)
	}
}
