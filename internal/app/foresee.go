package app

import (
	"context"
	"crypto/tls"
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
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// foreseer says what would become of a client's request, by the guard's own steps on one that is
// not made.
type foreseer struct {
	file     *config.File
	guard    *pavise.Guard
	lookup   shield.Lookup
	registry *client.Registry
	now      clock
}

// Foresee says what the gateway that runs would do with a request, at this moment or at another.
func (a *App) Foresee(ctx context.Context, q admin.WhatIf) (admin.Answer, error) {
	g := a.enter()
	defer g.leave()
	if !q.At.IsZero() {
		return foreseeResting(ctx, g.file, a.State, a.now, q)
	}
	return foreseer{g.file, g.guard, a.lookup, a.State.Registry, a.now}.answer(ctx, q)
}

// foreseeResting foresees with a guard of its own: of a configuration that nobody serves, or at
// another time. What the one that serves has counted is not known to it.
func foreseeResting(ctx context.Context, f *config.File, s *State, now clock, q admin.WhatIf) (admin.Answer, error) {
	if !q.At.IsZero() {
		at := q.At
		now = func() time.Time { return at }
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := resting(ctx, s, now)
	g := &generation{file: f, files: &files{dir: f.Dir}, now: now}
	defer g.close()
	if err := a.judging(f, g); err != nil {
		return admin.Answer{}, fmt.Errorf("put the configuration together: %w", err)
	}
	answer, err := foreseer{f, g.guard, a.lookup, s.Registry, now}.answer(ctx, q)
	if err == nil {
		answer.At = q.At
		answer.Unknown = append(answer.Unknown, "what the gateway has counted: rates, places and wrong tries are told as if nothing had been")
	}
	return answer, err
}

// maxWays bounds how many sets of the client's credentials are tried.
const maxWays = 32

func (f foreseer) answer(ctx context.Context, q admin.WhatIf) (admin.Answer, error) {
	p, err := admin.Prospective(ctx, f.file, f.registry, f.now(), q)
	if err != nil {
		return admin.Answer{}, err
	}
	r, given, err := f.request(ctx, &p, q)
	if err != nil {
		return admin.Answer{}, err
	}
	ways := p.Ways[:min(len(p.Ways), maxWays)]
	if len(ways) == 0 {
		ways = [][]client.Credential{nil}
	}
	var best pavise.Foreseen
	var held []client.Credential
	for i, way := range ways {
		imagined := given
		imagined.Unknown |= tokenReads(way)
		imagined.Shield = func(string, string) shield.Shield { return f.pretend(&p, way, given.Unknown) }
		if found := f.guard.Foresee(r, imagined); i == 0 || isBetter(&found, &best) {
			best, held = found, way
		}
		if best.Refusal == nil && best.Open == nil {
			break
		}
	}
	return f.told(&p, q, &best, held), nil
}

// isBetter reports whether a request came further than another.
func isBetter(a, b *pavise.Foreseen) bool {
	if (a.Refusal == nil) != (b.Refusal == nil) {
		return a.Refusal == nil
	}
	return len(a.Steps) > len(b.Steps)
}

// tokenReads says what is not known where a credential is a token or a certificate, which tells more
// than its record.
func tokenReads(way []client.Credential) pavise.Reads {
	for _, c := range way {
		if c.Kind != "api_key" && c.Kind != "hmac" {
			return shield.ReadsToken
		}
	}
	return 0
}

// request is the one that would be made.
func (f foreseer) request(ctx context.Context, p *admin.Prospect, q admin.WhatIf) (*http.Request, pavise.Imagined, error) {
	given := pavise.Imagined{Body: q.Body}
	if !q.HasBody && slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, q.Method) {
		given.Unknown |= shield.ReadsBody
	}
	u, err := url.ParseRequestURI(q.Path)
	if err != nil {
		return nil, given, fmt.Errorf("%.80q is no path: %w", q.Path, err)
	}
	path := q.Path
	u.Scheme, u.Host = "https", p.Host
	r := (&http.Request{Method: q.Method, URL: u, Host: p.Host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RequestURI: path}).WithContext(ctx)
	for name, values := range q.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true}
	if addr, err := netip.ParseAddr(p.Host); err != nil {
		r.TLS.ServerName = p.Host
	} else if addr.Is6() {
		r.Host = "[" + p.Host + "]"
	}
	if q.From == "" {
		given.Unknown |= shield.ReadsAddress
		return r, given, nil
	}
	addr, err := netip.ParseAddr(q.From)
	if err != nil {
		return nil, given, fmt.Errorf("%.80q is no address", q.From)
	}
	r.RemoteAddr = netip.AddrPortFrom(addr, 0).String()
	return r, given, nil
}

