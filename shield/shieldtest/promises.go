package shieldtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
)

func describesItself(c *testCase) {
	k := c.kind
	if k.Name == "" || strings.ToLower(k.Name) != k.Name || strings.ContainsAny(k.Name, " -") {
		c.Errorf("the kind's name is %q: want lower-case letters and _", k.Name)
	}
	if k.Summary == "" || strings.HasSuffix(k.Summary, ".") || strings.Contains(k.Summary, "\n") {
		c.Errorf("the summary %q is not one line without a full stop", k.Summary)
	}
	for _, section := range []string{"What it protects", "Settings", "Example", "Attacks", "Limits"} {
		if !strings.Contains(k.README, "\n## "+section+"\n") {
			c.Errorf("the README has no section %q", section)
		}
	}
	if !strings.HasPrefix(k.README, "# ") {
		c.Errorf("the README does not begin with the kind's name as its title")
	}
	if a, b := k.Config(), k.Config(); a == b {
		c.Errorf("Config returns the same struct twice: two endpoints would share their settings")
	}
	c.describesSettings(reflect.TypeOf(k.Config()), k.Name)
}

// describesSettings checks the tags from which decoder, schema and docs derive.
func (c *testCase) describesSettings(t reflect.Type, path string) {
	c.Helper()
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() == "time" {
		return
	}
	for i := range t.NumField() {
		field := t.Field(i)
		if !field.IsExported() || field.Anonymous {
			continue
		}
		yaml, doc := field.Tag.Get("yaml"), field.Tag.Get("doc")
		if yaml == "" || doc == "" {
			c.Errorf("setting %s.%s lacks a yaml or a doc tag", path, field.Name)
		}
		if field.Type != t {
			c.describesSettings(field.Type, path+"."+field.Name)
		}
	}
}

func opensOrSaysWhyNot(c *testCase) {
	defer func() {
		if r := recover(); r != nil {
			c.Errorf("a shield without a world panics: %v", r)
		}
	}()
	opened, err := c.config.Open(shield.Env{})
	if err == nil && opened == nil {
		c.Fatalf("Open returned neither a shield nor an error")
	}
	if err == nil {
		_, _ = opened.Verify(arrive(c.signed(), shield.NeedsOf(opened))) // may not know, but must not panic
	}
}

func acceptsGood(c *testCase) {
	for range 3 {
		id, err := c.verify(c.signed())
		if err != nil {
			c.Fatalf("a good credential is refused: %v", err)
		}
		c.checkIdentity(id)
		if err := c.world.Consume(id); err != nil {
			c.Errorf("the once-claims of a fresh request were used before: %v", err)
		}
	}
	c.world.Advance(time.Second)
	if _, err := c.verify(c.signed()); err != nil {
		c.Errorf("a good credential is refused a second later: %v", err)
	}
}

func (c *testCase) checkIdentity(id *shield.Identity) {
	c.Helper()
	if id.Shield != c.kind.Name {
		c.Errorf("identity of shield %q, want %q", id.Shield, c.kind.Name)
	}
	if (id.Issuer == "") != (id.Subject == "") {
		c.Errorf("issuer %q and subject %q: they stand together or not at all", id.Issuer, id.Subject)
	}
	if c.kind.Client != nil && id.Subject == "" {
		c.Errorf("the identity names nobody")
	}
	if !id.Expires.IsZero() && !id.Expires.After(c.world.Now()) {
		c.Errorf("the identity expired at %s", id.Expires)
	}
	for _, once := range id.Once {
		switch {
		case once.Space == "" || once.Digest == [32]byte{}:
			c.Errorf("a once-claim without space or digest: %+v", once)
		case once.Made.IsZero():
			c.Errorf("a once-claim does not say when it was made, so that a cold start cannot refuse it")
		case !once.Until.After(c.world.Now()) || once.Until.Sub(once.Made) > 24*time.Hour:
			c.Errorf("a once-claim is kept until %s, now it is %s", once.Until, c.world.Now())
		}
	}
}

