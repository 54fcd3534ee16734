package limit_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"pavise.dev/pavise/limit"
)

// ExampleMemory counts the requests of a client.
func ExampleMemory() {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) // only an example moves its clock by hand
	counter, err := limit.NewMemory(limit.MemoryOptions{Now: func() time.Time { return now }})
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := limit.ParseLimit("60/minute per client burst 2")
	if err != nil {
		fmt.Println(err)
		return
	}
	l.Name = "orders"
	for range 3 {
		state, err := counter.Take(limit.Key(l.Name, "shop"), l.Rate, 1)
		if err != nil {
			fmt.Println(err)
			return
		}
		h := http.Header{}
		limit.SetHeaders(h, []limit.Applied{{Limit: l, State: state}})
		fmt.Println(state.Allowed, h["Ratelimit"])
	}
	// Output:
	// true ["orders";r=1;t=1]
	// true ["orders";r=0;t=2]
	// false ["orders";r=0;t=1]
}

// ExampleParseLimit shows what a mistake is answered with.
func ExampleParseLimit() {
	for _, text := range []string{"600/minute per client", "600/minute", "600/week per ip"} {
		l, err := limit.ParseLimit(text)
		fmt.Println(l.Rate.Count, err)
	}
	// Output:
	// 600 <nil>
	// 0 "600/minute" does not say whom it counts for (hint: write 600/minute per client (or user, address, endpoint))
	// 0 "week" is not a unit of time (hint: write it per day)
}

// ExampleLockout slows down guessing, for the network from which it comes.
func ExampleLockout() {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tries, err := limit.NewLockout(limit.LockoutOptions{
		Network: limit.Rate{Count: 3, Per: time.Minute}, Now: func() time.Time { return now },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	guesser, owner := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.1")
	for range 5 {
		tries.Wrong("key-1", guesser)
	}
	fmt.Println(tries.Blocked("", guesser), tries.Blocked("key-1", owner))
	// Output: 2s 0s
}
