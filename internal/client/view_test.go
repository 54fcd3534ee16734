package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

// counting is a store that can be away, and counts commits.
type counting struct {
	client.Store
	away    atomic.Bool
	commits atomic.Int64
	refuse  atomic.Bool // commits
}

var errAway = errors.New("the store is away")

func (c *counting) Revision(ctx context.Context) (int64, error) {
	if c.away.Load() {
		return 0, errAway
	}
	return c.Store.Revision(ctx)
}

func (c *counting) Commit(ctx context.Context, rows ...client.Row) (int64, error) {
	if c.refuse.Load() {
		return 0, errAway
	}
	c.commits.Add(1)
	return c.Store.Commit(ctx, rows...)
}

// live is a view that keeps itself current, in a bubble of synctest.
func live(t *testing.T, s client.Store, warn func(error)) (*client.Registry, *client.View) {
	t.Helper()
	r, err := client.OpenRegistry(t.Context(), client.Options{Store: s, Master: master(t, 7)})
	must(t, err)
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepHash)
	v, err := r.View(t.Context(), client.ViewOptions{Warn: warn})
	must(t, err)
	return r, v
}

func TestAnotherNodeSeesARevocationWithinASecond(t *testing.T) {
	attacktest.Rows(t, 9)
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		_, v := live(t, s, nil)
		defer func() { _ = v.Close() }()
		other, err := client.OpenRegistry(t.Context(), client.Options{Store: s, Master: master(t, 7)})
		must(t, err)
		record, err := v.Credential("api_key", "k1")
		must(t, err)
		stream := record.Identity(time.Now())
		must(t, second(other.Revoke(t.Context(), "k1", "stolen")))
		time.Sleep(250 * time.Millisecond) // of the bubble's time
		synctest.Wait()
		if record, err := v.Credential("api_key", "k1"); err != nil || record.Revoked.IsZero() {
			t.Errorf("after 250 ms: %v, %v", record, err)
		}
		if !stream.Revocation() {
			t.Error("a stream that began before does not learn of it")
		}
	})
}

func TestStoreThatIsAwayIsToldAndEndsInRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counting{Store: memory.New()}
		var warnings []time.Duration
		start := time.Now()
		_, v := live(t, s, func(err error) {
			if !errors.Is(err, errAway) {
				t.Errorf("warning %v", err)
			}
			warnings = append(warnings, time.Since(start))
		})
		defer func() { _ = v.Close() }()
		record, err := v.Credential("api_key", "k1")
		must(t, err)
		stream := record.Identity(start)
		s.away.Store(true)
		time.Sleep(59 * time.Second)
		if _, err := v.Credential("api_key", "k1"); err != nil || stream.Revocation() {
			t.Errorf("within the bound: %v", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := v.Credential("api_key", "k1"); !errors.Is(err, shield.ErrStale) || !stream.Revocation() {
			t.Errorf("after it: %v", err)
		}
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		if len(warnings) != 5 || warnings[0] != 5*time.Second {
			t.Errorf("warned after %v; want after five seconds and then once a minute", warnings)
		}
		s.away.Store(false)
		time.Sleep(time.Second)
		if _, err := v.Credential("api_key", "k1"); err != nil || stream.Revocation() {
			t.Errorf("after it came back: %v", err)
		}
	})
}

func TestSnapshotEndsWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine stays
		_, v := live(t, memory.New(), func(err error) { t.Errorf("warning %v", err) })
		time.Sleep(10 * time.Second)
		must(t, v.Close())
		must(t, v.Close())
	})
}

func TestLastUsesAreKeptOnceAMinuteInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counting{Store: memory.New()}
		var warnings int
		r, v := live(t, s, func(error) { warnings++ })
		const many = 600
		for i := range many {
			addKey(t, r, fmt.Sprint("m", i), shield.KeepNothing)
		}
		refresh(t, v)
		generation, commits := v.Generation(), s.commits.Load()
		for range 100 {
			for i := range many {
				v.Used("api_key", fmt.Sprint("m", i), time.Now())
			}
		}
		s.refuse.Store(true)
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if list, err := r.Credentials(t.Context(), "", ""); err != nil || !list[5].LastUsed.IsZero() || warnings != 1 {
			t.Errorf("last used %v, %v, %d warnings while the store takes nothing", list[5].LastUsed, err, warnings)
		}
		s.refuse.Store(false)
		time.Sleep(60 * time.Second)
		synctest.Wait()
		list, err := r.Credentials(t.Context(), "", "")
		must(t, err)
		used := 0
		for _, c := range list {
			if !c.LastUsed.IsZero() {
				used++
			}
		}
		if used != many {
			t.Errorf("%d of %d moments are kept", used, many)
		}
		if n := s.commits.Load() - commits; n > 3 {
			t.Errorf("%d commits for %d moments", n, many)
		}
		if v.Generation() != generation {
			t.Error("moments of last use make every cached verdict be judged again")
		}
		must(t, v.Close())
	})
}

func TestRevocationsOfTokensAreForgottenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := live(t, memory.New(), func(err error) { t.Errorf("warning %v", err) })
		defer func() { _ = v.Close() }()
		soon := time.Now().Add(30 * time.Minute)
		must(t, second(r.RevokeTokens(t.Context(), client.Revocation{Issuer: "i", TokenID: "short", Until: soon})))
		must(t, second(r.RevokeTokens(t.Context(), client.Revocation{Issuer: "i", TokenID: "long"})))
		must(t, second(r.RevokeTokens(t.Context(), client.Revocation{Issuer: "i", TokenID: "both", Until: soon.Add(24 * time.Hour)})))
		must(t, second(r.RevokeTokens(t.Context(), client.Revocation{Issuer: "i", TokenID: "both", Until: soon})))
		known := func() (names []string) {
			for _, id := range []string{"short", "long", "both"} {
				if gone, err := v.Token("i", "s", id, time.Now()); err != nil {
					t.Error(err)
				} else if gone {
					names = append(names, id)
				}
			}
			return names
		}
		time.Sleep(59 * time.Minute)
		if got := known(); len(got) != 3 {
			t.Errorf("after an hour: %v", got)
		}
		time.Sleep(2 * time.Minute)
		if got := strings.Join(known(), " "); got != "long both" {
			t.Errorf("collected down to %q", got)
		}
		if kept, err := r.Revocations(t.Context()); err != nil || len(kept) != 2 {
			t.Errorf("the store keeps %d, %v", len(kept), err)
		}
		time.Sleep(25 * time.Hour)
		if got := strings.Join(known(), " "); got != "long" {
			t.Errorf("collected down to %q", got)
		}
		must(t, second(r.RevokeTokens(t.Context(), client.Revocation{Issuer: "i", TokenID: "short", Until: time.Now().Add(time.Minute)})))
		refresh(t, v)
		if got := known(); len(got) != 2 {
			t.Errorf("what was forgotten cannot be revoked again: %v", got)
		}
	})
}

func TestOldCredentialIsMarkedAndThenRefused(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	addShop(t, r)
	_, _, err := r.AddCredential(t.Context(), client.Credential{Kind: "api_key", Client: "shop", WarnAfter: 24 * time.Hour, MaxAge: 48 * time.Hour, Environment: "live"},
		shield.Issued{ID: "k1", Material: []byte("x"), Keep: shield.KeepHash})
	must(t, err)
	v := view(t, r)
	record, err := v.Credential("api_key", "k1")
	must(t, err)
	if record.Settings["environment"] != "live" {
		t.Errorf("settings %v", record.Settings)
	}
	for _, step := range []struct {
		after   time.Duration
		warned  bool
		refused bool
	}{{0, false, false}, {25 * time.Hour, true, false}, {23*time.Hour - time.Second, true, false}, {time.Second, true, true}} {
		c.add(step.after)
		now := c.Now()
		if warned := len(record.Identity(now).Warnings) > 0; warned != step.warned {
			t.Errorf("at %s: warned %t", now, warned)
		}
		refresh(t, v)
		if refused := record.Usable(now, nil) != nil; refused != step.refused || record.Identity(now).Revocation() != refused {
			t.Errorf("at %s: refused %t", now, refused)
		}
	}
}

// Names that run together in a text do not run together in the store.
func TestRevokedTokensAreToldApart(t *testing.T) {
	r := registry(t, memory.New(), newClock(), "")
	v := view(t, r)
	revoke := func(v client.Revocation) { t.Helper(); must(t, second(r.RevokeTokens(t.Context(), v))) }
	revoke(client.Revocation{Issuer: "a#jti#b", TokenID: "c"})
	revoke(client.Revocation{Issuer: "a", Subject: "s"})
	refresh(t, v)
	for _, other := range [][3]string{{"a", "x", "b#jti#c"}, {"a#jti#", "x", "bc"}, {"a", "x", "s"}, {"a#jti#b", "c", ""}} {
		if gone, err := v.Token(other[0], other[1], other[2], time.Time{}); gone || err != nil {
			t.Errorf("%q counts as revoked: %v", other, err)
		}
	}
	for _, bad := range []client.Revocation{{}, {Issuer: "i"}, {TokenID: "t"}, {Issuer: "i", TokenID: "t", Subject: "s"}, {Issuer: strings.Repeat("i", 3000), TokenID: "t"}} {
		if _, err := r.RevokeTokens(t.Context(), bad); err == nil {
			t.Errorf("%.60v was taken", bad)
		}
	}
}

func TestManyReadWhileOneChanges(t *testing.T) {
	r := registry(t, memory.New(), newClock(), "")
	addShop(t, r)
	addKey(t, r, "k0", shield.KeepHash)
	v := view(t, r)
	var all sync.WaitGroup
	var done atomic.Bool
	for range 4 {
		all.Go(func() {
			for !done.Load() {
				record, err := v.Credential("api_key", "k0")
				if err != nil || !record.Match([]byte("secret-of-k0")) {
					t.Errorf("while it changed: %v", err)
					return
				}
				v.Used("api_key", "k0", time.Unix(1, 0))
				_, _ = v.Token("i", "s", "j", time.Time{})
				_ = record.Identity(time.Time{}).Revocation()
			}
		})
	}
	for i := range 100 {
		addKey(t, r, fmt.Sprint("n", i), shield.KeepHash)
		must(t, second(r.RevokeTokens(t.Context(), client.Revocation{Issuer: "i", TokenID: fmt.Sprint(i)})))
		must(t, second(r.UpdateClient(t.Context(), "shop", "update", func(c *client.Client) error { c.Contact = fmt.Sprint(i); return nil })))
		refresh(t, v)
	}
	done.Store(true)
	all.Wait()
}
