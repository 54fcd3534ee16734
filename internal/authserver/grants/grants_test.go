package grants_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/authserver/grants"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
)

const planted = "planted-secret-"

type world struct {
	*grants.Store
	registry *client.Registry
	rows     *memory.Store
	now      time.Time

	mu      sync.Mutex
	revoked []string
	fail    error
}

func (w *world) key(kind grants.Kind, secret string, life time.Duration) grants.Key {
	return grants.Key{Kind: kind, Secret: planted + secret, Ends: w.now.Add(life)}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	master, err := seal.NewMaster([]byte(strings.Repeat("m", 32)))
	must(t, err)
	w := &world{rows: memory.New(), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	w.registry, err = client.OpenRegistry(t.Context(), client.Options{Store: w.rows, Master: master, Now: func() time.Time { return w.now }})
	must(t, err)
	w.Store, err = grants.New(grants.Options{
		Records: w.registry.Records(), Now: func() time.Time { return w.now },
		Revoked: func(_ context.Context, g *grants.Grant, reason string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.revoked = append(w.revoked, g.ID+": "+reason)
			return w.fail
		},
	})
	must(t, err)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) open(t *testing.T, id string) grants.Key {
	t.Helper()
	code := w.key(grants.Code, "code of "+id, time.Minute)
	must(t, w.Open(t.Context(), &grants.Grant{ID: id, Client: "shop", Subject: "ann", Created: w.now, Ends: w.now.Add(time.Hour)}, code))
	return code
}

func TestCodeOpensItsGrantOnce(t *testing.T) {
	w := newWorld(t)
	code := w.open(t, "g1")
	found, err := w.Find(t.Context(), code)
	must(t, err)
	if found.Grant.Client != "shop" || found.Grant.Subject != "ann" {
		t.Errorf("%+v", found.Grant)
	}
	next := w.key(grants.Refresh, "first", time.Hour)
	must(t, w.Spend(t.Context(), found, &next))
	if again, err := w.Find(t.Context(), code); !errors.Is(err, grants.ErrSpent) || again.Grant.ID != "g1" {
		t.Errorf("the code again: %v, %v", again, err)
	}
	refreshed, err := w.Find(t.Context(), next)
	if err != nil || refreshed.Grant.ID != "g1" || !refreshed.Grant.Used.Equal(w.now) {
		t.Errorf("%+v, %v", refreshed, err)
	}
}

func TestKeysOfOtherKindsOpenNothing(t *testing.T) {
	w := newWorld(t)
	code := w.open(t, "g1")
	for _, key := range []grants.Key{
		{Kind: grants.Refresh, Secret: code.Secret},
		{Kind: grants.DeviceCode, Secret: code.Secret},
		{Kind: grants.Code, Secret: code.Secret + "x"},
		{Kind: grants.Code, Secret: ""},
	} {
		if _, err := w.Find(t.Context(), key); !errors.Is(err, grants.ErrUnknown) {
			t.Errorf("%s %q: %v", key.Kind, key.Secret, err)
		}
	}
}

func TestNothingOpensAfterItsEnd(t *testing.T) {
	w := newWorld(t)
	code := w.open(t, "g1")
	w.now = w.now.Add(time.Minute - time.Nanosecond)
	found, err := w.Find(t.Context(), code)
	must(t, err)
	w.now = w.now.Add(time.Nanosecond)
	if _, err := w.Find(t.Context(), code); !errors.Is(err, grants.ErrUnknown) {
		t.Errorf("a code after its end: %v", err)
	}
	next := grants.Key{Kind: grants.Refresh, Secret: "r", Ends: w.now.Add(30 * 24 * time.Hour)}
	must(t, w.Spend(t.Context(), found, &next))
	w.now = w.now.Add(time.Hour)
	if _, err := w.Find(t.Context(), next); !errors.Is(err, grants.ErrUnknown) {
		t.Errorf("a refresh token that outlives its grant: %v", err)
	}
}

func TestOneOfFiftyWins(t *testing.T) {
	w := newWorld(t)
	code := w.open(t, "g1")
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			found, err := w.Find(context.Background(), code)
			if err == nil {
				next := w.key(grants.Refresh, strings.Repeat("x", i+1), time.Hour)
				err = w.Spend(context.Background(), found, &next)
			}
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, grants.ErrSpent):
				t.Errorf("redeem: %v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of fifty redemptions of one code won", won.Load())
	}
	open := 0
	for i := range 50 {
		if _, err := w.Find(t.Context(), w.key(grants.Refresh, strings.Repeat("x", i+1), time.Hour)); err == nil {
			open++
		}
	}
	if open != 1 {
		t.Errorf("%d refresh tokens are left", open)
	}
}

