package against

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // for ES384 and its like
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/apikey"
	"pavise.dev/pavise/shield/hmac"
	"pavise.dev/pavise/shield/introspect"
	"pavise.dev/pavise/shield/jwt"
	"pavise.dev/pavise/shield/mtls"
)

// proof is a credential that a caller could have, made when a request is sent with it.
type proof struct {
	kind   string
	issuer string // of a token
	what   string // for people
	same   string // tells proofs apart that people need not
	make   func(c *call) error
}

// proofsOf are the proofs that a shield could be satisfied with: first a plain one, then those
// that use what each of its settings allows, one at a time.
func (d *differ) proofsOf(f *config.File, api string, s *config.Shield) []proof {
	switch c := s.Config.(type) {
	case *apikey.Config:
		return keyProofs(c)
	case *hmac.Config:
		return hmacProofs(c)
	case *jwt.Config:
		return d.tokenProofs(f, api, tokenSettings{issuers: orOwn(c.Issuer), audience: c.Audience, require: c.Require, bound: c.Bound, dpop: c.DPoP, acr: c.ACR, maxAge: c.MaxAge, jwt: true})
	case *introspect.Config:
		t := tokenSettings{issuers: orOwn([]string{c.Issuer}), audience: c.Audience, require: c.Require, bound: c.Bound, dpop: c.DPoP, acr: c.ACR, maxAge: c.MaxAge, noAudience: c.NoAud != ""}
		all := d.tokenProofs(f, api, t)
		if c.JWT {
			t.jwt, t.asked = true, true
			all = append(all, d.tokenProofs(f, api, t)...)
		}
		return all
	case *mtls.Config:
		return d.certificateProofs(f, c)
	}
	return []proof{{kind: s.Kind, what: "no credential", make: func(*call) error { return nil }}}
}

func orOwn(names []string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" })
	if len(names) == 0 {
		return []string{config.OwnIssuer}
	}
	return names
}

func keyProofs(c *apikey.Config) (all []proof) {
	environments := []string{c.Environment}
	if c.Environment == "" {
		environments = []string{"live", "test"}
	}
	kind := apikey.Kind()
	one := func(environment, origin string) proof {
		what := "an API key of the environment " + environment + " in " + c.Header
		if origin != "" {
			what += ", sent by a browser"
		}
		return proof{kind: "api_key", what: what, make: func(call *call) error {
			made, err := kind.Issue(shield.Env{Rand: rand.Reader}, shield.IssueRequest{Client: call.client, Environment: environment})
			if err != nil {
				return err
			}
			call.world.keep(shield.Record{Kind: "api_key", ID: made.ID, Client: call.owner(), Scopes: call.scopes, Created: call.world.now.Add(-time.Hour), Settings: map[string]string{"environment": environment}}, made.Material)
			if origin != "" {
				call.request.Header.Set("Origin", origin)
			}
			return call.sign(kind, shield.Credential{Kind: "api_key", ID: made.ID, Secret: made.Secret, Settings: map[string]string{"header": c.Header}})
		}}
	}
	for _, environment := range environments {
		all = append(all, one(environment, ""))
	}
	if c.AllowBrowsers != "" {
		all = append(all, one(environments[0], "https://somewhere.example"))
	}
	return all
}

func hmacProofs(c *hmac.Config) (all []proof) {
	kind := hmac.Kind()
	for _, age := range []time.Duration{0, c.Window - time.Second, time.Second - c.Future} {
		what := "a signature"
		if age < 0 {
			what = fmt.Sprintf("a signature of a clock that is %s ahead", -age)
		} else if age > 0 {
			what = fmt.Sprintf("a signature of %s ago", age)
		}
		if len(c.Headers) > 0 {
			what += " over " + strings.Join(c.Headers, ", ")
		}
		all = append(all, proof{kind: "hmac", what: what, make: func(call *call) error {
			made, err := kind.Issue(shield.Env{Rand: rand.Reader}, shield.IssueRequest{Client: call.client})
			if err != nil {
				return err
			}
			call.world.keep(shield.Record{Kind: "hmac", ID: made.ID, Client: call.owner(), Scopes: call.scopes, Created: call.world.now.Add(-24 * time.Hour)}, made.Material)
			for _, name := range c.Headers {
				if call.request.Header.Get(name) == "" {
					call.request.Header.Set(name, "1")
				}
			}
			return call.sign(kind, shield.Credential{
				Kind: "hmac", ID: made.ID, Secret: made.Secret, Settings: map[string]string{"headers": strings.Join(c.Headers, " ")},
				Now: func() time.Time { return call.world.now.Add(-age) },
			})
		}})
	}
	return all
}

// tokenSettings are what the shields for tokens have in common.
type tokenSettings struct {
	issuers, audience []string
	require           map[string]string
	bound             bool
	dpop              string
	acr               []string
	maxAge            time.Duration
	jwt, asked        bool
	noAudience        bool
}