func missingIsAbsent(c *testCase) {
	if c.kind.Client == nil {
		c.Skip("the kind has no credential that could be missing")
	}
	_, err := c.verify(c.request())
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !ok || refusal.Code != shield.Absent {
		c.Fatalf("a request without a credential got %v, want absent", err)
	}
	if len(c.needs.Carries) > 0 && len(refusal.Challenge) == 0 {
		c.Errorf("absent without a challenge: a 401 names the scheme that is wanted (RFC 9110 §11.6.1)")
	}
	if !slices.Contains(c.needs.Carries, "Authorization") {
		return
	}
	r := c.request()
	r.Header.Set("Authorization", "Unheard-Of abc")
	_, err = c.verify(r)
	if refusal, ok := errors.AsType[*shield.Refusal](err); !ok || !passes(err) || len(refusal.Challenge) == 0 {
		c.Errorf("another scheme in Authorization got %v, want absent or foreign with a challenge", err)
	}
}

func wrongIsFinal(c *testCase) {
	for _, wrong := range c.wrongs() {
		r := wrong.request(c)
		_, err := c.verify(r)
		code, status := seen(err)
		switch {
		case err == nil:
			c.Errorf("%s: accepted", wrong.Name)
		case passes(err):
			c.Errorf("%s: %v would let another shield try", wrong.Name, err)
		case wrong.Code != "" && code != wrong.Code:
			c.Errorf("%s: %v, want %s", wrong.Name, err, wrong.Code)
		case status < 400 || status >= 500:
			c.Errorf("%s: %v with status %d, want 4xx", wrong.Name, err, status)
		}
	}
	if _, err := c.verify(c.signed()); err != nil {
		c.Errorf("after the wrong ones the good credential is refused: %v", err)
	}
}

// wrongs returns the fixture's wrong credentials and those that the suite can
// make itself: unknown, a known id with another's secret, another's id.
func (c *testCase) wrongs() []Wrong {
	c.Helper()
	all := slices.Clone(c.fixture.Wrong)
	if !c.issued {
		return all
	}
	_, unknown := c.world.issue(c.TB, c.kind, "shop")
	_, other := c.world.Issue(c.TB, c.kind, "other")
	by := func(credential shield.Credential) func(testing.TB, *World) shield.Signer {
		return func(testing.TB, *World) shield.Signer { return c.signerOf(credential) }
	}
	all = append(all, Wrong{Name: "an unknown credential", Signer: by(unknown)})
	if c.credential.ID != "" && !strings.Contains(c.credential.Secret, c.credential.ID) {
		all = append(all,
			Wrong{Name: "a known id with an unknown secret", Signer: by(shield.Credential{ID: c.credential.ID, Secret: unknown.Secret})},
			Wrong{Name: "a known id with another client's secret", Signer: by(shield.Credential{ID: c.credential.ID, Secret: other.Secret})},
			Wrong{Name: "an unknown id with a good secret", Signer: by(shield.Credential{ID: unknown.ID, Secret: c.credential.Secret})},
		)
	}
	return all
}

func (w Wrong) request(c *testCase) *http.Request {
	c.Helper()
	if w.Signer != nil {
		return c.signedBy(w.Signer(c.TB, c.world))
	}
	r := c.signed()
	if err := w.Change(r); err != nil {
		c.Fatalf("%s: %v", w.Name, err)
	}
	return r
}

func twiceIsRefused(c *testCase) {
	for _, name := range c.carried() {
		for _, second := range []string{"the same value", "another value"} {
			r := c.signed()
			value := r.Header.Get(name)
			if second == "another value" {
				value += "x"
			}
			r.Header[name] = append(r.Header[name], value)
			_, err := c.verify(r)
			if code, status := seen(err); err == nil || passes(err) || code != shield.MalformedCredential || status != 400 {
				c.Errorf("%s twice, with %s: %v, want %s with 400", name, second, err, shield.MalformedCredential)
			}
		}
	}
}

