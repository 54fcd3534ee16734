package bearer

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/issuer/issuertest"
	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

const corpURL = "https://login.example.com"

func open(t testing.TB, change func(*shield.Issuer, *Wants, *shield.Env)) *Judge {
	t.Helper()
	w := shieldtest.NewWorld()
	corp := &shield.Issuer{Name: "corp", URL: corpURL, Audience: []string{"orders"}, MayGrant: shield.Scopes{"orders:*"}, Leeway: 30 * time.Second}
	wants, env := Wants{Issuers: []string{"corp"}}, w.Env()
	if change != nil {
		change(corp, &wants, &env)
	}
	w.AddIssuer(corp)
	j, err := Open("jwt", wants, env)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestTheAPIsNamesAreTheLastResort(t *testing.T) {
	for _, tc := range []struct {
		want   string
		change func(*shield.Issuer, *Wants, *shield.Env)
	}{
		{"[orders]", nil},
		{"[mine]", func(_ *shield.Issuer, w *Wants, e *shield.Env) { w.Audience, e.API.Name = []string{"mine"}, "api" }},
		{"[api]", func(i *shield.Issuer, _ *Wants, e *shield.Env) { i.Audience, e.API.Name = nil, "api" }},
		{"[api https://api.example.com/a]", func(i *shield.Issuer, _ *Wants, e *shield.Env) {
			i.Audience, e.API = nil, shield.API{Name: "api", Resource: "https://api.example.com/a"}
		}},
	} {
		if got := fmt.Sprint(open(t, tc.change).Issuers()[0].audience); got != tc.want {
			t.Errorf("audience %s, want %s", got, tc.want)
		}
	}
}

func TestCacheIsBoundedAndForgets(t *testing.T) {
	c := NewCache[int](64)
	now := time.Now()
	var last [32]byte
	for n := range 10_000 {
		last = sha256.Sum256([]byte(fmt.Sprint(n)))
		c.Put(&last, n, now.Add(time.Hour), now)
		if got, ok := c.Find(&last); !ok || got != n {
			t.Fatal("the newest is not there")
		}
	}
	if c.Len() != 64 {
		t.Errorf("%d entries", c.Len())
	}
	c.Drop(&last)
	if _, ok := c.Find(&last); ok {
		t.Error("dropped, and still there")
	}
	off := NewCache[int](0)
	off.Put(&last, 1, now, now)
	off.Drop(&last)
	if _, ok := off.Find(&last); ok {
		t.Error("a cache of no size found something")
	}
}

func TestCacheReplacesWhatEnded(t *testing.T) {
	c := NewCache[int](8)
	now := time.Now()
	digest := func(n int) *[32]byte {
		sum := sha256.Sum256([]byte(fmt.Sprint(n)))
		return &sum
	}
	for n := range 8 {
		c.Put(digest(n), n, now.Add(time.Duration(n+1)*time.Hour), now)
	}
	c.Put(digest(9), 9, now.Add(9*time.Hour), now.Add(90*time.Minute)) // only the first has ended
	if _, ok := c.Find(digest(0)); ok {
		t.Error("what ended kept its place")
	}
	for n := 1; n < 8; n++ {
		if _, ok := c.Find(digest(n)); !ok {
			t.Errorf("entry %d lost its place to another", n)
		}
	}
}

func TestAnswersWithoutAnEndAreGoodUntilAskedAgain(t *testing.T) {
	corp := open(t, nil).Issuers()[0]
	until := time.Unix(2_000_000_000, 0)
	all := map[string]any{"active": true, "sub": "ann", "aud": "orders"}
	if c, err := ReadAnswer(all, until, corp); err != nil || !c.Ends.Equal(until) {
		t.Errorf("without exp: %v, %v", c, err)
	}
	if _, err := Read(all, "at+jwt", corp); err == nil {
		t.Error("a JWT without exp was read")
	}
	all["exp"] = strictjson.Number("1900000000")
	if c, err := ReadAnswer(all, until, corp); err != nil || !c.Ends.Equal(time.Unix(1900000030, 0)) {
		t.Errorf("with exp: %v, %v", c, err)
	}
	all["exp"] = "1900000000"
	if _, err := ReadAnswer(all, until, corp); err == nil {
		t.Error("exp as text was read")
	}
}

// FuzzClaims reads any claims without a panic, and none that lack an end.
func FuzzClaims(f *testing.F) {
	first, err := json.Marshal(issuertest.New(f, corpURL).Claims(nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(first)
	f.Add([]byte(`{"sub":"a","aud":["x",1],"exp":1e30,"cnf":{"jkt":1},"scope":["a"]}`))
	corp := open(f, nil).Issuers()[0]
	f.Fuzz(func(t *testing.T, payload []byte) {
		all, err := strictjson.Object(payload)
		if err != nil {
			return
		}
		c, err := Read(all, "", corp)
		if err != nil {
			return
		}
		if c.subject == "" || c.expires.IsZero() || len(c.audience) == 0 {
			t.Fatalf("read %+v", c)
		}
		for _, scope := range c.scopes {
			if !strings.HasPrefix(scope, "orders:") {
				t.Fatalf("scope %q is beyond the ceiling", scope)
			}
		}
	})
}
