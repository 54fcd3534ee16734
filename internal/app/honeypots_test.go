package app

import (
	"net/netip"
	"testing"
	"time"

	"pavise.dev/pavise/internal/config"
)

// Whom a honeypot keeps out: never a trusted proxy, nor who speaks from this machine, behind
// which everybody may be (invariant 10).
func TestWhoIsKeptOut(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:9::1/128")}
	for addr, want := range map[string]string{
		"203.0.113.7":          "203.0.113.7/32",
		"::ffff:203.0.113.7":   "203.0.113.7/32",
		"2001:db8:1:2:3::4":    "2001:db8:1:2::/64",
		"fe80::1%eth0":         "fe80::/64",
		"2001:db8:9::5":        "2001:db8:9::5/128",
		"2001:db8:9::1":        "",
		"10.1.2.3":             "",
		"::ffff:10.1.2.3":      "",
		"127.0.0.1":            "",
		"::1":                  "",
		"::ffff:127.0.0.1":     "",
		"2001:db8:9:0:8000::1": "2001:db8:9:0:8000::1/128",
	} {
		network, ok := networkOf(netip.MustParseAddr(addr), trusted)
		if ok != (want != "") || ok && network.String() != want {
			t.Errorf("%s: %s, %v; want %q", addr, network, ok, want)
		}
	}
	if _, ok := networkOf(netip.Addr{}, nil); ok {
		t.Error("nobody's address was taken for a network")
	}
}

func TestBlocksThatOperatorsMadeStay(t *testing.T) {
	c := newCA(t)
	by := netip.MustParsePrefix("203.0.113.0/24")
	_, err := c.a.State.Registry.Block(t.Context(), by, 48*time.Hour, "by hand")
	c.must(err)
	c.must(c.a.State.View.Refresh(t.Context()))
	c.must(c.a.blockIntruder(intruder{"/.env", netip.MustParseAddr("203.0.113.7"), time.Hour}))
	c.must(c.a.blockIntruder(intruder{"/.env", netip.MustParseAddr("198.51.100.7"), time.Hour}))
	blocks, err := c.a.State.Registry.Blocks(t.Context())
	c.must(err)
	if len(blocks) != 2 || blocks[0].Network.String() != "198.51.100.7/32" || blocks[1].Reason != "by hand" {
		t.Errorf("blocks %+v", blocks)
	}
}

// A configuration that is read again gives nobody a second place, unless the bound changes.
func TestPlacesOutliveAReload(t *testing.T) {
	dir := t.TempDir()
	a, _, _ := serve(t, dir, "")
	first := a.current()
	if len(first.places) != 0 {
		t.Fatalf("places %v", first.places)
	}
	f := *first.file
	api := f.APIs["orders"]
	api.Concurrency, api.Together = 2, 3
	f.APIs = map[string]config.API{"orders": api}
	if err := a.Reload(&f); err != nil {
		t.Fatal(err)
	}
	before := a.current().places["orders 2 3"]
	if before == nil {
		t.Fatalf("places %v", a.current().places)
	}
	if err := a.Reload(&f); err != nil {
		t.Fatal(err)
	}
	if a.current().places["orders 2 3"] != before {
		t.Error("a reload without a change made new places")
	}
	api.Together = 4
	f.APIs = map[string]config.API{"orders": api}
	if err := a.Reload(&f); err != nil {
		t.Fatal(err)
	}
	if a.current().places["orders 2 4"] == nil || a.current().places["orders 2 3"] != nil {
		t.Errorf("places %v", a.current().places)
	}
}