func TestRevocationTellsBeforeItIsWritten(t *testing.T) {
	w := newWorld(t)
	code := w.open(t, "g1")
	w.fail = errors.New("away")
	if err := w.Revoke(t.Context(), "g1", "by hand"); err == nil {
		t.Error("a revocation succeeded of which nobody could be told")
	}
	if found, err := w.Find(t.Context(), code); err != nil || !found.Grant.Revoked.IsZero() {
		t.Errorf("after it failed: %v", err)
	}
	w.fail = nil
	must(t, w.Revoke(t.Context(), "g1", "by hand"))
	must(t, w.Revoke(t.Context(), "g1", "again"))
	must(t, w.Revoke(t.Context(), "none", "unknown"))
	if want := []string{"g1: by hand", "g1: by hand"}; !slices.Equal(w.revoked, want) {
		t.Errorf("told: %v", w.revoked)
	}
	found, err := w.Find(t.Context(), code)
	if err != nil || found.Grant.Revoked.IsZero() || found.Grant.Reason != "by hand" {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestRevocationBeatsARedemptionUnderWay(t *testing.T) {
	w := newWorld(t)
	found, err := w.Find(t.Context(), w.open(t, "g1"))
	must(t, err)
	must(t, w.Revoke(t.Context(), "g1", "by hand"))
	next := w.key(grants.Refresh, "r", time.Hour)
	if err := w.Spend(t.Context(), found, &next); !errors.Is(err, grants.ErrSpent) {
		t.Errorf("a redemption over a revocation: %v", err)
	}
}

func TestRotationOfDataKeysIsNoReuse(t *testing.T) {
	w := newWorld(t)
	code := w.open(t, "g1")
	found, err := w.Find(t.Context(), code)
	must(t, err)
	_, err = w.registry.RotateKeys(t.Context())
	must(t, err)
	must(t, w.Spend(t.Context(), found, nil))
	if _, err := w.Find(t.Context(), code); !errors.Is(err, grants.ErrSpent) {
		t.Errorf("the code again, under newer keys: %v", err)
	}
}

func TestRequestsAreFoundByIDAndKeys(t *testing.T) {
	w := newWorld(t)
	pushed := w.key(grants.Pushed, "p", time.Minute)
	user := w.key(grants.UserCode, "BCDF-GHJK", time.Minute)
	r := &grants.Request{ID: planted + "request", Ends: w.now.Add(time.Minute), Data: []byte(`{"step":1}`)}
	must(t, w.Begin(t.Context(), r, pushed, user))
	for name, find := range map[string]func() (*grants.Request, error){
		"by id":   func() (*grants.Request, error) { return w.Request(t.Context(), r.ID) },
		"by code": func() (*grants.Request, error) { return w.FindRequest(t.Context(), user) },
		"by code again": func() (*grants.Request, error) {
			return w.FindRequest(t.Context(), user)
		},
		"by push": func() (*grants.Request, error) { return w.TakeRequest(t.Context(), pushed) },
	} {
		if got, err := find(); err != nil || got.ID != r.ID || string(got.Data) != `{"step":1}` {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := w.TakeRequest(t.Context(), pushed); !errors.Is(err, grants.ErrUnknown) {
		t.Errorf("a pushed request a second time: %v", err)
	}
	if _, err := w.Request(t.Context(), "other"); !errors.Is(err, grants.ErrUnknown) {
		t.Errorf("an unknown id: %v", err)
	}
	r.Data = []byte(`{"step":2}`)
	must(t, w.Save(t.Context(), r))
	stale := &grants.Request{ID: r.ID, Ends: r.Ends, Data: []byte(`{"step":3}`)}
	if err := w.Save(t.Context(), stale); !errors.Is(err, grants.ErrSpent) {
		t.Errorf("a state that was not read: %v", err)
	}
	w.now = w.now.Add(time.Minute)
	if _, err := w.Request(t.Context(), r.ID); !errors.Is(err, grants.ErrUnknown) {
		t.Errorf("after its end: %v", err)
	}
}

func TestPushedRequestIsTakenOnceByFifty(t *testing.T) {
	w := newWorld(t)
	pushed := w.key(grants.Pushed, "p", time.Minute)
	must(t, w.Begin(t.Context(), &grants.Request{ID: "r", Ends: w.now.Add(time.Minute)}, pushed))
	var won atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch _, err := w.TakeRequest(context.Background(), pushed); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, grants.ErrUnknown):
				t.Errorf("take: %v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of fifty took one pushed request", won.Load())
	}
}

func TestOpaqueTokensComeAndGo(t *testing.T) {
	w := newWorld(t)
	must(t, w.AddToken(t.Context(), planted+"token", &grants.Token{ID: "t1", Ends: w.now.Add(time.Minute), Data: []byte(`{}`)}))
	if got, err := w.Token(t.Context(), planted+"token"); err != nil || got.ID != "t1" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := w.Token(t.Context(), "t1"); !errors.Is(err, grants.ErrUnknown) {
		t.Errorf("a token by its public name: %v", err)
	}
	must(t, w.RemoveToken(t.Context(), planted+"token"))
	must(t, w.RemoveToken(t.Context(), planted+"token"))
	if _, err := w.Token(t.Context(), planted+"token"); !errors.Is(err, grants.ErrUnknown) {
		t.Errorf("after it was removed: %v", err)
	}
}

func TestWhatHasEndedIsCollectedAndNothingElse(t *testing.T) {
	w := newWorld(t)
	w.open(t, "short")
	spent, err := w.Find(t.Context(), w.open(t, "long"))
	must(t, err)
	spent.Grant.Ends = w.now.Add(10 * time.Hour)
	next := w.key(grants.Refresh, "r", 10*time.Hour)
	must(t, w.Spend(t.Context(), spent, &next))
	must(t, w.Begin(t.Context(), &grants.Request{ID: "r", Ends: w.now.Add(time.Minute)}))
	must(t, w.AddToken(t.Context(), "t", &grants.Token{ID: "t", Ends: w.now.Add(time.Minute)}))
	if n, err := w.Collect(t.Context()); n != 0 || err != nil {
		t.Errorf("collected %d before anything has ended, %v", n, err)
	}
	w.now = w.now.Add(2 * time.Hour)
	if n, err := w.Collect(t.Context()); n != 4 || err != nil { // the short grant, its code, the request, the token
		t.Errorf("collected %d, %v", n, err)
	}
	if _, err := w.Find(t.Context(), w.key(grants.Code, "code of long", 0)); !errors.Is(err, grants.ErrSpent) {
		t.Errorf("a spent code of a grant that lives on was forgotten: %v", err)
	}
	w.now = w.now.Add(10 * time.Hour)
	if n, err := w.Collect(t.Context()); n != 3 || err != nil {
		t.Errorf("collected %d, %v", n, err)
	}
	if rows, err := w.rows.Table(t.Context(), "oauth.grant"); len(rows) != 0 || err != nil {
		t.Errorf("left: %v, %v", rows, err)
	}
}

func TestSelectReturnsWhatIsInForceOldestFirst(t *testing.T) {
	w := newWorld(t)
	w.open(t, "b")
	w.now = w.now.Add(time.Second)
	w.open(t, "a")
	w.open(t, "revoked")
	must(t, w.Revoke(t.Context(), "revoked", ""))
	found, err := w.Select(t.Context(), func(g *grants.Grant) bool { return g.Subject == "ann" })
	if err != nil || len(found) != 2 || found[0].ID != "b" || found[1].ID != "a" {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestStoreShowsNoSecret(t *testing.T) {
	w := newWorld(t)
	w.open(t, "g1")
	must(t, w.Begin(t.Context(), &grants.Request{ID: planted + "request", Ends: w.now.Add(time.Minute), Data: []byte(`"` + planted + `"`)}, w.key(grants.UserCode, "u", time.Minute)))
	must(t, w.AddToken(t.Context(), planted+"token", &grants.Token{ID: "t1", Ends: w.now.Add(time.Minute)}))
	rows, _, err := w.rows.Since(t.Context(), 0)
	must(t, err)
	for _, row := range rows {
		if strings.Contains(row.ID+string(row.Body), planted) {
			t.Errorf("row %s/%s shows a secret", row.Table, row.ID)
		}
	}
}
