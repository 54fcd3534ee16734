package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// anyScope is what an endpoint says that demands no scope.
const anyScope = "any"

// publicKind is the shield of endpoints that anybody may call. It proves nobody,
// so that scopes cannot be demanded beside it.
const publicKind = "public"

// Namer is implemented by the settings of a kind that refer to other parts of the
// file, so that names that do not exist are found when it is read.
type Namer interface {
	// Names returns what is referred to, by the field that does: "issuer" →
	// names of issuers.
	Names() map[string][]string
}

// CertificateUser is implemented by the settings of a kind that needs the
// caller's client certificate, so that a host that never asks for one is found
// when the file is read.
type CertificateUser interface {
	UsesCertificate() bool
}

// Resolved is one endpoint with all that holds for it, inherited or its own.
type Resolved struct {
	API     string
	Hosts   []string // names of File.Hosts
	Pattern string   // "GET /v1/orders/{id}"; matches HEAD too
	Method  string
	Path    string

	Shield      *Shield       // never nil
	Scopes      shield.Scopes // all are demanded; empty if Any
	Any         bool          // no scope is demanded
	Limits      []limit.Limit // the API's, then its own; each has a name
	Quotas      []limit.Quota // likewise
	Concurrency int           // of one client, at the API; 0: unlimited
	Own         Places        // the endpoint's own
	Priority    string        // low, normal or high
	Origins     []string      // whose scripts may call
	MaxBody     int64         // bytes
	Timeout     time.Duration // until the upstream's answer begins
	When        string        // a Cedar condition; empty: none
	Audit       string        // local or required
	Schema      *BodySchema   // the schema of its bodies; nil: none
	OpenAPI     *OpenAPI      // the description to which requests are held; nil: none
	GraphQL     *GraphQL      // what a request in GraphQL may ask for; nil: it speaks none
	Sanitise    []Sanitise    // the API's, then its own
	OwnSanitise int           // how many of these, at the end, are its own
	Trials      []Trial       // layers that are only recorded, the endpoint's own first
	Injection   *Injection    // injections that are looked for; nil: none
	Candidate   *Candidate    // what is tried beside; nil: nothing
	Idempotency *Idempotency  // nil: Idempotency-Key means nothing
	Step        *FlowStep     // of a flow; nil: none
	Responses   *Responses    // how answers are judged; nil: they pass

	Pos       Pos // of the pattern
	ShieldPos Pos // of the shield, where it was written
	WhenPos   Pos
}

// Places are how many requests may be under way at once; 0: unlimited.
type Places struct{ Client, All int }

// Resolve flattens inheritance: one description for each endpoint, ordered by API
// and pattern. The error is [Problems]; a File that [Load] returned has none.
func (f *File) Resolve() ([]Resolved, error) {
	all, problems := f.resolve()
	if len(problems) > 0 {
		return nil, problems.sorted(f.Path)
	}
	return all, nil
}

func (f *File) resolve() ([]Resolved, Problems) {
	r := &resolver{file: f, names: map[string]int{}}
	r.checkPatterns()
	var all []Resolved
	for _, name := range sortedKeys(f.APIs) {
		api := f.APIs[name]
		shared, sharedQuotas := r.name(name, "", api.Limit), r.nameQuotas(name, "", api.Quota)
		r.checkFloods("apis."+name, nil, api.Quota, api.Concurrency, api.Together)
		if api.Shield != nil {
			r.checkShield("apis."+name+".shield", &api, *api.Shield)
		}
		if isPublic(api.Shield) && len(api.Scopes) > 0 && api.Scopes[0] != anyScope {
			r.at("apis."+name+".scopes", "remove the scopes, or name another shield", "who calls a public endpoint has no scopes")
		}
		r.checkNamed("apis."+name+".scopes", api.Scopes)
		r.checkTrials("apis."+name, api.Trials, api.Candidate)
		first := len(all)
		r.checkSanitise("apis."+name, api.Sanitise, api.OpenAPI, nil)
		r.checkInjection("apis."+name+".injection", api.Injection)
		r.checkRecorded("apis."+name+".events", &api)
		r.checkResponses("apis."+name, api.Responses, api.OpenAPI != nil)
		for _, pattern := range sortedKeys(api.Endpoints) {
			e := r.endpoint(name, &api, pattern, api.Endpoints[pattern])
			e.Limits = slices.Concat(shared, r.name(name, pattern, api.Endpoints[pattern].Limit))
			e.Quotas = slices.Concat(inherited(sharedQuotas, e.Shield), r.nameQuotas(name, pattern, api.Endpoints[pattern].Quota))
			all = append(all, e)
		}
		r.checkFlows(name, &api, all[first:])
		r.checkIdentity(name, &api, all[first:])
	}
	return all, r.problems
}