// token is what a token says.
type token struct {
	issuer, audience, typ, algorithm, acr string
	life, over, signedIn                  time.Duration // its life; how long ago it ended; how long ago the person signed in
	binding                               string        // "", "key", "certificate"
}

func (d *differ) tokenProofs(f *config.File, api string, s tokenSettings) (all []proof) {
	for _, name := range s.issuers {
		known := f.Issuers[name]
		if known.URL == "" && f.OAuth.Issuer == "" {
			continue
		}
		plain := token{issuer: name, life: 10 * time.Minute, typ: first(known.Types, "at+jwt"), algorithm: cheap(known.Algorithms)}
		audiences := s.audience
		if len(audiences) == 0 {
			audiences = known.Audience
		}
		if len(audiences) == 0 {
			audiences = []string{api}
		}
		if resource := f.APIs[api].Resource; resource != "" {
			audiences = append(slices.Clone(audiences), resource)
		}
		plain.audience = audiences[0]
		if s.bound {
			plain.binding = "certificate"
		} else if s.dpop == "require" {
			plain.binding = "key"
		}
		if s.maxAge > 0 {
			plain.signedIn = time.Second
		}
		if len(s.acr) > 0 {
			plain.acr = s.acr[0]
		}
		if known.MaxAge.Duration > 0 && known.MaxAge.Duration < plain.life {
			plain.life = known.MaxAge.Duration
		}
		tried := []token{plain}
		vary := func(change func(*token)) {
			t := plain
			change(&t)
			if !slices.Contains(tried, t) {
				tried = append(tried, t)
			}
		}
		for _, audience := range audiences {
			vary(func(t *token) { t.audience = audience })
		}
		if s.noAudience {
			vary(func(t *token) { t.audience = "" })
		}
		for _, typ := range known.Types {
			vary(func(t *token) { t.typ = typ })
		}
		for _, algorithm := range d.algorithms(name) {
			vary(func(t *token) { t.algorithm = algorithm })
		}
		if most := known.MaxAge.Duration; most > 0 {
			vary(func(t *token) { t.life = most })
		}
		if leeway := known.Leeway.Duration; leeway > time.Second {
			vary(func(t *token) { t.over = leeway - time.Second })
		}
		for _, acr := range s.acr {
			vary(func(t *token) { t.acr = acr })
		}
		if s.maxAge > 0 {
			vary(func(t *token) { t.signedIn = s.maxAge })
		} else {
			vary(func(t *token) { t.signedIn = 300 * 24 * time.Hour })
		}
		if plain.binding == "" {
			vary(func(t *token) { t.binding = "key" })
		}
		for _, t := range tried {
			all = append(all, t.proof(f, s))
		}
	}
	return all
}

// algorithms are those that an issuer may sign with, if the two configurations differ in them.
func (d *differ) algorithms(issuer string) []string {
	before, after := d.older.file.Issuers[issuer].Algorithms, d.newer.file.Issuers[issuer].Algorithms
	if slices.Equal(before, after) {
		return nil
	}
	return slices.Concat(before, after)
}

// cheap is an algorithm of some, one that is quick to sign with if there is one.
func cheap(algorithms []string) string {
	if len(algorithms) == 0 || slices.Contains(algorithms, "ES256") {
		return "ES256"
	}
	return algorithms[0]
}

func first(words []string, otherwise string) string {
	if len(words) > 0 {
		return words[0]
	}
	return otherwise
}

func (t token) what(s tokenSettings) string {
	kind := "an opaque token"
	if s.jwt {
		kind = "a JWT (" + t.typ + ", " + t.algorithm + ")"
	}
	text := kind + " of " + t.issuer + " for " + t.audience
	if t.life != 10*time.Minute {
		text += fmt.Sprintf(", that lives for %s", config.Duration{Duration: t.life})
	}
	if t.over > 0 {
		text += fmt.Sprintf(", that ended %s ago", t.over)
	}
	if t.acr != "" {
		text += ", of a sign-in by " + t.acr
	}
	if t.signedIn > time.Second {
		text += fmt.Sprintf(", of a sign-in %s ago", config.Duration{Duration: t.signedIn})
	}
	if t.binding != "" {
		text += ", bound to a " + t.binding
	}
	if len(s.require) > 0 {
		text += ", with the claims that are required"
	}
	return text
}

