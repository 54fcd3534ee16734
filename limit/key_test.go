package limit_test

import (
	"net/netip"
	"testing"

	"pavise.dev/pavise/limit"
)

// Row 128: the addresses of one /64 are one network.
func TestAddressKeyAggregates(t *testing.T) {
	same := [][2]string{
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"},
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"fe80::1%eth0", "fe80::1%eth1"},
	}
	for _, pair := range same {
		a, b := netip.MustParseAddr(pair[0]), netip.MustParseAddr(pair[1])
		if limit.AddressKey(a) != limit.AddressKey(b) || limit.NetworkOf(a) != limit.NetworkOf(b) {
			t.Errorf("%s and %s are two networks", a, b)
		}
	}
	different := []string{"192.0.2.1", "192.0.2.2", "2001:db8:1:2::1", "2001:db8:1:3::1", "::1", "0.0.0.0", "::c000:201:0:0:0:0", "invalid"}
	seen := map[string]string{}
	for _, text := range different {
		addr, _ := netip.ParseAddr(text) // "invalid" stands for an address that could not be read
		key := limit.AddressKey(addr)
		if seen[key] != "" {
			t.Errorf("%s and %s are one network", text, seen[key])
		}
		seen[key] = text
	}
}

func TestKeyTellsEverythingApart(t *testing.T) {
	keys := map[string]bool{
		limit.Key("a"):              true,
		limit.Key("a", ""):          true,
		limit.Key("a", "b"):         true,
		limit.Key("ab"):             true,
		limit.Key("a", "b", "c"):    true,
		limit.Key("a", "bc"):        true,
		limit.Key("a", "b1:c"):      true,
		limit.Key("a", "b\x00c"):    true,
		limit.Key("a", "b", "", ""): true,
	}
	if len(keys) != 9 {
		t.Fatalf("%d keys of 9", len(keys))
	}
}

func FuzzKey(f *testing.F) {
	f.Add("a", "b", "c", "d")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		if (limit.Key(a, b) == limit.Key(c, d)) != (a == c && b == d) {
			t.Fatalf("%q %q, %q %q", a, b, c, d)
		}
		if limit.Key(a, b) == limit.Key(a, b, c) {
			t.Fatalf("%q %q %q", a, b, c)
		}
	})
}

func BenchmarkAddressKey(b *testing.B) {
	addr := netip.MustParseAddr("2001:db8:1:2::1")
	for b.Loop() {
		_ = limit.AddressKey(addr)
	}
}