// resolver gathers endpoints and what is wrong with them.
type resolver struct {
	file     *File
	names    map[string]int // limits by name
	problems Problems
}

func (r *resolver) at(path, hint, format string, args ...any) {
	r.problems = append(r.problems, r.file.places.problem(path, hint, format, args...))
}

// atKey is about a name, not about what stands behind it.
func (r *resolver) atKey(path, hint, format string, args ...any) {
	r.problems = append(r.problems, r.file.places.ofKey(path, hint, format, args...))
}

func (r *resolver) endpoint(name string, api *API, pattern string, e Endpoint) Resolved {
	path := "apis." + name + ".endpoints." + pattern
	method, route, _ := strings.Cut(pattern, " ")
	resolved := Resolved{
		API: name, Hosts: api.Host, Pattern: pattern, Method: method, Path: route,
		Concurrency: api.Concurrency, Origins: api.CORS, MaxBody: int64(api.MaxBody), Timeout: api.Timeout.Duration,
		When: e.When, Audit: api.Audit, Pos: e.Pos, WhenPos: e.Pos,
		Own: Places{e.Concurrency, e.Together}, Priority: cmp.Or(e.Priority, api.Priority),
	}
	if e.Outside == "" {
		resolved.OpenAPI = api.OpenAPI
	}
	if resolved.Schema = e.Schema; e.Schema != nil && resolved.OpenAPI != nil {
		r.atKey(path+".body_schema", "put the schema into the document, or say with insecure_undescribed why the endpoint is not in it", "the API's description says already what bodies hold")
	}
	r.checkTrials(path, e.Trials, e.Candidate)
	r.checkSanitise(path, e.Sanitise, resolved.OpenAPI, e.Schema)
	r.checkGraphQL(path, method, e.GraphQL)
	resolved.GraphQL = e.GraphQL
	resolved.Sanitise, resolved.OwnSanitise = slices.Concat(api.Sanitise, e.Sanitise), len(e.Sanitise)
	r.checkResponses(path, e.Responses, resolved.OpenAPI != nil)
	resolved.Responses = cmp.Or(e.Responses, api.Responses)
	resolved.Trials = slices.Concat(e.Trials, api.Trials)
	r.checkInjection(path+".injection", e.Injection)
	resolved.Injection = cmp.Or(e.Injection.withRuleSet(api.Injection), api.Injection).inForce()
	resolved.Candidate = cmp.Or(e.Candidate, api.Candidate)
	if e.MaxBody > 0 {
		resolved.MaxBody = int64(e.MaxBody)
	}
	if e.Timeout.Duration > 0 {
		resolved.Timeout = e.Timeout.Duration
	}
	if at, ok := r.file.places[path+".when"]; ok {
		resolved.WhenPos = at.value
	}
	resolved.Shield, resolved.Scopes, resolved.Any = api.Effective(e)
	if resolved.Shield == nil {
		r.atKey(path, "give it or its API a shield; {public: why} if everybody may call", "the endpoint has no shield")
		return resolved
	}
	resolved.ShieldPos = resolved.Shield.Pos
	if e.Shield != nil {
		r.checkShield(path+".shield", api, *e.Shield)
	}
	r.checkAccess(path, api, e, resolved.Shield)
	r.checkFloods(path, resolved.Shield, e.Quota, e.Concurrency, e.Together)
	resolved.Idempotency = e.Idempotency
	r.checkIdempotency(path, &resolved)
	return resolved
}

// checkAccess holds that access is stated, never implied.
func (r *resolver) checkAccess(path string, api *API, e Endpoint, s *Shield) {
	r.checkNamed(path+".scopes", e.Scopes)
	switch {
	case isPublic(s) && len(e.Scopes) > 0 && e.Scopes[0] != anyScope:
		r.at(path+".scopes", "remove the scopes, or name another shield", "who calls a public endpoint has no scopes")
	case !isPublic(s) && len(e.Scopes) == 0 && len(api.Scopes) == 0:
		r.atKey(path, "name scopes: [orders:read], or say scopes: any", "which scopes are demanded is not stated")
	}
}

func isPublic(s *Shield) bool { return s != nil && s.Kind == publicKind }

// checkNamed refuses scopes that nobody described.
func (r *resolver) checkNamed(path string, scopes Words) {
	known := sortedKeys(r.file.Scopes)
	each(path, scopes, func(own, word string) {
		if _, ok := r.file.places[own]; !ok {
			own = path
		}
		switch _, ok := r.file.Scopes[word]; {
		case word == anyScope && len(scopes) > 1:
			r.at(own, "write scopes: any alone, or name the scopes", "any demands no scope, and others stand beside it")
		case word != anyScope && !ok:
			r.at(own, didYouMean(word, known, "describe it under scopes"), "scope %q is not described under scopes", word)
		}
	})
}

