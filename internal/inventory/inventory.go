// Package inventory lists the APIs of an installation: whose each is, for whom it is meant, what
// shields it, which contract it has, when it was last called and last audited; and what is wrong
// with the list itself: traffic to endpoints that nobody declared, endpoints that nobody calls.
//
//	inventory.go  what is listed
//	exposure.go   for whom an API is open, from listeners and shields
//	traffic.go    what the event log says: calls, and requests for what there is not
//	together.go   what strangers try, told as one
//	shape.go      paths without what differs from one object to the next
//	rules.go      findings
//	html.go       the list as a page
//
// A [Traffic] is told one event after the other, and keeps counts in bounded memory; [Make] joins
// it with a configuration. Nothing is asked over the network.
package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/config"
)

// Inventory is what there is.
type Inventory struct {
	Time   time.Time `json:"time"`
	Since  time.Time `json:"since"`           // of the traffic
	Begins time.Time `json:"begins,omitzero"` // the first event of the log in that time
	Damage string    `json:"damage,omitempty"`

	APIs    []API     `json:"apis"`
	Unknown []Unknown `json:"undeclared"` // what was asked for often, and is not there

	Audited   time.Time `json:"last_audit,omitzero"` // the last check by the schedule
	LeftOut   int       `json:"left_out,omitzero"`   // requests for more different paths than are counted, those that were asked for least
	Unlisted  int       `json:"unlisted,omitzero"`   // undeclared endpoints beyond those that are listed
	Scanned   int       `json:"scanned,omitzero"`    // requests for unknown paths by networks that try many
	uncovered bool      // the log does not reach back far enough to say that something is unused
}

// API is one of them.
type API struct {
	Name     string   `json:"name"`
	Owner    string   `json:"owner,omitempty"`
	Version  string   `json:"version,omitempty"`
	Data     []string `json:"data,omitempty"`
	Stated   string   `json:"exposure_stated,omitempty"`
	Exposure string   `json:"exposure"` // as it is: public, partner or internal
	Why      string   `json:"exposure_because"`
	Hosts    []string `json:"hosts"`
	Upstream []string `json:"upstream"`
	Contract string   `json:"contract,omitempty"` // the file of its description
	Shields  []string `json:"shields"`

	Endpoints []Endpoint `json:"endpoints"`

	Calls      int       `json:"calls"` // accepted
	Refused    int       `json:"refused"`
	LastCall   time.Time `json:"last_call,omitzero"`
	Clients    int       `json:"clients"` // that called, exactly up to a bound
	LastAudit  time.Time `json:"last_audit,omitzero"`
	LastAttack time.Time `json:"last_attack,omitzero"`
}

// Endpoint is one of an API's.
type Endpoint struct {
	Pattern    string    `json:"endpoint"`
	Shield     string    `json:"shield"`
	Public     bool      `json:"public,omitempty"`
	Scopes     []string  `json:"scopes,omitempty"`
	Contract   string    `json:"contract,omitempty"` // description or body_schema
	Deprecated string    `json:"deprecated,omitempty"`
	Sunset     time.Time `json:"sunset,omitzero"`

	Calls    int       `json:"calls"`
	Refused  int       `json:"refused"`
	Clients  int       `json:"clients"`
	LastCall time.Time `json:"last_call,omitzero"`
	InPolicy time.Time `json:"in_policy_since,omitzero"` // zero: it is not known
}

// Ending says how an operation will end, as its description has it.
type Ending struct {
	Deprecated string // "yes", or since when
	Sunset     time.Time
}

// Sources are what an inventory is made of.
type Sources struct {
	File     *config.File
	Now      time.Time
	Traffic  *Traffic
	Audited  time.Time // the last check by the schedule
	Attacked time.Time // the last attack by the schedule

	// Since is when each endpoint was put into the policy, by API and pattern with a space between; nil: it
	// is not known.
	Since map[string]time.Time

	// Describe tells what the description of an API says: its version, and how the operation of
	// an endpoint ends. nil: nothing is known.
	Describe func(from *config.OpenAPI) (version string, ends func(pattern string) Ending, err error)
}

// Make lists the APIs.
func Make(s Sources) (*Inventory, error) {
	resolved, err := s.File.Resolve()
	if err != nil {
		return nil, fmt.Errorf("resolve the configuration: %w", err)
	}
	v := &Inventory{Time: s.Now.UTC(), APIs: []API{}, Unknown: []Unknown{}, Audited: s.Audited}
	by := map[string]*API{}
	for name, api := range s.File.APIs {
		by[name] = &API{
			Name: name, Owner: api.Owner, Version: api.Version, Data: api.Data, Stated: api.Exposure, Hosts: api.Host, Upstream: api.Upstream.URL,
			Shields: []string{}, Endpoints: []Endpoint{}, LastAudit: s.Audited, LastAttack: s.Attacked,
		}
	}
	ends := map[string]func(string) Ending{}
	for name, api := range by {
		if ends[name], err = s.describe(api); err != nil {
			return nil, err
		}
	}
	for i := range resolved {
		e := &resolved[i]
		api := by[e.API]
		one := endpointOf(e, ends[e.API])
		one.InPolicy = s.Since[e.API+" "+e.Pattern]
		api.Endpoints = append(api.Endpoints, one)
		if word := shieldWord(e.Shield); !slices.Contains(api.Shields, word) {
			api.Shields = append(api.Shields, word)
		}
	}
	for _, api := range by {
		api.Exposure, api.Why = exposureOf(s.File, resolved, api.Name)
		s.Traffic.count(api)
		v.APIs = append(v.APIs, *api)
	}
	slices.SortFunc(v.APIs, func(a, b API) int { return cmp.Compare(a.Name, b.Name) })
	s.Traffic.unknown(v)
	return v, nil
}

func (s *Sources) describe(api *API) (func(string) Ending, error) {
	from := s.File.APIs[api.Name].OpenAPI
	none := func(string) Ending { return Ending{} }
	if from == nil {
		return none, nil
	}
	api.Contract = from.File
	if s.Describe == nil {
		return none, nil
	}
	version, ends, err := s.Describe(from)
	if err != nil {
		return nil, fmt.Errorf("apis.%s.openapi: %w", api.Name, err)
	}
	api.Version = cmp.Or(api.Version, version)
	return ends, nil
}

func endpointOf(e *config.Resolved, ends func(string) Ending) Endpoint {
	one := Endpoint{Pattern: e.Pattern, Shield: shieldWord(e.Shield), Public: isPublic(e.Shield), Scopes: e.Scopes}
	switch {
	case e.OpenAPI != nil:
		one.Contract = e.OpenAPI.File
		ending := ends(e.Pattern)
		one.Deprecated, one.Sunset = ending.Deprecated, ending.Sunset
	case e.Schema != nil:
		one.Contract = e.Schema.File
	}
	return one
}

// shieldWord writes a shield in a few words: "jwt", "any of jwt, api_key", "mtls and hmac".
func shieldWord(s *config.Shield) string {
	var parts []string
	switch {
	case len(s.Any) > 0:
		for i := range s.Any {
			parts = append(parts, shieldWord(&s.Any[i]))
		}
		return "any of " + strings.Join(parts, ", ")
	case len(s.All) > 0:
		for i := range s.All {
			parts = append(parts, shieldWord(&s.All[i].Shield))
		}
		return strings.Join(parts, " and ")
	}
	return s.Kind
}

func isPublic(s *config.Shield) bool { return s.Kind == "public" }
