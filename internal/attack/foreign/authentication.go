package foreign

import (
	"encoding/base64"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// authentication asks protected operations without a credential, and with wrong ones.
func (p *planner) authentication() {
	p.each("no-authentication", func(o *operation) bool { return o.protected && o.method != "DELETE" }, (*try).noAuthentication)
	p.each("no-authentication", func(o *operation) bool { return o.protected && o.method == "DELETE" }, (*try).noAuthenticationDelete)
	p.each("access-unsaid", func(o *operation) bool { return o.unsaid && o.method != "DELETE" && !o.isForStrangers() }, (*try).accessUnsaid)
	p.each("wrong-credential", func(o *operation) bool { return o.protected && len(p.w.users) > 0 && o.method != "DELETE" }, (*try).wrongCredential)
	p.each("default-credentials", func(o *operation) bool { return o.protected && o.isSafe() && slices.Contains(o.schemes, "http basic") }, (*try).defaultCredentials)
	p.each("credential-in-query", func(o *operation) bool { return o.protected && o.method == "GET" && len(p.w.users) > 0 }, (*try).credentialInQuery)
}

// asNobody sends a request that the user may send without the credential. open is true if it is
// answered as the user's is.
func (t *try) asNobody(o *operation) (d *draft, a *attack.Answer, open bool, err error) {
	u := t.w.caller()
	if o.isAdministrative() && t.w.admin != nil {
		u = t.w.admin
	}
	g, err := t.good(o, u)
	if g != nil && g.d != nil {
		d = g.d
	} else {
		d, _ = t.draft(o, u, 0)
	}
	if t.ctx.Err() != nil {
		return d, nil, false, err
	}
	if a, err = t.send(nil, d); err != nil || !ok(a) || g != nil && ok(g.a) && typeOf(a) != typeOf(g.a) {
		return d, a, false, err // a page to sign in at is no answer
	}
	always, err := t.answersAlways()
	return d, a, !always, err
}

func (t *try) noAuthentication(o *operation) error {
	d, a, open, err := t.asNobody(o)
	if err != nil || !open {
		return err
	}
	again, err := t.send(nil, d)
	if err == nil && ok(again) {
		t.found(o, a, "it answers %d without a credential, which the document demands", a.Status)
	}
	return err
}

// accessUnsaid asks as nobody for what nothing says that everybody may have. With `security: []` it
// would be said.
func (t *try) accessUnsaid(o *operation) error {
	d, a, open, err := t.asNobody(o)
	if err != nil || !open {
		return err
	}
	again, err := t.send(nil, d)
	if err == nil && ok(again) {
		t.found(o, a, "it answers %d to whoever asks, and the document does not say that everybody may", a.Status)
	}
	return err
}

// isForStrangers reports whether an operation is there for who has no credential: it only tells that the
// service lives, what it can do (RFC 8615), or the keys that verify what it signs (RFC 7517).
func (o *operation) isForStrangers() bool {
	last := strings.ToLower(o.path[strings.LastIndexByte(o.path, '/')+1:])
	return o.method != "POST" && (strings.HasPrefix(o.path, "/.well-known/") ||
		slices.Contains([]string{"health", "healthz", "livez", "readyz", "live", "ready", "ping", "status", "version", "jwks", "jwks.json"}, last))
}

// noAuthenticationDelete removes an object that it made for the user, as nobody.
func (t *try) noAuthenticationDelete(o *operation) error {
	u := t.w.caller()
	p, value, err := t.fresh(o, u)
	if err != nil {
		return err
	}
	if value == "" {
		return attack.ErrNotHere
	}
	d, _ := t.draft(o, u, 0)
	d = d.named(p, value)
	a, err := t.send(nil, d)
	if err != nil || !ok(a) {
		return err
	}
	if always, err := t.answersAlways(); always || err != nil {
		return err
	}
	t.found(o, a, "it answers %d without a credential, which the document demands", a.Status)
	return nil
}

// closed reports whether nobody is refused where the user is let in: only then a wrong credential
// tells something.
func (t *try) closed(o *operation, u *attack.User) (*good, bool, error) {
	g, err := t.good(o, u)
	if err != nil {
		return nil, false, t.orUntried(err)
	}
	a, err := t.send(nil, g.d)
	if err != nil || a.Status != 401 && a.Status != 403 {
		return g, false, err
	}
	if o.isSafe() { // what is there may have changed since
		fresh, err := t.send(u, g.d)
		if err != nil || !ok(fresh) {
			return g, false, err
		}
		g.a = fresh
	}
	return g, true, nil
}

func (t *try) wrongCredential(o *operation) error {
	g, closed, err := t.closed(o, t.w.caller())
	if err != nil || !closed {
		return err
	}
	credential, err := t.credential(t.w.caller())
	if err != nil {
		return err
	}
	for name, values := range credential {
		for _, wrong := range wrongValues(values[0]) {
			d := g.d.clone()
			d.header.Set(name, wrong.value)
			a, err := t.send(nil, d)
			if err != nil {
				return err
			}
			if !ok(a) {
				continue
			}
			if again, err := t.send(nil, d); err == nil && ok(again) {
				t.found(o, a, "it answers %d to %s in %s", a.Status, wrong.what, name)
				return nil
			}
		}
	}
	return nil
}

type wrongValue struct{ value, what string }

// wrongValues are credentials that are none: of the same form, empty, and of other schemes. Tokens
// with a changed signature are another family's.
func wrongValues(right string) []wrongValue {
	scheme, value, ok := strings.Cut(right, " ")
	if !ok {
		return []wrongValue{{strings.Repeat("x", min(len(right), 60)), "a credential that was never issued"}, {"null", "the text null"}, {"x", "a single letter"}}
	}
	return []wrongValue{
		{scheme + " pavise-attack-never-issued", "a credential that was never issued"},
		{scheme + " ", "an empty credential"},
		{scheme + " null", "the text null"},
		{scheme + " undefined", "the text undefined"},
		{"Basic " + base64.StdEncoding.EncodeToString([]byte("pavise:attack")), "another scheme with a name that nobody has"},
		{value + "x", "a changed credential without its scheme"},
		{"Pavise x", "a scheme that there is not"},
	}
}

func (t *try) defaultCredentials(o *operation) error {
	d, _ := t.draft(o, t.w.caller(), 0)
	if a, err := t.send(nil, d); err != nil || a.Status != 401 {
		return err
	}
	for _, known := range []string{"admin:admin", "admin:password", "root:root", "test:test"} {
		tried := d.clone()
		tried.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(known)))
		a, err := t.send(nil, tried)
		if err != nil {
			return err
		}
		if again, err := t.send(nil, tried); ok(a) && err == nil && ok(again) {
			t.found(o, a, "it answers %d to the well-known %s", a.Status, known)
			return nil
		}
	}
	return nil
}

