package audit_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
)

func TestFloodOfStrangersIsCountedNeverOfTheProved(t *testing.T) {
	dir := t.TempDir()
	now := startTime
	l := open(t, dir, func(o *audit.Options) { o.Now = func() time.Time { return now }; o.Slots = 1024 })
	stranger := func(id, addr string) *audit.Event {
		e := event(id)
		e.Decision, e.Code, e.Status, e.Proved, e.CredentialID, e.Client = audit.Refused, "missing_credential", 401, false, "", ""
		e.Remote = netip.AddrPortFrom(netip.MustParseAddr(addr), 1)
		return e
	}
	for i := range 50 {
		record(t, l, stranger(fmt.Sprint("a", i), fmt.Sprintf("2001:db8::%x", i+1))) // one /64
		record(t, l, stranger(fmt.Sprint("b", i), fmt.Sprintf("192.0.2.%d", i+1)))   // fifty networks
		proved := stranger(fmt.Sprint("c", i), "2001:db8::1")
		proved.Proved = true
		record(t, l, proved)
		exposed := stranger(fmt.Sprint("d", i), "2001:db8::1")
		exposed.Exposed = true
		record(t, l, exposed)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	counts := map[byte]int{}
	for _, found := range search(t, dir, audit.Query{}) {
		counts[found.Event.ID[0]]++
	}
	if counts['a'] != 20 || counts['b'] != 50 || counts['c'] != 50 || counts['d'] != 50 {
		t.Errorf("one network %d (want 20), many %d, proved %d, exposed %d (want 50 each)", counts['a'], counts['b'], counts['c'], counts['d'])
	}
	now = now.Add(11 * time.Second)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	found := search(t, dir, audit.Query{ID: "a20"})
	if len(found) != 1 || found[0].Event.Count != 30 || found[0].Event.Code != "missing_credential" {
		t.Errorf("counted events %+v, want one for 30", found)
	}
}
