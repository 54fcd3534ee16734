package limit_test

import (
	"net/netip"
	"testing"
	"time"

	"pavise.dev/pavise/limit"
)

func TestPeekTellsWhatTakeWouldAndCountsNothing(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now})
	rate := perMinute(3)
	for i := range 5 {
		for range 3 {
			peeked, err := m.Peek("a", rate, 1)
			if err != nil {
				t.Fatal(err)
			}
			if peeked.Allowed != (i < 3) {
				t.Errorf("after %d: %+v", i, peeked)
			}
		}
		peeked, _ := m.Peek("a", rate, 1)
		if taken := take(t, m, "a", rate, 1); taken != peeked {
			t.Errorf("peeked %+v, took %+v", peeked, taken)
		}
		clock.move(time.Second)
	}
	before := m.Len()
	if _, err := m.Peek("somebody", rate, 1); err != nil || m.Len() != before {
		t.Errorf("%v; asking about somebody made %d keys of %d", err, m.Len(), before)
	}
	if _, err := m.Peek("a", rate, 99); err == nil {
		t.Error("a cost that can never pass was taken")
	}
}

// Where addresses are counted together, so they are told.
func TestPeekKnowsWhatIsFolded(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now, MaxKeys: 8})
	rate := perMinute(2)
	key := func(i int) string {
		return "address\x00" + limit.AddressKey(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	for i := range 20 {
		peeked, err := m.Peek(key(i), rate, 1)
		if err != nil {
			t.Fatal(err)
		}
		if taken := take(t, m, key(i), rate, 1); taken.Allowed != peeked.Allowed && peeked.Allowed == false {
			t.Errorf("%d: peeked %+v, took %+v", i, peeked, taken)
		}
	}
}

func TestPeekOfQuotas(t *testing.T) {
	clock := newHand()
	m, err := limit.NewMemoryQuotas(0, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	q := limit.Quota{Name: "q", Count: 2, Period: limit.Day, Per: limit.PerClient}
	for i := range 3 {
		peeked, err := m.Peek("a", q, 1)
		if err != nil {
			t.Fatal(err)
		}
		taken, err := m.Take("a", q, 1)
		if err != nil || taken != peeked {
			t.Errorf("%d: peeked %+v, took %+v, %v", i, peeked, taken, err)
		}
	}
	if _, err := m.Peek("a", q, 3); err == nil {
		t.Error("a cost above the quota was taken")
	}
}