// checkShield looks at what a shield refers to, and at combinations that cannot
// work.
func (r *resolver) checkShield(path string, api *API, s Shield) {
	for i := range s.Any {
		own := fmt.Sprintf("%s.any.%d", path, i)
		if isPublic(&s.Any[i]) && i < len(s.Any)-1 {
			r.at(own, "put public last, or remove it", "public accepts everybody, so that the shields behind it are never asked")
		}
		r.checkShield(own, api, s.Any[i])
	}
	for i := range s.All {
		own := fmt.Sprintf("%s.all.%d", path, i)
		if isPublic(&s.All[i].Shield) {
			r.at(own, "remove it", "public proves nobody, so that it cannot belong to the client of the others")
		}
		if s.All[i].Actor && i == 0 {
			r.at(own+".actor", "put another shield first", "the first shield of an all is the primary one and cannot be an actor")
		}
		r.checkShield(own, api, s.All[i].Shield)
	}
	r.checkSettings(join(path, s.Kind), api, s)
}

func (r *resolver) checkSettings(path string, api *API, s Shield) {
	if namer, ok := s.Config.(Namer); ok {
		for field, names := range namer.Names() {
			r.checkIssuers(path, field, names)
		}
	}
	if user, ok := s.Config.(CertificateUser); !ok || !user.UsesCertificate() || len(r.file.Proxies.Terminators) > 0 {
		return
	}
	for _, host := range api.Host {
		if h, ok := r.file.Hosts[host]; ok && h.ClientCertificates == "never" {
			r.at(path, fmt.Sprintf("write hosts: {%s: {client_certificates: ask}}", host), "%s needs a client certificate, and the host %s never asks for one", s.Kind, host)
		}
	}
}

func (r *resolver) checkIssuers(path, field string, names []string) {
	if field != "issuer" {
		return
	}
	known := sortedKeys(r.file.Issuers)
	each(join(path, field), names, func(own, word string) {
		if _, ok := r.file.Issuers[word]; ok || word == "" || word == OwnIssuer && r.file.OAuth.Issuer != "" {
			return
		}
		if word == OwnIssuer {
			r.at(path, "name an issuer: jwt: corp; or switch on oauth: {issuer: https://…}", "no issuer is named, and there is no authorization server of this installation's own")
			return
		}
		if _, ok := r.file.places[own]; !ok {
			own = join(path, field)
		}
		r.at(own, didYouMean(word, known, "name it under issuers"), "issuer %q is not named under issuers", word)
	})
}

// Effective is the shield and the scopes that hold for an endpoint of the API: its
// own, else the API's. A public endpoint demands no scopes. Where nothing is
// stated, which [Load] refuses, any is false and no scopes are returned.
func (a *API) Effective(e Endpoint) (s *Shield, scopes shield.Scopes, any bool) {
	s = a.Shield
	if e.Shield != nil {
		s = e.Shield
	}
	words := a.Scopes
	if len(e.Scopes) > 0 {
		words = e.Scopes
	}
	switch {
	case isPublic(s) || len(words) == 1 && words[0] == anyScope:
		return s, nil, true
	case len(words) == 0:
		return s, nil, false
	}
	return s, shield.Scopes(words), false
}

var notInNames = strings.NewReplacer("{", "", "}", "", "...", "", "$", "", " ", "-", "/", "-", ".", "-", "_", "-", "%", "-")

// name gives limits the names under which they are counted and shown: those of an
// API count for all its endpoints together, an endpoint's own for it alone.
func (r *resolver) name(api, pattern string, limits []Limit) []limit.Limit {
	named := make([]limit.Limit, 0, len(limits))
	for _, l := range limits {
		one := l.Limit
		one.Name = r.unique(limitName(api, pattern, string(l.Per)))
		named = append(named, one)
	}
	return named
}

func limitName(api, pattern string, rest ...string) string {
	words := append([]string{api, strings.ToLower(notInNames.Replace(pattern))}, rest...)
	base := strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), "-")
	for strings.Contains(base, "--") {
		base = strings.ReplaceAll(base, "--", "-")
	}
	return base
}

// unique adds a number to a name that was given before.
func (r *resolver) unique(base string) string {
	if r.names[base]++; r.names[base] > 1 {
		return fmt.Sprintf("%s-%d", base, r.names[base])
	}
	return base
}
