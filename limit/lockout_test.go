package limit_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/limit"
)

func lockout(t testing.TB, o limit.LockoutOptions) (*limit.Lockout, *hand) {
	t.Helper()
	clock := newHand()
	if o.Now == nil {
		o.Now = clock.now
	}
	l, err := limit.NewLockout(o)
	if err != nil {
		t.Fatal(err)
	}
	return l, clock
}

var (
	attacker = netip.MustParseAddr("203.0.113.66")
	owner    = netip.MustParseAddr("198.51.100.7")
)

// Row 17: many random keys from one address.
func TestGuessingFromOneAddressIsLockedOut(t *testing.T) {
	l, clock := lockout(t, limit.LockoutOptions{})
	tried := 0
	start := clock.now()
	for i := range 10000 {
		if wait := l.Blocked("", attacker); wait > 0 {
			clock.move(wait)
			if clock.now().Sub(start) > time.Hour {
				break
			}
		}
		l.Wrong(fmt.Sprint("random", i), attacker)
		tried++
	}
	if tried > 20+13 {
		t.Errorf("%d tries in an hour", tried)
	}
	if l.Blocked("", attacker) == 0 && tried == 10000 {
		t.Error("never blocked")
	}
	if l.Blocked("", owner) != 0 || l.Blocked("random1", owner) != 0 {
		t.Error("a caller from elsewhere has to wait")
	}
}

func TestDelaysDoubleUpToTheLongestAndEnd(t *testing.T) {
	l, clock := lockout(t, limit.LockoutOptions{
		Network: limit.Rate{Count: 3, Per: time.Minute}, First: time.Second, Longest: 10 * time.Second, Forget: time.Minute,
	})
	for range 3 {
		l.Wrong("", attacker)
		if wait := l.Blocked("", attacker); wait != 0 {
			t.Fatalf("%s to wait after a free try", wait)
		}
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		l.Wrong("", attacker)
		if wait := l.Blocked("", attacker); wait != want*time.Second {
			t.Fatalf("%s to wait, want %d s", wait, want)
		}
		clock.move(want*time.Second - 1)
		if l.Blocked("", attacker) != 1 {
			t.Fatal("the delay ended early")
		}
		clock.move(1)
		if l.Blocked("", attacker) != 0 {
			t.Fatal("the delay did not end")
		}
	}
	clock.move(2 * time.Minute)
	for range 3 {
		l.Wrong("", attacker)
	}
	if l.Blocked("", attacker) != 0 {
		t.Fatal("free tries did not come back")
	}
	l.Wrong("", attacker)
	if wait := l.Blocked("", attacker); wait != time.Second {
		t.Fatalf("%s to wait: strikes were not forgotten", wait)
	}
}

func TestDelaysNeverOverflow(t *testing.T) {
	l, clock := lockout(t, limit.LockoutOptions{Network: limit.Rate{Count: 1, Per: time.Second}})
	for range 200 {
		l.Wrong("", attacker)
		wait := l.Blocked("", attacker)
		if wait < 0 || wait > 15*time.Minute {
			t.Fatalf("%s to wait", wait)
		}
		clock.move(wait)
	}
}

// Row 166 and invariant 10: who knows a public id cannot shut out its owner.
func TestGuessingAgainstAKnownIDLeavesItsOwnerAlone(t *testing.T) {
	l, _ := lockout(t, limit.LockoutOptions{})
	for network := range 500 {
		addr := netip.AddrFrom4([4]byte{203, 0, byte(network >> 8), byte(network)})
		for range 30 {
			l.Wrong("known", addr)
		}
		if l.Blocked("known", addr) == 0 {
			t.Fatalf("guessing from %s goes on", addr)
		}
		if l.Blocked("other", addr) != 0 {
			t.Fatalf("another credential from %s was blocked by itself", addr)
		}
	}
	if wait := l.Blocked("known", owner); wait != 0 {
		t.Fatalf("the owner has to wait %s", wait)
	}
	if wait := l.Blocked("", owner); wait != 0 {
		t.Fatalf("the owner's network has to wait %s", wait)
	}
}

func TestTheOwnersSuccessResetsOnlyHisPair(t *testing.T) {
	l, _ := lockout(t, limit.LockoutOptions{})
	for range 30 {
		l.Wrong("known", attacker)
		l.Wrong("known", owner)
		l.Wrong("another", owner)
	}
	l.Right("known", owner)
	if l.Blocked("known", owner) != 0 {
		t.Error("the pair is still blocked")
	}
	if l.Blocked("another", owner) == 0 {
		t.Error("another pair was reset")
	}
	if l.Blocked("known", attacker) == 0 {
		t.Error("the attacker's pair was reset")
	}
	if l.Blocked("", owner) == 0 || l.Blocked("", attacker) == 0 {
		t.Error("a network was reset")
	}
	l.Right("", owner)
	l.Right("never seen", owner)
}