// pretend is the endpoint's shield as it would decide if the client sent these credentials, and
// sent them well.
func (f foreseer) pretend(p *admin.Prospect, way []client.Credential, unknown pavise.Reads) shield.Shield {
	switch {
	case p.Refused != nil:
		return says{err: &pavise.Unknowable{What: "an endpoint of Pavise's own: its shield is asked when it is called"}}
	case p.Shield.Kind == "public":
		return says{id: &shield.Identity{Shield: "public", Scopes: shield.Scopes{}}}
	case p.Owner.Disabled:
		return says{err: shield.Refuse(shield.DisabledClient, "client %s is disabled", p.Owner.ID)}
	case len(way) == 0:
		return says{err: shield.Refuse(shield.MissingCredential, "%s", p.Why)}
	}
	held := holding{f, way, unknown&shield.ReadsAddress != 0}
	s, err := pretended(p.Shield, false, held.leaf)
	if err != nil {
		return says{err: err}
	}
	return s
}

// pretended puts a shield together as the configuration does, of other parts. Parts that another
// client proves are there if actors are.
func pretended(s config.Shield, actors bool, leaf func(config.Shield) shield.Shield) (shield.Shield, error) {
	var parts []shield.Shield
	for _, part := range s.Any {
		one, err := pretended(part, actors, leaf)
		if err != nil {
			return nil, err
		}
		parts = append(parts, one)
	}
	if parts != nil {
		return shield.Any(parts...)
	}
	var all []shield.Part
	for _, part := range s.All {
		if part.Actor && !actors {
			continue
		}
		one, err := pretended(part.Shield, actors, leaf)
		if err != nil {
			return nil, err
		}
		all = append(all, shield.Part{Shield: one, Actor: part.Actor})
	}
	if all != nil {
		return shield.All(all...)
	}
	return leaf(s), nil
}

// holding is a client with some of his credentials.
type holding struct {
	foreseer
	way      []client.Credential
	anywhere bool // where the client calls from is not known
}

// leaf is a shield of one kind.
func (h holding) leaf(s config.Shield) shield.Shield {
	if s.Kind == "public" {
		return says{id: &shield.Identity{Shield: s.Kind, Scopes: shield.Scopes{}}}
	}
	at := slices.IndexFunc(h.way, func(c client.Credential) bool { return c.Kind == s.Kind })
	if at < 0 {
		return says{err: shield.Refuse(shield.Absent, "the client has no %s credential in force", s.Kind)}
	}
	return proves{h, h.way[at]}
}

// proves is a shield of which the credential is taken to be sent well.
type proves struct {
	holding
	credential client.Credential
}

// Verify implements shield.Shield.
func (p proves) Verify(r *http.Request) (*shield.Identity, error) {
	record, err := p.lookup.Credential(p.credential.Kind, p.credential.ID)
	if errors.Is(err, shield.ErrUnknown) {
		return nil, &pavise.Unknowable{What: "credential " + p.credential.ID + " is not in the snapshot yet; ask again"}
	}
	if err != nil {
		return nil, err
	}
	if p.anywhere {
		err = record.InForce(p.now())
	} else {
		err = record.Usable(p.now(), r)
	}
	if err != nil {
		return nil, err
	}
	return record.Identity(p.now()), nil
}

// says is a shield that says one thing.
type says struct {
	id  *shield.Identity
	err error
}

// Verify implements shield.Shield.
func (s says) Verify(*http.Request) (*shield.Identity, error) { return s.id, s.err }

// told puts what was foreseen into the words of the administration.
func (f foreseer) told(p *admin.Prospect, q admin.WhatIf, v *pavise.Foreseen, held []client.Credential) admin.Answer {
	a := admin.Answer{Allowed: v.Refusal == nil && v.Open == nil, API: v.API, Endpoint: v.Endpoint, Would: v.Would, Changed: v.Changed}
	if v.Endpoint != "" && p.Refused == nil {
		a.Shield = admin.Describe(p.Shield)
	}
	if v.Identity != nil {
		a.Scopes = v.Identity.Scopes
	}
	for _, s := range v.Steps {
		a.Path = append(a.Path, admin.Foreseen{Step: s.Name, Outcome: string(s.Outcome), Why: s.Why})
		if s.Outcome == pavise.Unjudged {
			a.Unknown = append(a.Unknown, s.Name+": "+s.Why)
		}
	}
	switch {
	case v.Open != nil:
		a.Why = strings.Join(v.Open, "; ")
	case v.Refusal != nil:
		a = a.Refuse(v.Step, v.Refusal.Code, v.Refusal.Detail)
		for _, field := range v.Refusal.Fields {
			a.Fields = append(a.Fields, strings.TrimSpace(field.In+" "+field.Pointer+" "+field.Rule))
		}
	case p.Shield.Kind == "public":
		a.Why = "anybody may call this endpoint"
	default:
		a.Why = "with " + strings.Join(admin.Names(held), " and ")
	}
	if len(held) > 0 && a.Allowed {
		a.Credentials = admin.Names(held)
		a.Unknown = append(a.Unknown, admin.Proofs(p.Shield, held)...)
		for _, c := range held {
			if len(c.Networks) > 0 && q.From == "" {
				a.Unknown = append(a.Unknown, "that the caller's address is in the networks of "+c.ID)
			}
			if c.Kind == "jwt" || c.Kind == "introspect" {
				a.Unknown = append(a.Unknown, "which of the client's scopes the token carries: all of them are taken for granted")
			}
		}
	}
	return a
}
