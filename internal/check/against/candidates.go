package against

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/config"
)

// endpoint tries requests of every kind at an endpoint of one of the two, at each form of its paths.
func (d *differ) endpoint(s *policy, e *config.Resolved) error {
	for _, host := range e.Hosts {
		first := true // form that is open to anybody
		for _, paths := range formsOf(e.Path, d.deepest(e)) {
			base, err := d.plain(s, e, host, paths)
			if err != nil {
				return err
			}
			if base == nil {
				continue
			}
			for _, c := range d.candidates(s, e, d.counterpart(s, e), base) {
				if err := d.try(c); err != nil {
					return err
				}
			}
			if !first {
				continue // what follows asks about all paths at once
			}
			first = false
			if err := d.inherited(s, e, base); err != nil {
				return err
			}
			if err := d.rates(s, e, base); err != nil {
				return err
			}
			if err := d.places(s, e, base); err != nil {
				return err
			}
		}
	}
	return nil
}

// plain is a request to one of some paths that the endpoint's own policy lets through, and that
// goes to no bound; nil if none was found: the endpoint is closed to everybody.
func (d *differ) plain(s *policy, e *config.Resolved, host string, paths []string) (*call, error) {
	for _, path := range paths {
		for _, body := range d.bodies(s.file, e) {
			for _, sent := range d.callers(s.file, e) {
				c := &call{
					host: host, method: e.Method, path: path, query: body.query, body: body.text, media: body.media, header: map[string]string{}, scopes: slices.Clone(e.Scopes),
					proofs: sent.proofs, tenant: sent.tenant, network: sent.network, respect: "plain", keyed: writes(e.Method), note: body.note,
				}
				got, err := d.decide(s, c)
				if err != nil {
					return nil, err
				}
				if got.Passed && got.Endpoint == e.Pattern {
					return c, nil
				}
			}
		}
	}
	return nil, nil
}

// caller is who sends a plain request.
type caller struct {
	proofs  []proof
	tenant  string
	network string // empty: one of its own
}

// callers are those who could send a plain one: of any tenant, and from any network, that a
// condition names.
func (d *differ) callers(f *config.File, e *config.Resolved) (all []caller) {
	conditions := d.conditions(e)
	tenants := append([]string{"north"}, tenantsOf(conditions)...)
	networks := []string{""}
	for _, addr := range addressesOf(conditions) {
		networks = append(networks, from(addr))
	}
	for _, network := range networks {
		for _, proofs := range d.waysOf(f, e) {
			for _, tenant := range tenants {
				all = append(all, caller{proofs, tenant, network})
			}
		}
	}
	return all
}

func writes(method string) bool { return method != http.MethodGet && method != http.MethodDelete }