// carried returns the headers of the credential that the good caller sets.
func (c *testCase) carried() []string {
	c.Helper()
	before, after := c.request(), c.signed()
	var set []string
	for name := range after.Header {
		if !reflect.DeepEqual(before.Header[name], after.Header[name]) && !slices.Contains(c.fixture.Upstream, name) {
			set = append(set, name)
		}
	}
	slices.Sort(set)
	return set
}

// onlyProvedIsTold is invariant 5, for kinds whose credentials are records.
func onlyProvedIsTold(c *testCase) {
	if !c.issued || c.kind.Client == nil {
		c.Skip("the kind keeps no credentials of its own")
	}
	now := c.world.Now()
	states := []struct {
		name   string
		change func(*shield.Record)
		code   shield.Code
	}{
		{"good", func(*shield.Record) {}, ""},
		{"revoked", func(r *shield.Record) { r.Revoked = now.Add(-time.Second) }, shield.RevokedCredential},
		{"expired", func(r *shield.Record) { r.Expires = now.Add(-time.Second) }, shield.ExpiredCredential},
		{"expired at this moment", func(r *shield.Record) { r.Expires = now }, shield.ExpiredCredential},
		{"not yet valid", func(r *shield.Record) { r.NotBefore = now.Add(time.Hour) }, shield.ExpiredCredential},
		{"of a disabled client", func(r *shield.Record) { r.Client = &shield.Client{ID: "shop", Disabled: true} }, shield.DisabledClient},
	}
	_, unknown := c.world.issue(c.TB, c.kind, "shop")
	_, err := c.verify(c.signedBy(c.signerOf(unknown)))
	want := outside(err)
	for _, state := range states {
		issued, credential := c.world.issue(c.TB, c.kind, "shop")
		c.world.Add(c.world.keep(c.kind, issued, c.world.Client("shop"), state.change))
		id, err := c.verify(c.signedBy(c.signerOf(credential)))
		refusal, _ := errors.AsType[*shield.Refusal](err)
		switch {
		case state.code == "" && (err != nil || id.Client != "shop" || id.CredentialID != issued.ID):
			c.Errorf("%s, proved: %+v, %v", state.name, id, err)
		case state.code != "" && (refusal == nil || refusal.Code != state.code || !refusal.Proved || refusal.CredentialID != issued.ID):
			c.Errorf("%s, proved: %v, want %s that is proved and names the credential", state.name, err, state.code)
		}
		credential.Secret = strings.Replace(credential.Secret, issued.Secret, unknown.Secret, 1)
		if strings.Contains(issued.Secret, issued.ID) {
			continue // a secret with its own id: the kind tests a wrong half itself
		}
		_, err = c.verify(c.signedBy(c.signerOf(credential)))
		if got := outside(err); got != want {
			c.Errorf("%s, not proved: the caller sees %s, but for an unknown credential %s", state.name, got, want)
		}
		if refusal, ok := errors.AsType[*shield.Refusal](err); ok && refusal.Proved {
			c.Errorf("%s: a wrong secret counts as proved", state.name)
		}
	}
}

// outside is all that a caller sees of a refusal.
func outside(err error) string {
	code, status := seen(err)
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !ok {
		return string(code)
	}
	return fmt.Sprint(code, " ", status, " ", refusal.Challenge, " ", refusal.Header)
}

func attacksAreRefused(c *testCase) {
	for _, attack := range c.kind.Attacks {
		name := fmt.Sprintf("row %d, %s", attack.Row, attack.Name)
		r := c.signed()
		if attack.Change != nil {
			if err := attack.Change(r); err != nil {
				c.Errorf("%s: %v", name, err)
				continue
			}
		}
		err := c.attempts(r, attack.Repeat)
		code, status := seen(err)
		want := attack.Status
		if want == 0 {
			want = attack.Code.Status()
		}
		if err == nil || code != attack.Code || status != want {
			c.Errorf("%s: got %v (%s, %d), want %s, %d", name, err, code, status, attack.Code, want)
		}
		if _, err := c.verify(c.signed()); err != nil {
			c.Errorf("after %s the good credential is refused: %v", name, err)
		}
	}
}