// proof makes the token, and registers its client.
func (t token) proof(f *config.File, s tokenSettings) proof {
	known := f.Issuers[t.issuer]
	same := fmt.Sprint(known.URL, f.OAuth.Issuer, known.ScopesFrom, known.Claims, s.require, s.asked)
	return proof{"token", t.issuer, t.what(s), same, func(c *call) error {
		address := known.URL
		if address == "" {
			address = f.OAuth.Issuer
		}
		now := c.world.now
		ends := now.Add(t.life)
		if t.over > 0 {
			ends = now.Add(-t.over)
		}
		claims := map[string]any{
			"iss": address, "sub": c.person(), "client_id": c.client, "jti": fmt.Sprintf("t%d", c.number), "iat": ends.Add(-t.life).Unix(), "exp": ends.Unix(),
		}
		if t.life == 10*time.Minute && t.over == 0 {
			claims["iat"] = now.Unix()
		}
		if t.audience != "" {
			claims["aud"] = t.audience
		}
		scopes := known.ScopesFrom
		if scopes == "" {
			scopes = "scope"
		}
		put(claims, scopes, strings.Join(c.scopes, " "))
		if t.acr != "" {
			claims["acr"] = t.acr
		}
		if t.signedIn > 0 {
			claims["auth_time"] = now.Add(-t.signedIn).Unix()
		}
		if claim := known.Claims["tenant"]; claim != "" && c.tenant != "" {
			put(claims, claim, c.tenant)
		}
		for name, value := range s.require {
			put(claims, name, valueOf(value))
		}
		id := t.issuer + "#" + c.client
		c.world.keep(shield.Record{Kind: "jwt", ID: id, Client: c.owner(), Scopes: c.scopes, Created: now.Add(-time.Hour)}, []byte(id))
		prover, err := t.bind(c, claims)
		if err != nil {
			return err
		}
		text, err := t.write(c, claims, s)
		if err != nil {
			return err
		}
		if prover != nil {
			c.request.Header.Set("Authorization", "DPoP "+text)
			return prover.Sign(c.request, text)
		}
		c.request.Header.Set("Authorization", "Bearer "+text)
		return nil
	}}
}

// bind binds a token to a key, or to the certificate of the connection.
func (t token) bind(c *call, claims map[string]any) (*dpop.Prover, error) {
	switch t.binding {
	case "key":
		key, err := c.world.signer("ES256")
		if err != nil {
			return nil, err
		}
		public, ok := key.Public().(*ecdsa.PublicKey)
		if !ok {
			return nil, fmt.Errorf("no key of P-256")
		}
		raw, err := public.Bytes()
		if err != nil {
			return nil, err
		}
		part := base64.RawURLEncoding.EncodeToString
		sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, part(raw[1:33]), part(raw[33:])))
		claims["cnf"] = map[string]any{"jkt": part(sum[:])}
		return dpop.NewProver(key, "ES256", func() time.Time { return c.world.now })
	case "certificate":
		if len(c.chain) == 0 {
			if err := c.present([]byte("anybody"), "", func(*x509.Certificate) {}); err != nil {
				return nil, err
			}
		}
		sum := sha256.Sum256(c.chain[0].Raw)
		claims["cnf"] = map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}
	}
	return nil, nil
}

// write signs a JWT, or remembers what an opaque token stands for.
func (t token) write(c *call, claims map[string]any, s tokenSettings) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("opaque-token-%d", c.number)
	if s.jwt {
		part := base64.RawURLEncoding.EncodeToString
		signed := part(fmt.Appendf(nil, `{"alg":%q,"typ":%q,"kid":"k"}`, t.algorithm, t.typ)) + "." + part(body)
		signature, err := c.world.signToken(t.algorithm, signed)
		if err != nil {
			return "", err
		}
		text = signed + "." + part(signature)
	}
	if !s.jwt || s.asked {
		members, err := strictjson.Object(body)
		if err != nil {
			return "", err
		}
		members["active"] = true
		c.world.tokens[text] = members
	}
	return text, nil
}

func (w *world) signToken(algorithm, text string) ([]byte, error) {
	key, err := w.signer(algorithm)
	if err != nil {
		return nil, err
	}
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[algorithm[len(algorithm)-min(3, len(algorithm)):]]
	if strings.HasPrefix(algorithm, "Ed") {
		return key.Sign(rand.Reader, []byte(text), crypto.Hash(0))
	}
	if hash == 0 {
		return nil, fmt.Errorf("nobody signs with %s", algorithm)
	}
	h := hash.New()
	h.Write([]byte(text))
	sum := h.Sum(nil)
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, sum)
		if err != nil {
			return nil, err
		}
		size := (k.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), nil
	case *rsa.PrivateKey:
		if strings.HasPrefix(algorithm, "PS") {
			return rsa.SignPSS(rand.Reader, k, hash, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(rand.Reader, k, hash, sum)
	}
	return nil, fmt.Errorf("nobody signs with %s", algorithm)
}

// put sets a claim; dots go down.
func put(claims map[string]any, path string, value any) {
	name, rest, deep := strings.Cut(path, ".")
	if !deep {
		claims[name] = value
		return
	}
	inner, _ := claims[name].(map[string]any)
	if inner == nil {
		inner = map[string]any{}
		claims[name] = inner
	}
	put(inner, rest, value)
}