var wildcard = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}|\{\$\}`)

// pathOf is a path that a pattern matches.
func pathOf(pattern, value string) string {
	return wildcard.ReplaceAllStringFunc(pattern, func(found string) string {
		if found == "{$}" {
			return ""
		}
		return value
	})
}

// formsOf are paths that a pattern matches: for each form values of the common kinds. What a
// pattern leaves open at its end ({rest...}) has many forms: nothing, a slash at the
// end, and so many segments, up to the deepest.
func formsOf(pattern string, deepest int) (forms [][]string) {
	for _, end := range endsOf(pattern, deepest) {
		var paths []string
		for _, value := range []string{"7", "of-nothing-else", "0b8f4a52-2c6f-4a7e-9b0a-3c1d2e4f5a6b"} {
			paths = append(paths, pathOf(end, value))
		}
		forms = append(forms, slices.Compact(paths))
	}
	return forms
}

// endsOf are patterns without an open end that, together, have the forms of one.
func endsOf(pattern string, deepest int) (all []string) {
	before, open := openEnd(pattern)
	if !open {
		return []string{pattern}
	}
	for n := 1; n <= max(deepest-strings.Count(before, "/")+1, 2); n++ {
		all = append(all, before+strings.Repeat("{x}/", n-1)+"{x}")
	}
	return append(all, before, before+"{x}/")
}

// openEnd is what stands before the end of a pattern, if that end takes any number of segments.
// A slash at the end would be such an end too, which configurations may not have.
func openEnd(pattern string) (before string, open bool) {
	if !strings.HasSuffix(pattern, "...}") {
		return pattern, false
	}
	return pattern[:strings.LastIndexByte(pattern, '{')], true
}

// maxDepth bounds the segments of paths that are tried.
const maxDepth = 32

// deepest is one segment more than any pattern of the two has that could take a request from an
// endpoint with an open end: what is as deep is only let in by such an end.
func (d *differ) deepest(e *config.Resolved) (segments int) {
	before, open := openEnd(e.Path)
	if !open {
		return 0
	}
	for _, s := range []*policy{d.older, d.newer} {
		for i := range s.endpoints {
			if o := &s.endpoints[i]; o.Method == e.Method && meets(before, o.Path) {
				segments = max(segments, strings.Count(o.Path, "/")+1)
			}
		}
	}
	return min(segments, maxDepth)
}

// meets reports whether a pattern may match paths that begin as another one does.
func meets(before, pattern string) bool {
	own, others := strings.Split(before, "/"), strings.Split(pattern, "/")
	for i, word := range own[:min(len(own)-1, len(others))] { // the last one is empty
		if word != others[i] && !strings.HasPrefix(word, "{") && !strings.HasPrefix(others[i], "{") {
			return false
		}
	}
	return true
}

// inherited tries an endpoint at the paths of those that only the other configuration has: a more
// exact one that goes leaves its requests to it.
func (d *differ) inherited(s *policy, e *config.Resolved, base *call) error {
	for i := range d.other(s).endpoints {
		o := &d.other(s).endpoints[i]
		if o.Method != e.Method || !slices.Contains(o.Hosts, base.host) || s.has(o.Pattern, base.host) {
			continue
		}
		for _, paths := range formsOf(o.Path, d.deepest(o)) {
			if err := d.leftBy(s, e, o, base, paths); err != nil {
				return err
			}
		}
	}
	return nil
}

// leftBy tries an endpoint at the first of some paths that are another's, and that it answers.
func (d *differ) leftBy(s *policy, e, o *config.Resolved, base *call, paths []string) error {
	for _, path := range paths {
		at := base.with("path", "to the path of "+o.Pattern, func(c *call) { c.path, c.at = path, o.Pattern })
		got, err := d.decide(s, at)
		if err != nil {
			return err
		}
		if !got.Passed || got.Endpoint != e.Pattern {
			continue
		}
		for _, c := range d.candidates(s, e, o, at) {
			if err := d.try(c); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// has reports whether a host of the policy has a pattern.
func (s *policy) has(pattern, host string) bool {
	return slices.ContainsFunc(s.endpoints, func(e config.Resolved) bool { return e.Pattern == pattern && slices.Contains(e.Hosts, host) })
}

// waysOf are all ways to satisfy an endpoint's shield, each proof plain, and then with one of
// them using what a setting allows.
func (d *differ) waysOf(f *config.File, e *config.Resolved) (all [][]proof) {
	for _, way := range d.partsOf(f, e) {
		plain := plainly(way)
		all = append(all, plain)
		for i, kind := range way {
			for _, other := range kind[1:] {
				next := slices.Clone(plain)
				next[i] = other
				all = append(all, next)
			}
		}
	}
	return all
}

// partsOf are the ways to satisfy an endpoint's shield: for each of their parts its proofs, the
// plain one first.
func (d *differ) partsOf(f *config.File, e *config.Resolved) (all [][][]proof) {
	for _, leaves := range ways(e.Shield) {
		var way [][]proof
		for _, leaf := range leaves {
			if kind := d.proofsOf(f, e.API, leaf.Shield); len(kind) > 0 {
				way = append(way, kind)
			}
		}
		if len(way) == len(leaves) {
			all = append(all, way)
		}
	}
	return all
}

// plainly has each part of a way proved plainly.
func plainly(way [][]proof) (plain []proof) {
	for _, kind := range way {
		plain = append(plain, kind[0])
	}
	return plain
}

const maxWays = 64

// ways are the ways to satisfy a shield.
func ways(s *config.Shield) []config.Way {
	all, _ := s.Ways(maxWays)
	return all
}

// candidates vary a plain request in each respect, one at a time, by each way in; other is the
// endpoint of the other configuration that it is compared with, nil: there is none.
func (d *differ) candidates(s *policy, e, other *config.Resolved, base *call) (all []*call) {
	all = append(all, base, base.with("plain", base.note, func(c *call) { c.proofs, c.scopes = []proof{nobody()}, nil }))
	for _, f := range d.credentials(s, e) {
		all = append(all, f.of(base))
	}
	facets := d.facets(s, e, other)
	for _, in := range d.waysIn(s.file, e, base) {
		for _, f := range facets {
			all = append(all, f.of(in))
		}
	}
	for _, f := range d.atTheDoor(s, e) {
		all = append(all, f.of(base))
	}
	return append(all, questions(e, base)...)
}

// waysIn are a plain request, and those that differ from it in the way to satisfy the shield:
// what else a request may be may depend on that.
func (d *differ) waysIn(f *config.File, e *config.Resolved, base *call) []*call {
	all := []*call{base}
	for _, way := range d.partsOf(f, e) {
		in := base.with("credential", base.note, func(c *call) { c.proofs = plainly(way) })
		if !slices.ContainsFunc(all, func(c *call) bool { return c.what() == in.what() }) {
			all = append(all, in)
		}
	}
	return all
}

func nobody() proof {
	return proof{kind: "none", what: "no credential", make: func(*call) error { return nil }}
}

// counterpart is the endpoint of the other configuration with the same pattern on a host of it.
func (d *differ) counterpart(s *policy, e *config.Resolved) *config.Resolved {
	other := d.other(s)
	for i := range other.endpoints {
		o := &other.endpoints[i]
		if o.Pattern == e.Pattern && slices.ContainsFunc(o.Hosts, func(host string) bool { return slices.Contains(e.Hosts, host) }) {
			return o
		}
	}
	return nil
}

// certificatesOf are the certificates of a file.
func certificatesOf(name string) (all [][]byte) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all
		}
		if block.Type == "CERTIFICATE" {
			all = append(all, block.Bytes)
		}
	}
}

// nameOf is how an authority is called.
func nameOf(authority []byte) string {
	if c, err := x509.ParseCertificate(authority); err == nil {
		return c.Subject.String()
	}
	return "the own authority"
}
