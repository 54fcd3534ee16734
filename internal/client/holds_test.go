package client_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

// codeOf is the code of a refusal; "" for none.
func codeOf(err error) shield.Code {
	if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
		return refusal.Code
	}
	return ""
}

func TestACredentialIsSuspendedForATime(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	v := view(t, r)
	id := func(kind, name string) *shield.Identity {
		return &shield.Identity{Shield: kind, CredentialID: name, Client: "shop"}
	}
	is := func(id *shield.Identity, want shield.Code) {
		t.Helper()
		if got := codeOf(v.Held(id)); got != want {
			t.Errorf("%s %s: %q, want %q", id.Shield, id.CredentialID, got, want)
		}
	}
	is(id("api_key", "k1"), "")
	must(t, second(r.Hold(t.Context(), client.Hold{Kind: "api_key", Credential: "k1", Until: c.Now().Add(time.Hour), Reason: "stolen?"})))
	refresh(t, v)
	is(id("api_key", "k1"), shield.SuspendedCredential)
	is(id("hmac", "k1"), "") // of another kind
	is(id("api_key", "k2"), "")
	is(&shield.Identity{Shield: "mtls", CredentialID: "c1", With: []*shield.Identity{id("api_key", "k1")}}, shield.SuspendedCredential)
	if refusal, _ := errors.AsType[*shield.Refusal](v.Held(id("api_key", "k1"))); refusal == nil || !refusal.Proved || refusal.Client != "shop" || !strings.Contains(refusal.Detail, "stolen?") {
		t.Errorf("%+v", refusal)
	}
	must(t, second(r.Hold(t.Context(), client.Hold{Kind: "api_key", Credential: "k1", Until: c.Now().Add(time.Minute)})))
	refresh(t, v)
	c.add(59 * time.Minute)
	is(id("api_key", "k1"), shield.SuspendedCredential) // a shorter one ends nothing
	c.add(2 * time.Minute)
	is(id("api_key", "k1"), "") // by itself
	if all, err := r.Holds(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestTokensAreSuspendedByWhoseTheyAre(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	v := view(t, r)
	must(t, second(r.Hold(t.Context(), client.Hold{Issuer: "https://login.example.com", Subject: "s1", Name: "ann", Until: c.Now().Add(time.Hour)})))
	refresh(t, v)
	for _, each := range []struct {
		issuer, subject string
		want            shield.Code
	}{
		{"https://login.example.com", "s1", shield.SuspendedCredential},
		{"https://login.example.com", "s2", ""},
		{"https://other.example.com", "s1", ""}, // alone neither is a global name
	} {
		// The names of credentials are equal: a token without an id has that of all.
		if got := codeOf(v.Held(&shield.Identity{Shield: "jwt", CredentialID: "corp#app", Issuer: each.issuer, Subject: each.subject})); got != each.want {
			t.Errorf("%+v: %q", each, got)
		}
	}
	must(t, second(r.Release(t.Context(), "ann")))
	refresh(t, v)
	if err := v.Held(&shield.Identity{Shield: "jwt", Issuer: "https://login.example.com", Subject: "s1"}); err != nil {
		t.Error(err)
	}
	if _, err := r.Release(t.Context(), "ann"); !errors.Is(err, client.ErrNotHeld) {
		t.Error(err)
	}
}

func TestAPersonHasToSignInAgain(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	v := view(t, r)
	alert := c.Now()
	must(t, second(r.Hold(t.Context(), client.Hold{Issuer: "https://login.example.com", Subject: "s1", Name: "ann", SignIn: true, Since: alert, Until: alert.Add(time.Hour)})))
	refresh(t, v)
	c.add(5 * time.Minute)
	with := func(signedIn time.Time, user string) error {
		return v.Held(&shield.Identity{Shield: "jwt", Scheme: "Bearer", Issuer: "https://login.example.com", Subject: "s1", User: user, SignedIn: signedIn})
	}
	for name, err := range map[string]error{"before": with(alert.Add(-time.Minute), "ann"), "never said": with(time.Time{}, "ann")} {
		refusal, _ := errors.AsType[*shield.Refusal](err)
		if refusal == nil || refusal.Code != shield.StepUp || len(refusal.Challenge) != 1 ||
			!strings.Contains(refusal.Challenge[0], `error="insufficient_user_authentication"`) || !strings.Contains(refusal.Challenge[0], `max_age="300"`) {
			t.Errorf("%s: %v %+v", name, err, refusal)
		}
	}
	if err := with(alert.Add(time.Minute), "ann"); err != nil {
		t.Errorf("signed in again: %v", err)
	}
	if err := with(time.Time{}, ""); err != nil {
		t.Errorf("a service, which signs in nowhere: %v", err)
	}
	c.add(time.Hour)
	if err := with(time.Time{}, "ann"); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

func TestWhatCannotBeHeldIsRefused(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	hour := c.Now().Add(time.Hour)
	for name, h := range map[string]client.Hold{
		"nothing":              {Until: hour},
		"both":                 {Kind: "api_key", Credential: "k1", Issuer: "i", Subject: "s1", Until: hour},
		"no kind":              {Credential: "k1", Until: hour},
		"no issuer":            {Subject: "s1", Until: hour},
		"a sign-in of a key":   {Kind: "api_key", Credential: "k1", SignIn: true, Until: hour},
		"no end":               {Kind: "api_key", Credential: "k1"},
		"too long":             {Kind: "api_key", Credential: "k1", Until: c.Now().Add(91 * 24 * time.Hour)},
		"a reason of controls": {Kind: "api_key", Credential: "k1", Until: hour, Reason: "\x1b[2J"},
	} {
		if _, err := r.Hold(t.Context(), h); err == nil {
			t.Errorf("%s: held", name)
		}
	}
}

func TestHoldsThatHaveEndedAreForgottenAndOthersSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		r, v := live(t, s, func(err error) { t.Error(err) })
		defer func() { _ = v.Close() }()
		for name, life := range map[string]time.Duration{"k1": time.Minute, "k2": 48 * time.Hour} {
			must(t, second(r.Hold(t.Context(), client.Hold{Kind: "api_key", Credential: name, Until: time.Now().Add(life)})))
		}
		time.Sleep(25 * time.Hour) // of the bubble's time
		synctest.Wait()
		rows, err := s.Table(t.Context(), "hold")
		must(t, err)
		changed := 0
		for _, row := range rows {
			if row.Version > 1 {
				changed++
			}
		}
		again, err := client.OpenRegistry(t.Context(), client.Options{Store: s, Master: master(t, 7)})
		must(t, err)
		after, err := again.View(t.Context(), client.ViewOptions{})
		must(t, err)
		defer func() { _ = after.Close() }()
		if err := after.Held(&shield.Identity{Shield: "api_key", CredentialID: "k2"}); codeOf(err) != shield.SuspendedCredential {
			t.Errorf("after a restart: %v", err)
		}
		if len(rows) != 2 || changed != 1 {
			t.Errorf("%d of %d rows were forgotten", changed, len(rows))
		}
	})
}

func BenchmarkHeld(b *testing.B) {
	r, err := client.OpenRegistry(b.Context(), client.Options{Store: memory.New(), Master: master(new(testing.T), 7)})
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"k1", "k2", "k3"} {
		if _, err := r.Hold(b.Context(), client.Hold{Kind: "api_key", Credential: name, Until: time.Now().Add(time.Hour)}); err != nil {
			b.Fatal(err)
		}
	}
	v, err := r.View(b.Context(), client.ViewOptions{Poll: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	id := &shield.Identity{Shield: "jwt", CredentialID: "corp:1", Issuer: "https://login.example.com", Subject: "s1", User: "ann"}
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Held(id); err != nil {
			b.Fatal(err)
		}
	}
}
