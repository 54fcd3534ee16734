package client_test

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/memory"
)

func TestNetworksAreKeptOutForATime(t *testing.T) {
	attacktest.Rows(t, 17)
	c := newClock()
	r := registry(t, memory.New(), c, "")
	v := view(t, r)
	block := func(network string, life time.Duration) error {
		_, err := r.Block(t.Context(), netip.MustParsePrefix(network), life, "floods")
		if err == nil {
			refresh(t, v)
		}
		return err
	}
	is := func(address string, want bool) {
		t.Helper()
		if _, blocked := v.Blocked(netip.MustParseAddr(address)); blocked != want {
			t.Errorf("%s blocked: %v", address, blocked)
		}
	}
	is("203.0.113.7", false)
	must(t, block("203.0.113.0/24", time.Hour))
	must(t, block("203.0.113.7/32", 3*time.Hour))
	must(t, block("2001:db8:1::/48", time.Hour))
	is("203.0.113.7", true)
	is("203.0.113.255", true)
	is("203.0.114.0", false)
	is("::ffff:203.0.113.9", true)
	is("2001:db8:1:ffff::1", true)
	is("2001:db8:2::1", false)
	if all, err := r.Blocks(t.Context()); err != nil || len(all) != 3 || all[2].Network.Bits() != 32 || all[0].Reason != "floods" {
		t.Errorf("%+v, %v", all, err)
	}
	c.add(61 * time.Minute)
	is("203.0.113.255", false)
	is("203.0.113.7", true)
	_, err := r.Unblock(t.Context(), netip.MustParsePrefix("203.0.113.7/32"))
	must(t, err)
	refresh(t, v)
	is("203.0.113.7", false)
	if _, err := r.Unblock(t.Context(), netip.MustParsePrefix("203.0.113.7/32")); !errors.Is(err, client.ErrNotBlocked) {
		t.Errorf("twice: %v", err)
	}
	must(t, block("203.0.113.0/24", time.Hour)) // again
	is("203.0.113.1", true)
	for _, wrong := range []string{"0.0.0.0/0", "10.0.0.0/7", "::/0", "2001::/16", "203.0.113.7/24", "::ffff:203.0.113.0/120"} {
		if err := block(wrong, time.Hour); err == nil {
			t.Errorf("%s is blocked", wrong)
		}
	}
	for _, life := range []time.Duration{0, -time.Hour, 91 * 24 * time.Hour} {
		if err := block("198.51.100.0/24", life); err == nil {
			t.Errorf("blocked for %s", life)
		}
	}
}

func TestBlocksThatHaveEndedAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := live(t, memory.New(), func(err error) { t.Error(err) })
		defer func() { _ = v.Close() }()
		for _, network := range []string{"203.0.113.0/24", "198.51.100.0/24"} {
			life := time.Minute
			if network == "198.51.100.0/24" {
				life = 48 * time.Hour
			}
			must(t, second(r.Block(t.Context(), netip.MustParsePrefix(network), life, "")))
		}
		time.Sleep(25 * time.Hour) // of the bubble's time
		synctest.Wait()
		_, err := r.Unblock(t.Context(), netip.MustParsePrefix("203.0.113.0/24"))
		if !errors.Is(err, client.ErrNotBlocked) {
			t.Errorf("the one that has ended is still kept: %v", err)
		}
		must(t, second(r.Unblock(t.Context(), netip.MustParsePrefix("198.51.100.0/24"))))
	})
}
