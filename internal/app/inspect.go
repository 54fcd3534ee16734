package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/authserver"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/jwt"
)

// inspector says what a token is, and what the endpoints of one configuration would answer
// to it: by the guard's own verdict on requests that are not made.
type inspector struct {
	file   *config.File
	guard  *pavise.Guard
	trusts shield.Issuers
	lookup shield.Lookup
	base   *authserver.Base // nil: there is no server of ours
	now    clock
}

// inspectFor is how long an inspection may take: issuers may have to be asked.
const inspectFor = 30 * time.Second

// Inspect says what a token is to the configuration in force.
func (a *App) Inspect(ctx context.Context, q admin.Inspection) (admin.Inspected, error) {
	g := a.enter()
	defer g.leave()
	i := inspector{file: g.file, guard: g.guard, trusts: g.trusts, lookup: a.lookup, now: a.now}
	if g.oauth != nil {
		i.base = a.oauth
	}
	return i.inspect(ctx, q)
}

// inspectResting inspects with a configuration that nobody serves, over a state that this
// process holds.
func inspectResting(ctx context.Context, f *config.File, s *State, now clock, q admin.Inspection) (admin.Inspected, error) {
	a := resting(ctx, s, now)
	g := &generation{file: f, files: &files{dir: f.Dir}}
	defer g.close()
	if err := a.judging(f, g); err != nil {
		return admin.Inspected{}, fmt.Errorf("put the configuration together: %w", err)
	}
	i := inspector{file: f, guard: g.guard, trusts: g.trusts, lookup: a.lookup, base: a.oauth, now: now}
	return i.inspect(ctx, q)
}

// judging builds as much of a generation as judges requests: no certificates of hosts, no
// upstreams.
func (a *App) judging(f *config.File, g *generation) (err error) {
	if err = a.openLimits(f); err != nil {
		return err
	}
	if err = a.openAuthBase(f); err != nil {
		return fmt.Errorf("oauth: %w", err)
	}
	if g.issuers, err = a.openIssuers(f, g, nil); err != nil {
		return err
	}
	g.trusts = g.issuers
	policy, err := a.policy(f, g)
	if err != nil {
		return err
	}
	if f.OAuth.Issuer != "" {
		if err := a.addAuthServer(f, g, &policy); err != nil {
			return fmt.Errorf("oauth: %w", err)
		}
	}
	g.guard, err = pavise.New(policy)
	return err
}

// presentedToken is what is known of a token, and how a caller would send it.
type presentedToken struct {
	text   string
	claims map[string]any // not believed by anybody who decides
	issuer *shield.Issuer // nil: none that is trusted
	shown  *admin.Inspected
	chain  []*x509.Certificate
	from   netip.Addr
}

func (i *inspector) inspect(ctx context.Context, q admin.Inspection) (admin.Inspected, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectFor)
	defer cancel()
	shown := admin.Inspected{Form: "opaque", Time: i.now().UTC(), Endpoints: []admin.Judged{}}
	t := &presentedToken{text: q.Token, shown: &shown}
	if err := t.caller(q); err != nil {
		return shown, err
	}
	if parts := strings.Split(q.Token, "."); len(parts) == 3 && !strings.ContainsAny(q.Token, "~+/=") {
		shown.Form = "jwt"
		i.readJWT(ctx, t, parts)
	} else {
		shown.Note = misnamed(q.Token)
	}
	if err := i.askOwn(ctx, t); err != nil {
		shown.Note = "our own server could not say what it is: " + err.Error() // the endpoints may know enough
	}
	t.readTimes()
	shown.BoundTo = t.boundTo()
	resolved, err := i.file.Resolve()
	if err != nil {
		return shown, err
	}
	for _, e := range resolved {
		shown.Endpoints = append(shown.Endpoints, i.judge(ctx, t, e))
	}
	return shown, nil
}

// caller reads the circumstances under which the token would be sent.
func (t *presentedToken) caller(q admin.Inspection) error {
	for rest := []byte(q.Certificate); len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("read the certificate: %w", err)
		}
		t.chain = append(t.chain, cert)
	}
	if q.Certificate != "" && len(t.chain) == 0 {
		return errors.New("there is no certificate in PEM where one was given")
	}
	if q.Address == "" {
		return nil
	}
	var err error
	if t.from, err = netip.ParseAddr(q.Address); err != nil {
		return fmt.Errorf("%.80q is no address", q.Address)
	}
	return nil
}