// credentialInQuery sends the credential where addresses are logged. It is the user's own.
func (t *try) credentialInQuery(o *operation) error {
	u := t.w.caller()
	g, closed, err := t.closed(o, u)
	if err != nil || !closed {
		return err
	}
	credential, err := t.credential(u)
	if err != nil {
		return err
	}
	for header, values := range credential {
		value := values[0]
		if _, token, ok := strings.Cut(value, " "); ok && header == "Authorization" {
			value = token
		}
		for _, name := range []string{"access_token", "api_key", "apikey", "api-key", "key", "token", "auth", strings.ToLower(header)} {
			if slices.ContainsFunc(o.parameters, func(p parameter) bool { return p.name == name && p.in == "query" }) {
				continue
			}
			found, err := t.inQuery(o, g, name, value)
			if found || err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *try) inQuery(o *operation, g *good, name, value string) (found bool, err error) {
	d := g.d.clone()
	d.query = with(d.query, name, value)
	a, err := t.send(nil, d)
	if err != nil || !ok(a) {
		return false, err
	}
	d.query = with(d.query, name, "pavise-attack-never-issued")
	control, err := t.send(nil, d)
	if err != nil || ok(control) {
		return false, err
	}
	t.found(o, a, "it answers %d to a credential in the query, as %s", a.Status, name)
	return true, nil
}

// typeOf is the media type of an answer.
func typeOf(a *attack.Answer) string {
	media, _, _ := strings.Cut(strings.ToLower(a.Header.Get("Content-Type")), ";")
	return strings.TrimSpace(media)
}