// attempts sends a request 1 + repeat times and returns the last answer, with
// once-claims used up as the guard does.
func (c *testCase) attempts(r *http.Request, repeat int) error {
	c.Helper()
	next := func() *http.Request { return r }
	if repeat > 0 {
		next = c.rewindable(r)
	}
	var last error
	for range 1 + repeat {
		id, err := c.verify(next())
		if err == nil {
			err = c.world.Consume(id)
		}
		last = err
	}
	return last
}

func leavesRequest(c *testCase) {
	for _, body := range []string{"", "x", `{"item":"book"}`, strings.Repeat("long ", 2000)} {
		r := c.request()
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			body = ""
		}
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		if err := c.signer.Sign(r); err != nil {
			c.Fatalf("sign the request: %v", err)
		}
		present(r, c.signer)
		source := &countingBody{Reader: r.Body}
		r.Body = source
		arrived := arrive(r, c.needs)
		if _, err := c.ask(arrived); err != nil {
			c.Errorf("a body of %d bytes is refused: %v", len(body), err)
			continue
		}
		if c.needs.Body == 0 && source.read > 0 {
			c.Errorf("Verify read %d bytes of a body that it did not ask for", source.read)
		}
		passed, err := io.ReadAll(arrived.Body)
		if err != nil || string(passed) != body {
			c.Errorf("after Verify the body has %d bytes (%v), before it had %d", len(passed), err, len(body))
		}
	}
}

// countingBody counts what was read of it.
type countingBody struct {
	io.Reader
	read int64
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += int64(n)
	return n, err
}

func (*countingBody) Close() error { return nil }

func oldSnapshotIsNoRefusal(c *testCase) {
	r := c.signed()
	c.world.lookups = 0
	if _, err := c.verify(r); err != nil {
		c.Fatalf("a good credential is refused: %v", err)
	}
	if c.world.lookups == 0 {
		c.Skip("the kind looks nothing up")
	}
	c.world.SetStale(true)
	id, err := c.verify(c.signed())
	if _, isRefusal := errors.AsType[*shield.Refusal](err); id != nil || isRefusal || !errors.Is(err, shield.ErrStale) {
		c.Errorf("with an old snapshot: %v, want an error that is ErrStale and no refusal", err)
	}
	c.world.SetStale(false)
	if _, err := c.verify(c.signed()); err != nil {
		c.Errorf("when the snapshot is fresh again the good credential is refused: %v", err)
	}
}

func needsAreStable(c *testCase) {
	before := shield.NeedsOf(c.shield)
	_, _ = c.verify(c.signed())
	if after := shield.NeedsOf(c.shield); !reflect.DeepEqual(before, after) {
		c.Errorf("Needs changed from %+v to %+v", before, after)
	}
	if c.kind.Client == nil {
		return
	}
	if len(before.Accepts) == 0 {
		c.Errorf("Needs.Accepts is empty: two shields of an any could not be told apart")
	}
	for _, name := range c.carried() {
		if !slices.Contains(before.Carries, name) {
			c.Errorf("the caller's half sets %s, but Carries is %v: the upstream would get the credential", name, before.Carries)
		}
	}
	for _, name := range before.Carries {
		if name != http.CanonicalHeaderKey(name) {
			c.Errorf("Carries names %q, want the canonical %q", name, http.CanonicalHeaderKey(name))
		}
	}
	if _, ok := c.signer.(shield.Presenter); ok && !before.ClientCert {
		c.Errorf("the credential is a certificate, but Needs.ClientCert is false")
	}
	if explainer, ok := c.signer.(shield.Explainer); ok {
		c.explains(explainer)
	}
}

// explains checks that showing the signed bytes shows no secret.
func (c *testCase) explains(explainer shield.Explainer) {
	c.Helper()
	r := c.signed()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	shown, err := explainer.Canonical(r)
	if err != nil || shown == "" {
		c.Errorf("Canonical: %q, %v", shown, err)
	}
	for _, secret := range c.secrets {
		if strings.Contains(shown, secret) {
			c.Errorf("Canonical shows a secret")
		}
	}
	if rest, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(rest, body) {
		c.Errorf("Canonical used up the body")
	}
}
