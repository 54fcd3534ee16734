package client_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

// shifted is the clock of a bubble, which may be ahead.
type shifted struct{ by atomic.Int64 }

func (s *shifted) now() time.Time { return time.Now().Round(0).Add(time.Duration(s.by.Load())) }

// turning is a registry with a view, whose clock the test shifts.
func turning(t *testing.T) (*client.Registry, *client.View, *shifted) {
	t.Helper()
	c := &shifted{}
	r, err := client.OpenRegistry(t.Context(), client.Options{Store: memory.New(), Master: master(t, 7), Now: c.now})
	must(t, err)
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepHash)
	v, err := r.View(t.Context(), client.ViewOptions{})
	must(t, err)
	return r, v, c
}

func TestWhatWasBlockedWhileTheClockWasAheadIsNotUntilThatTimeComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v, c := turning(t)
		defer func() { _ = v.Close() }()
		const years = 16 * 365 * 24 * time.Hour
		network, addr := netip.MustParsePrefix("203.0.113.0/24"), netip.MustParseAddr("203.0.113.7")
		key := &shield.Identity{Shield: "api_key", CredentialID: "k1", Client: "shop"}
		ann := &shield.Identity{Shield: "jwt", Issuer: "corp", Subject: "ann", User: "ann", Scheme: "Bearer"}
		c.by.Store(int64(years))
		must(t, second(r.Block(t.Context(), network, time.Hour, "")))
		must(t, second(r.Hold(t.Context(), client.Hold{Kind: "api_key", Credential: "k1", Until: c.now().Add(time.Hour)})))
		must(t, second(r.Hold(t.Context(), client.Hold{Issuer: "corp", Subject: "ann", SignIn: true, Until: c.now().Add(time.Hour)})))
		time.Sleep(time.Minute)
		held := func(when string, want bool) {
			t.Helper()
			if _, blocked := v.Blocked(addr); blocked != want {
				t.Errorf("%s: the network is blocked: %v", when, blocked)
			}
			if got := v.Held(key) != nil; got != want {
				t.Errorf("%s: the credential is held: %v", when, got)
			}
			if got := v.Held(ann) != nil; got != want {
				t.Errorf("%s: the person is asked to sign in: %v", when, got)
			}
		}
		held("while the clock is ahead", true)
		c.by.Store(0)
		time.Sleep(30 * time.Minute)
		held("half an hour after it was put back", true)
		ann.SignedIn = c.now()
		if v.Held(ann) != nil {
			t.Error("who has signed in since is asked again")
		}
		ann.SignedIn = time.Time{}
		time.Sleep(31 * time.Minute)
		held("an hour after it was put back", false)
	})
}

// TestAClockOf1970LetsNobodyIn: it is the present clock that is wrong.
func TestAClockOf1970LetsNobodyIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v, c := turning(t)
		defer func() { _ = v.Close() }()
		network, addr := netip.MustParsePrefix("203.0.113.0/24"), netip.MustParseAddr("203.0.113.7")
		must(t, second(r.Block(t.Context(), network, 10*time.Hour, "")))
		time.Sleep(time.Second)
		for _, by := range []time.Duration{-20 * 365 * 24 * time.Hour, 0} {
			c.by.Store(int64(by))
			time.Sleep(time.Minute)
			if _, blocked := v.Blocked(addr); !blocked {
				t.Errorf("with a clock that is put by %s it is let in", by)
			}
		}
	})
}

func TestNothingIsForgottenBecauseOfAClockThatJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v, c := turning(t)
		defer func() { _ = v.Close() }()
		must(t, second(r.RevokeTokens(t.Context(), client.Revocation{Issuer: "corp", TokenID: "t1", Until: c.now().Add(100 * time.Hour)})))
		time.Sleep(30 * time.Minute)
		c.by.Store(int64(1000 * time.Hour)) // over the next collection
		time.Sleep(2 * time.Hour)
		c.by.Store(0)
		time.Sleep(time.Minute)
		found, err := r.Revocations(t.Context())
		must(t, err)
		if len(found) != 1 {
			t.Fatal("a revocation was forgotten while the clock was ahead")
		}
		time.Sleep(130 * time.Hour)
		if found, err = r.Revocations(t.Context()); err != nil || len(found) != 0 {
			t.Errorf("when it is over it is still kept: %+v, %v", found, err)
		}
	})
}