func TestATrustedProxyIsNeverBlocked(t *testing.T) {
	l, _ := lockout(t, limit.LockoutOptions{Trusted: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1:2::1/128"), netip.MustParsePrefix("::ffff:192.0.2.0/120"),
	}})
	for _, text := range []string{"10.1.2.3", "::ffff:10.1.2.3", "2001:db8:1:2::1", "192.0.2.9"} {
		addr := netip.MustParseAddr(text)
		for range 100 {
			l.Wrong("known", addr)
		}
		if l.Blocked("", addr) != 0 || l.Blocked("known", addr) != 0 {
			t.Errorf("the proxy %s is blocked", addr)
		}
	}
	neighbour := netip.MustParseAddr("2001:db8:1:2::666")
	for range 100 {
		l.Wrong("known", neighbour)
	}
	if l.Blocked("", neighbour) == 0 {
		t.Error("the proxy's neighbour is not blocked")
	}
	if l.Blocked("", netip.MustParseAddr("2001:db8:1:2::1")) != 0 {
		t.Error("the proxy is blocked for its neighbour")
	}
}

// Row 128: an attacker who has a /64 has one network.
func TestAddressesOfOneSubscriberCountTogether(t *testing.T) {
	l, _ := lockout(t, limit.LockoutOptions{})
	for i := range 30 {
		l.Wrong("", netip.MustParseAddr(fmt.Sprintf("2001:db8:9:9::%x", i+1)))
	}
	if l.Blocked("", netip.MustParseAddr("2001:db8:9:9:ffff::")) == 0 {
		t.Error("a fresh address of the /64 goes on")
	}
	if l.Blocked("", netip.MustParseAddr("2001:db8:9:a::1")) != 0 {
		t.Error("the next /64 is blocked")
	}
}

func TestLockoutIsBoundedAndSaysWhenItIsFull(t *testing.T) {
	l, clock := lockout(t, limit.LockoutOptions{MaxEntries: 160, Network: limit.Rate{Count: 1, Per: time.Minute}})
	l.Wrong("", attacker)
	l.Wrong("", attacker)
	for i := range 10000 {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		l.Wrong("", addr)
		l.Wrong("", addr)
	}
	if l.Uncounted() == 0 {
		t.Error("10,000 networks under a delay fit into 160 entries")
	}
	if l.Blocked("", attacker) == 0 {
		t.Error("a flood of others freed the attacker")
	}
	clock.move(24 * time.Hour)
	before := l.Uncounted()
	for i := range 32 {
		l.Wrong("", netip.AddrFrom4([4]byte{11, 0, 0, byte(i)}))
	}
	if l.Uncounted() != before {
		t.Error("entries that are over were not forgotten")
	}
	l.Wrong(strings.Repeat("x", 1<<20), attacker) // counted for the network only
}

func TestLockoutSurvivesClockSteps(t *testing.T) {
	l, clock := lockout(t, limit.LockoutOptions{Network: limit.Rate{Count: 1, Per: time.Minute}})
	l.Wrong("", attacker)
	l.Wrong("", attacker)
	clock.move(-time.Hour)
	if wait := l.Blocked("", attacker); wait != time.Second {
		t.Fatalf("%s to wait after a step back", wait)
	}
	clock.move(time.Second)
	if wait := l.Blocked("", attacker); wait != 0 {
		t.Fatalf("%s to wait after its time", wait)
	}
}

func TestLockoutRefusesSettingsThatCannotWork(t *testing.T) {
	for name, o := range map[string]limit.LockoutOptions{
		"negative first":      {First: -1},
		"longest below first": {First: time.Minute, Longest: time.Second},
		"forget below":        {Longest: time.Hour, Forget: time.Minute},
		"rate":                {Network: limit.Rate{Count: 5}},
		"pair":                {Pair: limit.Rate{Count: 5, Per: time.Minute, Burst: 6}},
		"entries":             {MaxEntries: -1},
	} {
		if _, err := limit.NewLockout(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLockoutIsSafeForManyCallers(t *testing.T) {
	l, _ := lockout(t, limit.LockoutOptions{Now: time.Now, MaxEntries: 100})
	var wait sync.WaitGroup
	for g := range 16 {
		wait.Go(func() {
			for i := range 2000 {
				addr := netip.AddrFrom4([4]byte{10, 0, byte(g), byte(i)})
				l.Wrong(fmt.Sprint(i%7), addr)
				l.Blocked("", addr)
				l.Blocked(fmt.Sprint(i%7), addr)
				l.Right(fmt.Sprint(i%7), addr)
			}
		})
	}
	wait.Wait()
}

func BenchmarkBlocked(b *testing.B) {
	l, _ := lockout(b, limit.LockoutOptions{Now: time.Now})
	for i := range 1000 {
		l.Wrong(fmt.Sprint(i), netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Blocked("", owner)
		l.Blocked("credential", owner)
	}
}
