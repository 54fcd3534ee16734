package app

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	explained "pavise.dev/pavise/internal/explain"
	"pavise.dev/pavise/shield"
)

// Known is what the registry knows of clients and their credentials.
type Known struct {
	clients     map[string]client.Client
	credentials map[string]shield.Scopes // by kind and id: what they grant
}

// NewKnown gathers clients and credentials.
func NewKnown(clients []client.Client, credentials []client.Credential) *Known {
	k := &Known{clients: map[string]client.Client{}, credentials: map[string]shield.Scopes{}}
	for _, c := range clients {
		k.clients[c.ID] = c
	}
	for _, c := range credentials {
		scopes := k.clients[c.Client].Scopes
		if len(c.Scopes) > 0 {
			scopes = scopes.Intersect(c.Scopes)
		}
		k.credentials[c.Kind+"\x00"+c.ID] = scopes
	}
	return k
}

// Replay judges recorded requests by a configuration, as far as events tell of them: with the guard's
// own steps, and callers that have proved what they had proved. Nothing is opened, listened to, fetched
// or written. It is for one goroutine.
type Replay struct {
	guard  *pavise.Guard
	now    time.Time // of the request that is judged
	base   *replayed // what the events were judged by
	own    *replayed
	issued bool // issuers, or keys of ours, are set otherwise than in base
	known  *Known
	pairs  map[[2]*config.Resolved]*pair

	connections map[string]*tls.ConnectionState // by the server's name; nobody changes them
}

// replayed is a configuration with its endpoints.
type replayed struct {
	file      *config.File
	endpoints map[[2]string]*config.Resolved
}

func endpointsIn(f *config.File) (*replayed, error) {
	all, err := f.Resolve()
	if err != nil {
		return nil, err
	}
	r := &replayed{f, map[[2]string]*config.Resolved{}}
	for i := range all {
		r.endpoints[[2]string{all[i].API, all[i].Pattern}] = &all[i]
	}
	return r, nil
}

// OpenReplay makes the judge of a configuration. base is the one that events were judged by.
func OpenReplay(f, base *config.File, known *Known) (*Replay, error) {
	r := &Replay{now: time.Now(), known: known, pairs: map[[2]*config.Resolved]*pair{}, connections: map[string]*tls.ConnectionState{}}
	var err error
	if r.own, err = endpointsIn(f); err != nil {
		return nil, err
	}
	if r.base, err = endpointsIn(base); err != nil {
		return nil, err
	}
	r.issued = f != base && slices.ContainsFunc(config.Diff(base, f), func(c config.Change) bool {
		return strings.HasPrefix(c.Path, "issuers") || strings.HasPrefix(c.Path, "oauth")
	})
	_, policy, err := unopenedAt(f, func() time.Time { return r.now })
	if err != nil {
		return nil, err
	}
	uncounted(&policy)
	r.guard, err = pavise.New(policy)
	return r, err
}

// uncounted takes away what only a gateway that runs can count.
func uncounted(p *pavise.Policy) {
	p.PerAddress, p.Tries, p.Load, p.Blocks, p.Holds = nil, nil, nil, nil, nil
	for i := range p.APIs {
		for j := range p.APIs[i].Endpoints {
			e := &p.APIs[i].Endpoints[j]
			e.Limits, e.Quotas, e.Concurrency, e.Candidates, e.Flow = nil, nil, nil, nil, nil
		}
	}
}

// Judge implements explained.Judge.
func (r *Replay) Judge(e *audit.Event) explained.Judgement {
	r.now = e.Time
	request, why := r.recorded(e)
	if why != "" {
		return explained.Judgement{Open: why}
	}
	c := &caller{replay: r, event: e, base: r.base.endpoints[[2]string{e.API, e.Endpoint}]}
	given := pavise.Imagined{Unknown: shield.ReadsInput, Shield: c.shield}
	if e.Shield != "api_key" && e.Shield != "hmac" && e.Shield != "public" {
		given.Unknown |= shield.ReadsToken
	}
	f := r.guard.Foresee(request, given)
	j := explained.Judgement{Passes: f.Refusal == nil, API: f.API, Endpoint: f.Endpoint}
	if len(f.Open) > 0 {
		j.Open = f.Open[0]
		return j
	}
	for _, s := range f.Steps {
		if s.Outcome == pavise.Unjudged {
			j.Unjudged = append(j.Unjudged, s.Name)
		}
	}
	if f.Refusal != nil {
		j.Step, j.Code, j.Why = f.Step, string(f.Refusal.Code), f.Refusal.Detail
		if f.Refusal.Code == shield.InsufficientScope && !c.surelyLacks(f.Missing) {
			j.Open = "which scopes a token carried is not recorded"
		}
		j.NotConfigured = f.Endpoint == "" && e.Endpoint != "" && c.base == nil
		return j
	}
	p := r.pair(r.own.endpoints[[2]string{f.API, f.Endpoint}], c.base)
	for _, name := range j.Unjudged {
		if p.differs[name] {
			j.Differs = append(j.Differs, name)
		}
	}
	j.LimitsDiffer = p.limits
	return j
}