// misnamed says what people take for access tokens by mistake.
func misnamed(text string) string {
	switch {
	case strings.HasPrefix(text, "pvsrt_"):
		return "this is a refresh token of a Pavise server: it goes to the server's /token, never to an endpoint"
	case strings.HasPrefix(text, "pvscs_"):
		return "this is the secret of a client of a Pavise server, not a token: take it for leaked if it was sent to an endpoint"
	case strings.HasPrefix(text, "pvshs_"):
		return "this is a secret of signatures (HMAC), not a token: it is never sent; take it for leaked if it was"
	case strings.Count(text, ".") == 4:
		return "this looks like an encrypted token (JWE), which no shield here reads"
	}
	return ""
}

// readJWT decodes a token and looks whether its signature is good.
func (i *inspector) readJWT(ctx context.Context, t *presentedToken, parts []string) {
	header, text, err := decodePart(parts[0])
	if err != nil {
		t.shown.Note = "its header cannot be read: " + err.Error()
		return
	}
	t.shown.Header = text
	if t.claims, text, err = decodePart(parts[1]); err != nil {
		t.shown.Note = "its claims cannot be read: " + err.Error()
		return
	}
	t.shown.Claims = text
	s := &admin.Signature{}
	t.shown.Signature = s
	s.Algorithm, _ = header["alg"].(string)
	s.KeyID, _ = header["kid"].(string)
	iss, _ := t.claims["iss"].(string)
	if t.issuer = i.issuer(iss); t.issuer == nil {
		s.Why = "it names no issuer that the configuration trusts, so that nobody's key can be asked for"
		return
	}
	t.shown.Issuer = &admin.TokenIssuer{Name: t.issuer.Name, URL: t.issuer.URL}
	i.checkSignature(ctx, t, s, parts)
}

func (i *inspector) checkSignature(ctx context.Context, t *presentedToken, s *admin.Signature, parts []string) {
	if !slices.Contains(t.issuer.Algorithms, s.Algorithm) {
		s.Why = "issuer " + t.issuer.Name + " may not sign with this algorithm"
		return
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		s.Why = "it is not canonical base64url"
		return
	}
	key, err := t.issuer.Keys.Key(ctx, s.KeyID, s.Algorithm)
	if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
		s.Why = refusal.Detail
		return
	}
	if err != nil {
		s.Why = err.Error()
		return
	}
	if err := jwt.CheckSignature(s.Algorithm, key, []byte(parts[0]+"."+parts[1]), signature); err != nil {
		s.Why = err.Error()
		return
	}
	s.Good = true
	if t.issuer.Name == config.OwnIssuer && i.base != nil {
		for _, k := range i.base.Keys.All() {
			if k.ID == s.KeyID {
				s.KeyState = string(k.State)
			}
		}
	}
}

// decodePart reads a part of a token as strictly as the shield does. Errors quote nothing.
func decodePart(part string) (map[string]any, json.RawMessage, error) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, nil, errors.New("it is not canonical base64url")
	}
	members, err := strictjson.Object(text)
	return members, text, err
}

// issuer finds a trusted issuer by its URL.
func (i *inspector) issuer(url string) *shield.Issuer {
	names := []string{config.OwnIssuer}
	for name := range i.file.Issuers {
		names = append(names, name)
	}
	for _, name := range names {
		if issuer, err := i.trusts.Issuer(name); err == nil && issuer.URL == url {
			return issuer
		}
	}
	return nil
}

// askOwn asks our own server whether it stands by a token of its own, and what an opaque
// one stands for.
func (i *inspector) askOwn(ctx context.Context, t *presentedToken) error {
	own, err := i.trusts.Issuer(config.OwnIssuer)
	if err != nil || own.Introspect == nil || t.shown.Form == "jwt" && t.issuer != own || t.shown.Note != "" {
		return nil // there is none, or the token is not its
	}
	members, err := own.Introspect.Introspect(ctx, t.text)
	stands := err == nil
	switch {
	case errors.Is(err, shield.ErrInactive) && t.shown.Form == "opaque":
		return nil // it may be another issuer's: those that have it are asked by the endpoints
	case err != nil && !errors.Is(err, shield.ErrInactive):
		return err
	}
	if t.shown.Form == "opaque" {
		t.issuer, t.claims = own, members
		t.shown.Issuer = &admin.TokenIssuer{Name: own.Name, URL: own.URL}
		if t.shown.Claims, err = json.Marshal(plain(members)); err != nil {
			return fmt.Errorf("write what is known of a token: %w", err)
		}
	}
	if !stands {
		t.shown.Ended = "it has ended, or was revoked, or is not the server's"
	} else if t.shown.Ended, err = i.clientEnded(t); err != nil {
		return err
	}
	stands = t.shown.Ended == ""
	t.shown.Active = &stands
	return nil
}