// valueOf is what a claim must hold to be equal to a text of the configuration.
func valueOf(text string) any {
	switch text {
	case "true":
		return true
	case "false":
		return false
	}
	if json.Valid([]byte(text)) && strings.Trim(text, "0123456789.-") == "" {
		return json.Number(text)
	}
	return text
}

// certificateProofs are certificates of each authority of the bundles, and such as each rule
// allows.
func (d *differ) certificateProofs(f *config.File, c *mtls.Config) (all []proof) {
	authorities := [][]byte{}
	trust := c.Trust
	if len(trust) == 0 {
		trust = []string{"own"}
	}
	for _, name := range trust {
		if name == "own" {
			authorities = append(authorities, []byte("own"))
			continue
		}
		authorities = append(authorities, certificatesOf(f.Abs(name))...)
	}
	rules := c.Allow
	if len(rules) == 0 {
		rules = []mtls.Rule{{}}
	}
	for i, authority := range authorities {
		for j, rule := range rules {
			if i > 0 && j > 0 {
				break // one at a time
			}
			sum := sha256.Sum256(authority)
			all = append(all, proof{"mtls", "", "a certificate of " + nameOf(authority) + describe(rule), hex.EncodeToString(sum[:]), func(call *call) error {
				err := call.present(authority, describe(rule), func(t *x509.Certificate) { shape(t, rule) })
				if err != nil {
					return err
				}
				owner := call.owner()
				if rule.Client != "" {
					owner = &shield.Client{ID: rule.Client, Scopes: call.scopes}
				}
				sum := sha256.Sum256(call.chain[0].Raw)
				record := shield.Record{Kind: "mtls", Client: owner, Scopes: call.scopes, Created: call.world.now.Add(-time.Hour), Settings: map[string]string{"sha256": hex.EncodeToString(sum[:]), "profile": rule.Profile}}
				for _, id := range []string{"sha256:" + hex.EncodeToString(sum[:]), "serial:" + hex.EncodeToString(call.chain[0].SerialNumber.Bytes())} {
					record.ID = id
					call.world.keep(record, nil)
				}
				return nil
			}})
		}
	}
	return all
}

func describe(r mtls.Rule) string {
	text := ""
	for _, part := range [][2]string{{"dns", r.DNS}, {"uri", r.URI}, {"email", r.Email}, {"ip", r.IP}, {"subject", r.Subject}, {"client", r.Client}, {"profile", r.Profile}} {
		if part[1] != "" {
			text += ", " + part[0] + " " + part[1]
		}
	}
	return text
}

// shape gives a certificate what a rule asks for. What only one key has, a pin, nobody else can
// have.
func shape(t *x509.Certificate, r mtls.Rule) {
	if r.DNS != "" {
		t.DNSNames = []string{r.DNS}
	}
	if r.URI != "" {
		if u, err := url.Parse(r.URI); err == nil {
			t.URIs = []*url.URL{u}
		}
	}
	if r.Email != "" {
		t.EmailAddresses = []string{r.Email}
	}
	if ip := net.ParseIP(r.IP); ip != nil {
		t.IPAddresses = []net.IP{ip}
	}
	for part := range strings.SplitSeq(r.Subject, ",") {
		if name, ok := strings.CutPrefix(part, "CN="); ok {
			t.Subject.CommonName = name
		}
		if name, ok := strings.CutPrefix(part, "O="); ok {
			t.Subject.Organization = []string{name}
		}
	}
}

// sign adds a credential to the request as its kind's own client does.
func (c *call) sign(kind shield.Kind, credential shield.Credential) error {
	if credential.Now == nil {
		credential.Now = func() time.Time { return c.world.now }
	}
	signer, err := kind.Client(credential)
	if err != nil {
		return err
	}
	return signer.Sign(c.request)
}

// owner is the client behind the credentials of a call.
func (c *call) owner() *shield.Client {
	o := &shield.Client{ID: c.client, Tenant: c.tenant, Scopes: c.scopes, Attributes: maps.Clone(c.attributes)}
	return o
}

// present has the connection of a call present a certificate of an authority's twin; what tells
// several of one authority apart.
func (c *call) present(authority []byte, what string, change func(*x509.Certificate)) error {
	t, err := c.world.twinOf(authority)
	if err != nil {
		return err
	}
	leaf := c.world.leaves[t][what]
	if leaf == nil {
		if leaf, err = c.world.leaf(t, change); err != nil {
			return err
		}
		if c.world.leaves[t] == nil {
			c.world.leaves[t] = map[string]*x509.Certificate{}
		}
		c.world.leaves[t][what] = leaf
	}
	c.chain = []*x509.Certificate{leaf, t.cert}
	c.request.TLS.PeerCertificates = c.chain
	return nil
}