// recorded is the request of an event, as far as it is recorded; why it cannot be one.
func (r *Replay) recorded(e *audit.Event) (q *http.Request, why string) {
	switch {
	case strings.Contains(e.Path, "…") || strings.Contains(e.Host, "…"):
		return nil, "its path or host was too long to be recorded whole"
	case e.Endpoint == "" && strings.Contains(e.Path, "*"):
		return nil, "parts of its path are hidden, and it reached no endpoint"
	}
	u, err := url.ParseRequestURI(e.Path)
	if err != nil || e.Method == "" {
		return nil, "its path cannot be read"
	}
	q = &http.Request{Method: e.Method, URL: u, Host: e.Host, Header: http.Header{}, Proto: e.Proto, RequestURI: e.Path, RemoteAddr: netip.AddrPortFrom(e.Remote.Addr(), e.Remote.Port()).String()}
	if e.TLS != "" {
		q.TLS = r.connection(e.SNI)
	}
	return q, ""
}

// maxConnections bounds how many names of servers are kept.
const maxConnections = 1024

func (r *Replay) connection(name string) *tls.ConnectionState {
	known := r.connections[name]
	if known == nil {
		if len(r.connections) >= maxConnections {
			clear(r.connections)
		}
		known = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: name}
		r.connections[name] = known
	}
	return known
}

// pair is an endpoint of a configuration beside the one that a request was judged by.
type pair struct {
	same    bool            // their shields are alike
	kinds   map[string]bool // of shields whose settings are alike
	differs map[string]bool // steps that are set otherwise
	limits  bool            // rates, quotas or places are
}

// pair compares two endpoints, once. Either may be nil.
func (r *Replay) pair(own, base *config.Resolved) *pair {
	key := [2]*config.Resolved{own, base}
	if known := r.pairs[key]; known != nil {
		return known
	}
	p := &pair{kinds: map[string]bool{}, differs: map[string]bool{}}
	r.pairs[key] = p
	if own == nil || base == nil {
		for _, step := range []string{"sanitise", "validate", "policy", "harm"} {
			p.differs[step] = own != base
		}
		return p
	}
	p.same = !r.issued && sameSettings(own.Shield, base.Shield)
	for _, leaf := range leaves(*own.Shield) {
		for _, before := range leaves(*base.Shield) {
			if leaf.Kind == before.Kind && sameSettings(leaf.Config, before.Config) {
				p.kinds[leaf.Kind] = !r.issued || leaf.Kind != "jwt" && leaf.Kind != "introspect"
			}
		}
	}
	p.differs["sanitise"] = !sameSettings(own.Sanitise, base.Sanitise)
	p.differs["validate"] = !sameSettings(own.OpenAPI, base.OpenAPI) || !sameSettings(own.Schema, base.Schema) || !sameSettings(own.GraphQL, base.GraphQL) || !r.sameTexts(descriptions(own), descriptions(base))
	p.differs["policy"] = own.When != base.When || !r.sameTexts(r.own.file.Policies, r.base.file.Policies)
	p.differs["harm"] = !sameSettings(own.Injection, base.Injection)
	p.limits = !sameSettings(own.Limits, base.Limits) || !sameSettings(own.Quotas, base.Quotas) || own.Concurrency != base.Concurrency || own.Own != base.Own
	return p
}

// descriptions are the files that describe an endpoint's requests.
func descriptions(e *config.Resolved) (names []string) {
	if e.OpenAPI != nil {
		names = append(names, e.OpenAPI.File)
	}
	if e.Schema != nil {
		names = append(names, e.Schema.File)
	}
	return names
}

// sameTexts reports whether two lists of files, each of its configuration, say the same.
func (r *Replay) sameTexts(own, base []string) bool {
	return slices.EqualFunc(own, base, func(a, b string) bool {
		if r.own.file.Abs(a) == r.base.file.Abs(b) {
			return true
		}
		one, err := os.ReadFile(r.own.file.Abs(a))
		if err != nil {
			return false
		}
		other, err := os.ReadFile(r.base.file.Abs(b))
		return err == nil && bytes.Equal(one, other)
	})
}

// leaves are the parts of a shield that are of one kind.
func leaves(s config.Shield) (all []config.Shield) {
	for _, part := range s.Any {
		all = append(all, leaves(part)...)
	}
	for _, part := range s.All {
		all = append(all, leaves(part.Shield)...)
	}
	if s.Kind != "" {
		all = append(all, s)
	}
	return all
}