// clientEnded says why no token of the client that ours was issued to is good; empty:
// nothing speaks against him.
func (i *inspector) clientEnded(t *presentedToken) (string, error) {
	id, _ := t.claims["client_id"].(string)
	record, err := i.lookup.Credential(registration.KindName, id)
	now := i.now()
	switch {
	case errors.Is(err, shield.ErrUnknown):
		return "its client is not registered", nil
	case err != nil:
		return "", fmt.Errorf("look up the token's client: %w", err)
	case record.Client == nil || record.Client.Disabled:
		return "its client is disabled", nil
	case !record.Revoked.IsZero():
		return "the registration of its client is revoked", nil
	case now.Before(record.NotBefore) || !record.Expires.IsZero() && !now.Before(record.Expires):
		return "the registration of its client has ended", nil
	}
	return "", nil
}

// plain turns numbers, which are kept as they were written, into JSON's.
func plain(v any) any {
	switch v := v.(type) {
	case strictjson.Number:
		return json.Number(v)
	case map[string]any:
		all := make(map[string]any, len(v))
		for name, value := range v {
			all[name] = plain(value)
		}
		return all
	case []any:
		all := make([]any, 0, len(v))
		for _, value := range v {
			all = append(all, plain(value))
		}
		return all
	}
	return v
}

func (t *presentedToken) readTimes() {
	for name, into := range map[string]*time.Time{"iat": &t.shown.IssuedAt, "nbf": &t.shown.NotBefore, "exp": &t.shown.Expires} {
		number, _ := t.claims[name].(strictjson.Number)
		if seconds, err := number.Float(); err == nil && seconds > 0 && seconds < 1<<40 {
			*into = time.Unix(int64(seconds), 0).UTC()
		}
	}
}

// confirm is a member of what the token is bound to (RFC 7800).
func (t *presentedToken) confirm(member string) string {
	cnf, _ := t.claims["cnf"].(map[string]any)
	text, _ := cnf[member].(string)
	return text
}

func (t *presentedToken) boundTo() string {
	var all []string
	if key := t.confirm("jkt"); key != "" {
		all = append(all, "key "+key)
	}
	if cert := t.confirm("x5t#S256"); cert != "" {
		all = append(all, "certificate "+cert)
	}
	return strings.Join(all, " and ")
}

// scopes are those that the token names, as far as its issuer may grant them; the client
// behind it may have fewer.
func (t *presentedToken) scopes() shield.Scopes {
	if t.issuer == nil {
		return nil
	}
	names := []string{"scope", "scp"}
	if t.issuer.ScopesFrom != "" {
		names = []string{t.issuer.ScopesFrom}
	}
	for _, name := range names {
		switch value := t.claims[name].(type) {
		case string:
			return shield.Scopes(strings.Fields(value)).Within(t.issuer.MayGrant)
		case []any:
			var all shield.Scopes
			for _, one := range value {
				if scope, ok := one.(string); ok {
					all = append(all, scope)
				}
			}
			return all.Within(t.issuer.MayGrant)
		}
	}
	return nil
}

// request is one that the token could be sent with.
func (t *presentedToken) request(ctx context.Context, host, method, path string) (*http.Request, error) {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, fmt.Errorf("make a path of the pattern: %w", err)
	}
	u.Scheme, u.Host = "https", host
	r := (&http.Request{Method: method, URL: u, Host: host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RequestURI: path}).WithContext(ctx)
	r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, PeerCertificates: t.chain}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Is6() {
			r.Host = "[" + host + "]"
		}
	} else {
		r.TLS.ServerName = host
	}
	if t.from.IsValid() {
		r.RemoteAddr = netip.AddrPortFrom(t.from, 0).String()
	}
	scheme := "Bearer "
	if t.confirm("jkt") != "" {
		scheme = "DPoP "
	}
	r.Header.Set("Authorization", scheme+t.text)
	return r, nil
}
