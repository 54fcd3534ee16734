package limit_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/limit"
)

// ofAddress is a key as the guard writes it for a limit that counts addresses.
func ofAddress(name string, addr netip.Addr) string {
	return "orders\x00" + name + "\x00address\x00address\x00" + limit.AddressKey(addr)
}

func ofClient(name, client string) string {
	return "orders\x00" + name + "\x00client\x00client\x00" + client
}

// network returns /64 number n of 2001:db8::/32.
func network(n int) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], 0x20010db8<<32|uint64(n))
	b[15] = 1
	return netip.AddrFrom16(b)
}

var perDay = limit.Rate{Count: 5, Per: 24 * time.Hour}

// flood uses a slow limit once from each of a lot of networks of one /44.
func flood(t testing.TB, m *limit.Memory, networks int) (refused int) {
	t.Helper()
	for i := range networks {
		if !take(t, m, ofAddress("signup", network(i)), perDay, 1).Allowed {
			refused++
		}
	}
	return refused
}

// A stranger with one IPv6 allocation used to fill the one table of all limits.
func TestAFloodOfAddressesDeniesNobodyElse(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now, MaxKeys: 8 * 1024})
	honest := ofAddress("signup", netip.MustParseAddr("198.51.100.7"))
	take(t, m, honest, perDay, 2)
	if refused := flood(t, m, 1<<16); refused == 0 {
		t.Error("the flood got a quota for each of its networks")
	}
	for name, key := range map[string]string{
		"a client of the same limit":      ofClient("signup", "shop"),
		"a client of another limit":       ofClient("orders", "shop"),
		"an address of another limit":     ofAddress("orders", netip.MustParseAddr("2001:db8::1")),
		"an address of all limits":        "address\x00" + limit.AddressKey(network(3)),
		"a new IPv6 network elsewhere":    ofAddress("signup", netip.MustParseAddr("2a00::1")),
		"a new IPv4 address":              ofAddress("signup", netip.MustParseAddr("203.0.113.9")),
		"an address that nobody can read": ofAddress("signup", netip.Addr{}),
	} {
		for i := range 5 {
			if state := take(t, m, key, perDay, 1); !state.Allowed || state.Remaining != 4-i {
				t.Errorf("%s, request %d: %+v", name, i+1, state)
			}
		}
		if take(t, m, key, perDay, 1).Allowed {
			t.Errorf("%s got more than its quota", name)
		}
	}
	if state := take(t, m, honest, perDay, 1); state.Remaining != 2 {
		t.Errorf("an address that was counted before: %+v", state)
	}
	if take(t, m, ofAddress("signup", network(1<<16+1)), perDay, 5).Allowed &&
		take(t, m, ofAddress("signup", network(1<<16+2)), perDay, 5).Allowed {
		t.Error("networks of one /56 do not share a quota")
	}
}

// However much comes from wherever, memory is bounded and an address gets no
// error.
func TestAddressesNeverGetAnError(t *testing.T) {
	m := memory(t, limit.MemoryOptions{Now: newHand().now, MaxKeys: 800})
	for i := range 200_000 {
		var six [16]byte
		binary.BigEndian.PutUint64(six[:], uint64(i)*0x9e3779b97f4a7c15)
		four := netip.AddrFrom4([4]byte{byte(i), byte(i >> 4), byte(i >> 8), byte(i >> 12)})
		take(t, m, ofAddress("signup", netip.AddrFrom16(six)), perDay, 1)
		take(t, m, ofAddress("signup", four), perDay, 1)
	}
	if n := m.Len(); n > 200 {
		t.Errorf("%d keys are kept, want at most 100 and what is folded", n)
	}
}

// Clients are not folded: a limit with too many refuses the new ones, and only its
// own.
func TestClientsOfOneLimitCrowdOutNobodyElse(t *testing.T) {
	m := memory(t, limit.MemoryOptions{Now: newHand().now, MaxKeys: 4})
	for i := range 4 {
		take(t, m, ofClient("signup", fmt.Sprint(i)), perDay, 1)
	}
	if _, err := m.Take(ofClient("signup", "new"), perDay, 1); !errors.Is(err, limit.ErrFull) {
		t.Fatalf("a fifth client: %v, want ErrFull", err)
	}
	take(t, m, ofClient("orders", "new"), perDay, 1)
	take(t, m, ofAddress("signup", network(1)), perDay, 1)
}

// A folded network gets no second quota when there is room again, and one of its
// own once the shared bucket is full.
func TestAFoldedNetworkGetsNoSecondQuota(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now, MaxKeys: 8})
	slow, rate := limit.Rate{Count: 1, Per: time.Second}, limit.Rate{Count: 4, Per: 40 * time.Second}
	take(t, m, ofAddress("signup", netip.MustParseAddr("192.0.2.1")), slow, 1) // fills the table, for a second
	one, two := ofAddress("signup", network(1)), ofAddress("signup", network(2))
	take(t, m, one, rate, 3)
	clock.move(5 * time.Second) // there is room again
	if state := take(t, m, two, rate, 1); state.Remaining != 0 {
		t.Errorf("its neighbour: %+v", state)
	}
	if state := take(t, m, one, rate, 1); state.Allowed {
		t.Errorf("a second quota: %+v", state)
	}
	clock.move(time.Minute)
	for _, key := range []string{one, two} {
		if state := take(t, m, key, rate, 1); state.Remaining != 3 {
			t.Errorf("after its time: %+v", state)
		}
		clock.move(time.Minute)
	}
}

// Row 127, for networks that are counted together.
func TestFoldedNetworksAreExactForFiftyAtTheLastToken(t *testing.T) {
	for round := range 100 {
		m := memory(t, limit.MemoryOptions{Now: newHand().now, MaxKeys: 8})
		take(t, m, ofAddress("signup", netip.MustParseAddr("192.0.2.1")), perDay, 1)
		var passed atomic.Int32
		var wait sync.WaitGroup
		for i := range 50 {
			wait.Go(func() {
				if state, err := m.Take(ofAddress("signup", network(i)), perDay, 1); err == nil && state.Allowed {
					passed.Add(1)
				}
			})
		}
		wait.Wait()
		if passed.Load() != 5 {
			t.Fatalf("round %d: %d passed, want 5", round, passed.Load())
		}
	}
}

func FuzzTakeReadsAnyKey(f *testing.F) {
	f.Add(ofClient("a", "b"), ofAddress("a", network(1)))
	f.Add("address\x00\x04\x01\x02\x03\x04", "address\x00\x00")
	f.Add("\x00\x00\x00address\x00\x06", "\x00\x00\x00")
	f.Fuzz(func(t *testing.T, a, b string) {
		m := memory(t, limit.MemoryOptions{Now: newHand().now, MaxKeys: 1})
		for _, key := range []string{a, b, a, b} {
			if _, err := m.Take(key, perDay, 1); err != nil && !errors.Is(err, limit.ErrFull) && len(key) <= 1024 {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkTakeOfAnAddress(b *testing.B) {
	m := memory(b, limit.MemoryOptions{})
	key := ofAddress("signup", network(1))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = m.Take(key, perMinute(600), 1)
	}
}

// A stranger's request while the table is full of others.
func BenchmarkTakeFolded(b *testing.B) {
	m := memory(b, limit.MemoryOptions{MaxKeys: 8 * 1024})
	flood(b, m, 1<<14)
	key := ofAddress("signup", netip.MustParseAddr("2a00::1"))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = m.Take(key, perMinute(600), 1)
	}
}