// sameSettings compares settings, wherever in a file they are written.
func sameSettings(a, b any) bool { return sameValues(reflect.ValueOf(a), reflect.ValueOf(b)) }

func sameValues(a, b reflect.Value) bool {
	if !a.IsValid() || !b.IsValid() {
		return a.IsValid() == b.IsValid()
	}
	if a.Type() != b.Type() {
		return false
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return sameValues(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if a.Field(i).Type() != reflect.TypeFor[config.Pos]() && !sameValues(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !sameValues(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for _, key := range a.MapKeys() {
			if !sameValues(a.MapIndex(key), b.MapIndex(key)) {
				return false
			}
		}
		return true
	}
	return a.Comparable() && a.Equal(b)
}

// caller is whoever sent a recorded request.
type caller struct {
	replay *Replay
	event  *audit.Event
	base   *config.Resolved // the endpoint that it reached
	client *client.Client   // nil: the registry knows none
	exact  bool             // its scopes are known, no others
}

// shield is that of an endpoint, as it would decide about the caller.
func (c *caller) shield(api, pattern string) shield.Shield {
	own := c.replay.own.endpoints[[2]string{api, pattern}]
	if own == nil {
		return says{err: &pavise.Unknowable{What: "an endpoint of Pavise's own"}}
	}
	p := c.replay.pair(own, c.base)
	e := c.event
	if e.Shield == "" && e.Step == "shield" && p.same { // refused by the very shield
		return says{err: &shield.Refusal{Code: shield.Code(e.Code), Detail: e.Detail}}
	}
	s, err := pretended(*own.Shield, true, func(leaf config.Shield) shield.Shield { return c.leaf(leaf, p) })
	if err != nil {
		return says{err: err}
	}
	return s
}

// leaf is a shield of one kind.
func (c *caller) leaf(s config.Shield, p *pair) shield.Shield {
	e := c.event
	if s.Kind == "public" {
		return says{id: &shield.Identity{Shield: s.Kind, Scopes: shield.Scopes{}}}
	}
	id := c.credential(s.Kind)
	switch {
	case id != "" && !p.kinds[s.Kind]:
		return says{err: &pavise.Unknowable{What: "the settings of shield " + s.Kind + " differ, and credentials are not recorded"}}
	case id != "":
		return says{id: c.identity(s.Kind, id)}
	case e.Shield != "" || e.Code == string(shield.MissingCredential):
		return says{err: shield.Refuse(shield.Absent, "no %s credential came with it", s.Kind)}
	case e.Step != "shield":
		return says{err: &pavise.Unknowable{What: "it was refused before anybody asked who calls, and credentials are not recorded"}}
	}
	return says{err: &pavise.Unknowable{What: "a credential that was refused meets another shield, and it is not recorded"}}
}

// credential is the id of what the caller proved by a kind; empty: nothing.
func (c *caller) credential(kind string) string {
	e := c.event
	if e.Shield == kind {
		return cmp.Or(e.CredentialID, "?")
	}
	for with := range strings.FieldsSeq(e.With) {
		if of, id, _ := strings.Cut(with, ":"); of == kind {
			return cmp.Or(id, "?")
		}
	}
	return ""
}

// identity is what the caller had proved.
func (c *caller) identity(kind, credential string) *shield.Identity {
	e := c.event
	id := &shield.Identity{
		Shield: kind, CredentialID: credential, Issuer: e.Issuer, Subject: e.Subject, Client: e.Client, User: e.User, Tenant: e.Tenant, Scopes: shield.Scopes{},
	}
	if known, ok := c.replay.known.clients[e.Client]; ok {
		c.client = &known
		id.Attributes = known.Attributes
	}
	if scopes, exact := had(e); exact {
		id.Scopes, c.exact = scopes, true
		return id
	}
	if scopes, ok := c.replay.known.credentials[kind+"\x00"+credential]; ok && kind != "jwt" && kind != "introspect" {
		id.Scopes, c.exact = scopes, true
		return id
	}
	if c.base != nil && (e.Decision == audit.Accepted || e.Step != "access") {
		id.Scopes = append(id.Scopes, c.base.Scopes...) // it was let in there
	}
	return id
}

// had reads the scopes that a refusal for scopes tells: "missing a; has b c".
func had(e *audit.Event) (shield.Scopes, bool) {
	if e.Code != string(shield.InsufficientScope) || strings.Contains(e.Detail, "…") {
		return nil, false
	}
	_, has, ok := strings.Cut(e.Detail, "; has ")
	return strings.Fields(has), ok
}

// surelyLacks reports whether the caller cannot have had all of the scopes that are missing.
func (c *caller) surelyLacks(missing shield.Scopes) bool {
	if c.exact {
		return true
	}
	return c.client != nil && len(c.client.Scopes.Missing(missing)) > 0
}
