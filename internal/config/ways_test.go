package config_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/config"
)

// shown writes ways by the kinds of their proofs: "a+b* c"; the star is an actor's.
func shown(ways []config.Way) string {
	var words []string
	for _, way := range ways {
		var kinds []string
		for _, p := range way {
			kind := p.Kind
			if p.Actor {
				kind += "*"
			}
			kinds = append(kinds, kind)
		}
		words = append(words, strings.Join(kinds, "+"))
	}
	return strings.Join(words, " ")
}

func one(kind string) config.Shield { return config.Shield{Kind: kind} }

func anyOf(parts ...config.Shield) config.Shield { return config.Shield{Any: parts} }

func allOf(parts ...config.Part) config.Shield { return config.Shield{All: parts} }

func part(s config.Shield) config.Part { return config.Part{Shield: s} }

func actor(s config.Shield) config.Part { return config.Part{Shield: s, Actor: true} }

// sixteen is an any of so many kinds, as many as may be combined.
func sixteen(prefix string) config.Shield {
	var parts []config.Shield
	for i := range 16 {
		parts = append(parts, one(fmt.Sprint(prefix, i)))
	}
	return anyOf(parts...)
}

func TestWaysThroughAShield(t *testing.T) {
	for name, c := range map[string]struct {
		shield config.Shield
		most   int
		want   string
		all    bool
	}{
		"one":                          {one("a"), 9, "a", true},
		"any":                          {anyOf(one("a"), one("b")), 9, "a b", true},
		"all":                          {allOf(part(one("a")), part(one("b"))), 9, "a+b", true},
		"an any within an all":         {allOf(part(anyOf(one("a"), one("b"))), part(one("c"))), 9, "a+c b+c", true},
		"an all within an any":         {anyOf(allOf(part(one("a")), part(one("b"))), one("c")), 9, "a+b c", true},
		"two anys within an all":       {allOf(part(anyOf(one("a"), one("b"))), part(anyOf(one("c"), one("d")))), 9, "a+c a+d b+c b+d", true},
		"an actor":                     {allOf(part(one("a")), actor(one("b"))), 9, "a+b*", true},
		"an actor of several":          {allOf(part(one("a")), actor(anyOf(one("b"), allOf(part(one("c")), part(one("d")))))), 9, "a+b* a+c*+d*", true},
		"an actor within one":          {allOf(part(one("a")), part(allOf(part(one("b")), actor(one("c"))))), 9, "a+b+c*", true},
		"as many as may be":            {anyOf(one("a"), one("b")), 2, "a b", true},
		"more than may be of any":      {anyOf(one("a"), one("b"), one("c")), 2, "a b", false},
		"more than may be of all":      {allOf(part(anyOf(one("a"), one("b"))), part(anyOf(one("c"), one("d")))), 3, "a+c a+d b+c", false},
		"the last of any are left out": {anyOf(anyOf(one("a"), one("b")), one("c")), 1, "a", false},
	} {
		t.Run(name, func(t *testing.T) {
			ways, all := c.shield.Ways(c.most)
			if got := shown(ways); got != c.want || all != c.all {
				t.Errorf("%s, all: %t; want %s, %t", got, all, c.want, c.all)
			}
		})
	}
}

// 16 to the power of 16 ways are never made.
func TestWaysAreBounded(t *testing.T) {
	var parts []config.Part
	for i := range 16 {
		parts = append(parts, part(sixteen(fmt.Sprint("of ", i, " "))))
	}
	s := allOf(parts...)
	ways, all := s.Ways(256)
	if len(ways) != 256 || all || slices.ContainsFunc(ways, func(w config.Way) bool { return len(w) != 16 }) {
		t.Errorf("%d ways, all: %t", len(ways), all)
	}
}

// randomShield is a combination nested at most so deep, of few kinds.
func randomShield(r *rand.Rand, deep int) config.Shield {
	n := 2 + r.IntN(2)
	switch kind := r.IntN(3); {
	case deep == 0 || kind == 0:
		return one(string(rune('a' + r.IntN(5))))
	case kind == 1:
		var parts []config.Shield
		for range n {
			parts = append(parts, randomShield(r, deep-1))
		}
		return anyOf(parts...)
	default:
		var parts []config.Part
		for range n {
			parts = append(parts, part(randomShield(r, deep-1)))
		}
		return allOf(parts...)
	}
}

// passes is what a shield means: held are the kinds that a caller can prove.
func passes(s *config.Shield, held string) bool {
	switch {
	case len(s.Any) > 0:
		return slices.ContainsFunc(s.Any, func(p config.Shield) bool { return passes(&p, held) })
	case len(s.All) > 0:
		return !slices.ContainsFunc(s.All, func(p config.Part) bool { return !passes(&p.Shield, held) })
	}
	return strings.Contains(held, s.Kind)
}

// Whoever holds the proofs of one way passes, and nobody else does.
func FuzzWaysAreWhatAShieldMeans(f *testing.F) {
	for seed := range uint64(64) {
		f.Add(seed, uint8(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, seed uint64, mask, deep uint8) {
		s := randomShield(rand.New(rand.NewPCG(seed, 7)), int(deep%4))
		held := ""
		for i, kind := range "abcde" {
			if mask>>i&1 == 1 {
				held += string(kind)
			}
		}
		covers := func(ways []config.Way) bool {
			return slices.ContainsFunc(ways, func(w config.Way) bool {
				return !slices.ContainsFunc(w, func(p config.Proof) bool { return !strings.Contains(held, p.Kind) })
			})
		}
		const most = 3 * 3 * 3 * 3 * 3 * 3 * 3 * 3 * 3 // of what randomShield makes
		ways, all := s.Ways(most)
		if !all {
			t.Skip("more ways than are looked at")
		}
		if covers(ways) != passes(&s, held) {
			t.Errorf("%+v with %q: %s", s, held, shown(ways))
		}
		few, whole := s.Ways(2)
		if len(few) > 2 || whole != (len(ways) <= 2) || covers(few) && !covers(ways) {
			t.Errorf("%+v: %s of %s, all: %t", s, shown(few), shown(ways), whole)
		}
	})
}
