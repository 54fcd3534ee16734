package limit_test

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/limit"
)

// A million distinct addresses, all over IPv4 and out of one allocation of IPv6, each with a
// wrong credential: what is kept of them is bounded, and who is counted already stays so.
func TestAMillionAddressesAreBounded(t *testing.T) {
	attacktest.Rows(t, 128)
	const addresses = 1_000_000
	h := newHand()
	m := memory(t, limit.MemoryOptions{Now: h.now})
	tries, err := limit.NewLockout(limit.LockoutOptions{Network: perMinute(20), Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	heap := func() int {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int(s.HeapAlloc)
	}
	rate := limit.Rate{Count: 10, Per: time.Hour}
	victim := "address\x00" + limit.AddressKey(netip.MustParseAddr("192.0.2.1"))
	for range 3 {
		take(t, m, victim, rate, 1)
	}
	before := heap()
	for i := range addresses {
		four := uint32(i)*4099 + 1<<24 // all over
		addr := netip.AddrFrom4([4]byte{byte(four >> 24), byte(four >> 16), byte(four >> 8), byte(four)})
		if i%2 == 1 {
			addr = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i), 15: 1})
		}
		if _, err := m.Take("address\x00"+limit.AddressKey(addr), rate, 1); err != nil {
			t.Fatal(err)
		}
		tries.Wrong("", addr)
	}
	kept, grown := m.Len(), heap()-before
	t.Logf("%d addresses: %d kept, %.1f MiB for rates and wrong tries", addresses, kept, float64(grown)/(1<<20))
	if kept > 260_000 || grown > 96<<20 {
		t.Errorf("%d addresses are kept in %d bytes", kept, grown)
	}
	if s := take(t, m, victim, rate, 1); s.Remaining != 6 {
		t.Errorf("who was counted before them: %+v", s)
	}
	runtime.KeepAlive(tries)
}
