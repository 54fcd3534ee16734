package main

import (
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/review"
)

// A request that two changes hit is not told as two requests.
func TestATrialDoesNotCountARequestTwice(t *testing.T) {
	once := review.Activity{Requests: 1}
	narrowed := &review.Change{What: review.NarrowClient, Client: "shop"}
	var b strings.Builder
	err := showTried(&b, &tried{Since: time.Unix(0, 0), Accepted: 1, Verdict: review.Hits, Struck: []review.Struck{
		{Change: narrowed, Endpoint: "orders GET /v1/orders", Activity: once}, {Endpoint: "orders GET /v1/orders", Activity: once},
	}})
	if err != nil || !strings.Contains(b.String(), "of 1 request accepted since") || !strings.Contains(b.String(), "it would have refused some, by 2 changes.") {
		t.Errorf("%v %s", err, b.String())
	}
	if n := hitting([]review.Struck{{Change: narrowed, Endpoint: "a"}, {Change: narrowed, Endpoint: "b"}}); n != 1 {
		t.Errorf("one change at two endpoints is told as %d", n)
	}
}
