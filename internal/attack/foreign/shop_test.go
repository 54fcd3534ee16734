package foreign_test

import (
	"context"
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/attack/vulnerable"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/finding"
)

const everything = attack.Writes | attack.Destroys | attack.Smuggles | attack.Floods | attack.Delays

// clock goes on where somebody waits.
type clock struct {
	mu   sync.Mutex
	now  time.Time
	then func(d time.Duration) // after somebody has waited; nil: nothing
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Wait(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
	if c.then != nil {
		c.then(d)
	}
	return ctx.Err()
}

// shop is the vulnerable API, listening.
type shop struct {
	*httptest.Server

	api    *vulnerable.API
	clock  *clock
	tokens map[string]string
	noData atomic.Bool // tokens that hold an address which holds a key itself are refused
}

func newShop(t *testing.T, faults ...string) *shop {
	t.Helper()
	s := &shop{clock: newClock(), tokens: map[string]string{}}
	var err error
	if s.api, err = vulnerable.New(s.clock.Now, faults...); err != nil {
		t.Fatal(err)
	}
	s.api.Wait = s.clock.Wait
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.noData.Load() && holdsData(r) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.api.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	for _, name := range []string{"alice", "bob", "root"} {
		if s.tokens[name], err = s.api.Token(name); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// holdsData reports whether a token's head holds an address that holds a page itself.
func holdsData(r *http.Request) bool {
	head, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	return err == nil && strings.Contains(string(text), `"data:`)
}

func bearer(name, token string) *attack.User {
	return &attack.User{Name: name, Sign: func(r *http.Request) error { r.Header.Set("Authorization", "Bearer "+token); return nil }}
}

func (s *shop) target() foreign.Target {
	return foreign.Target{
		Document: vulnerable.Document(), Name: "openapi.yaml", Base: true, Allowed: everything,
		Users: []*attack.User{bearer("alice", s.tokens["alice"]), bearer("bob", s.tokens["bob"])}, Admin: bearer("root", s.tokens["root"]),
	}
}

// attackIt runs the plan for a target.
func attackIt(t *testing.T, address string, c *clock, target foreign.Target) *finding.Report {
	t.Helper()
	return attackSome(t, address, c, target, func(int, *attack.Case) bool { return true })
}

// attackSome runs the cases of a plan that are wanted.
func attackSome(t *testing.T, address string, c *clock, target foreign.Target, wanted func(n int, c *attack.Case) bool) *finding.Report {
	t.Helper()
	s := attack.Settings{Target: address}
	if c != nil {
		s.Now, s.Wait = c.Now, c.Wait
	} else {
		s.PerSecond = 100_000
	}
	p, err := attack.NewProber(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	plan, err := foreign.Plan(target)
	if err != nil {
		t.Fatal(err)
	}
	n := -1
	plan.Cases = slices.DeleteFunc(plan.Cases, func(c attack.Case) bool { n++; return !wanted(n, &c) })
	report, err := attack.Run(t.Context(), p, plan, attack.Options{Allowed: target.Allowed})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func rulesOf(r *finding.Report) (rules []string) {
	for _, f := range r.Findings {
		if !slices.Contains(rules, f.Rule) {
			rules = append(rules, f.Rule)
		}
	}
	slices.Sort(rules)
	return rules
}

// share is how many faults share a run of the cases that are about none of them.
const share = 16

var namedPath = regexp.MustCompile(`/v1/[a-z]+(/\{id\})?`)

// TestEachFaultIsFoundAndNothingElse: row 151. With each fault the cases of its rule are run, those of the operation that
// has it, and one of sixteen of the others, which differ from fault to fault: FAULTS=all runs them all. Without a
// fault, and with all of them, all cases are run below.
func TestEachFaultIsFoundAndNothingElse(t *testing.T) {
	attacktest.Rows(t, 151)
	if testing.Short() {
		t.Skip("attacks the shop once for each of its faults")
	}
	seenWith := map[string]string{"server-error": "stack-trace", "database-error": "stack-trace", "jwt-long-lived": "jwt-expired"} // rules that have no cases of their own
	for i, f := range vulnerable.Faults() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			s, operation := newShop(t, f.Name), namedPath.FindString(f.What)
			report := attackSome(t, s.URL, s.clock, s.target(), func(n int, c *attack.Case) bool {
				return c.Rule.ID == f.Rule || c.Rule.ID == seenWith[f.Rule] || operation != "" && strings.HasSuffix(c.ID, " "+operation) || n%share == i%share || os.Getenv("FAULTS") == "all"
			})
			if got := rulesOf(report); len(got) != 1 || got[0] != f.Rule {
				t.Errorf("%s: found %v, want %s", f.What, got, f.Rule)
				t.Log(report.About, strings.Join(report.Notes, "; "))
				for _, f := range report.Findings {
					t.Logf("%s at %s: %s", f.Rule, f.Where, f.What)
				}
			}
		})
	}
}

// TestTheMendedShopIsClean: the other half of row 151.
func TestTheMendedShopIsClean(t *testing.T) {
	attacktest.Rows(t, 151)
	s := newShop(t)
	report := attackIt(t, s.URL, s.clock, s.target())
	for _, f := range report.Findings {
		t.Errorf("%s at %s: %s\n%s", f.Rule, f.Where, f.What, f.Proof)
	}
	t.Log(report.About)
	for _, note := range report.Notes {
		t.Log(note)
	}
}

func TestAllFaultsAreFoundTogether(t *testing.T) {
	attacktest.Rows(t, 151)
	var all []string
	want := map[string]string{}
	for _, f := range vulnerable.Faults() {
		all = append(all, f.Name)
		want[f.Rule] = f.What
	}
	s := newShop(t, all...)
	report := attackIt(t, s.URL, s.clock, s.target())
	got := rulesOf(report)
	for rule, what := range want {
		if rule == "xml-entities" { // who reads files expands entities: that is told of each place once
			continue
		}
		if !slices.Contains(got, rule) {
			t.Errorf("%s is not found: %s", rule, what)
		}
	}
	for _, rule := range got {
		if want[rule] == "" {
			t.Errorf("%s is found, and is not on", rule)
		}
	}
	t.Log(report.About)
}

// TestWhatWasThereIsNotRemoved: even where everything is allowed, only objects are removed that the run made.
func TestWhatWasThereIsNotRemoved(t *testing.T) {
	s := newShop(t, "no-rate-limit", "object-delete")
	list := func() string {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/v1/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.tokens["alice"])
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := orderID.FindAllString(list(), -1)
	attackIt(t, s.URL, s.clock, s.target())
	after := list()
	for _, id := range before {
		if !strings.Contains(after, id) {
			t.Errorf("the order %s is gone", id)
		}
	}
	if len(before) != 2 {
		t.Errorf("alice had %v", before)
	}
}

var orderID = regexp.MustCompile(`[0-9a-f]{8}-77aa-4c0d-9b1e-[0-9a-f]{12}`)
