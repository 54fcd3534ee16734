package against

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/hmac"
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
				if _, _, err := d.try(c); err != nil {
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
					proofs: sent.proofs, tenant: sent.tenant, respect: "plain", keyed: writes(e.Method), note: body.note,
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
	proofs []proof
	tenant string
}

// callers are those who could send a plain one: of any tenant that a condition names.
func (d *differ) callers(f *config.File, e *config.Resolved) (all []caller) {
	tenants := append([]string{"north"}, literals(d.older, d.newer, e)...)
	for _, proofs := range d.waysOf(f, e) {
		for _, tenant := range tenants {
			all = append(all, caller{proofs, tenant})
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
			if _, _, err := d.try(c); err != nil {
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
			if kind := d.proofsOf(f, e.API, leaf); len(kind) > 0 {
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

// ways are the sets of proofs that satisfy a shield.
func ways(s *config.Shield) (all [][]*config.Shield) {
	switch {
	case len(s.Any) > 0:
		for i := range s.Any {
			all = append(all, ways(&s.Any[i])...)
		}
	case len(s.All) > 0:
		all = [][]*config.Shield{nil}
		for i := range s.All {
			var longer [][]*config.Shield
			for _, before := range all {
				for _, part := range ways(&s.All[i].Shield) {
					longer = append(longer, slices.Concat(before, part))
				}
			}
			all = longer
		}
	default:
		all = [][]*config.Shield{{s}}
	}
	return all[:min(len(all), maxWays)]
}

// candidates vary a plain request in each respect, one at a time, by each way in; other is the
// endpoint of the other configuration that it is compared with, nil: there is none.
func (d *differ) candidates(s *policy, e, other *config.Resolved, base *call) (all []*call) {
	all = append(all, base, base.with("plain", base.note, func(c *call) { c.proofs, c.scopes = []proof{nobody()}, nil }))
	for _, proofs := range d.waysOf(s.file, e) {
		all = append(all, base.with("credential", base.note, func(c *call) { c.proofs = proofs }))
	}
	for _, in := range d.waysIn(s.file, e, base) {
		all = append(all, d.facets(s, e, other, in)...)
	}
	return append(all, d.atTheDoor(s, e, base)...)
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

// facets vary all of a request but its credentials.
func (d *differ) facets(s *policy, e, other *config.Resolved, base *call) (all []*call) {
	for _, scopes := range scopesOf(e, other) {
		all = append(all, base.with("scopes", base.note, func(c *call) { c.scopes = scopes }))
	}
	bodies := d.bodies(s.file, e)
	if other != nil {
		bodies = append(bodies, d.bodies(d.other(s).file, other)...)
	}
	for _, body := range bodies {
		all = append(all, base.with("body", body.note, func(c *call) { c.query, c.body, c.media = body.query, body.text, body.media }))
	}
	if writes(e.Method) {
		for _, size := range sizesOf(e, other) {
			all = append(all, base.with("size", fmt.Sprintf("with a body of %s", config.Size(size)), func(c *call) { c.length = size }))
		}
		all = append(all, base.with("key", "without an Idempotency-Key", func(c *call) { c.keyed = false }))
	}
	for _, text := range literals(d.older, d.newer, e) {
		all = append(all, base.with("tenant", "of the tenant "+text, func(c *call) { c.tenant = text }))
	}
	return all
}

// sizesOf are the bounds of bodies: of the two endpoints, and of what their shields sign.
func sizesOf(e, other *config.Resolved) (all []int64) {
	for _, side := range []*config.Resolved{e, other} {
		if side == nil {
			continue
		}
		all = append(all, side.MaxBody)
		for _, leaves := range ways(side.Shield) {
			for _, leaf := range leaves {
				if c, signs := leaf.Config.(*hmac.Config); signs {
					all = append(all, min(c.MaxBody, side.MaxBody))
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
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

// scopesOf are the scopes that a caller may have: those of the other configuration, none, each
// alone, all but each.
func scopesOf(e, other *config.Resolved) (all []shield.Scopes) {
	all = append(all, shield.Scopes{})
	demanded := slices.Clone(e.Scopes)
	if other != nil {
		all = append(all, slices.Clone(other.Scopes))
		for _, scope := range other.Scopes {
			if !demanded.Has(scope) {
				demanded = append(demanded, scope)
			}
		}
	}
	for i := range demanded {
		all = append(all, shield.Scopes{demanded[i]}, slices.Delete(slices.Clone(demanded), i, i+1))
	}
	if len(demanded) > 0 {
		all = append(all, demanded)
	}
	return all
}

var quoted = regexp.MustCompile(`"([^"\\]{1,64})"`)

// literals are the texts of conditions, which tenants may be compared with.
func literals(older, newer *policy, e *config.Resolved) (all []string) {
	for _, s := range []*policy{older, newer} {
		for i := range s.endpoints {
			if o := &s.endpoints[i]; o.Pattern == e.Pattern && o.When != "" {
				for _, m := range quoted.FindAllStringSubmatch(o.When, 8) {
					if !slices.Contains(all, m[1]) {
						all = append(all, m[1])
					}
				}
			}
		}
	}
	return all
}

// atTheDoor are requests that only a lenient door lets in, and the questions of browsers.
func (d *differ) atTheDoor(s *policy, e *config.Resolved, base *call) (all []*call) {
	for _, origin := range e.Origins {
		all = append(all, base.with("origin", "a browser's question, for "+origin, func(c *call) {
			c.method, c.body, c.media, c.length, c.keyed, c.proofs, c.scopes = http.MethodOptions, nil, "", 0, false, []proof{nobody()}, nil
			c.header["Origin"], c.header["Access-Control-Request-Method"] = origin, e.Method
		}))
	}
	for _, allowed := range s.file.APIs[e.API].Allow {
		switch allowed.What {
		case "encoded_slash":
			if strings.Contains(e.Path, "{") {
				all = append(all, base.with("encoded_slash", "with an escaped slash in the path", func(c *call) { c.path = pathOf(e.Path, "a%2Fb") }))
			}
		case "semicolon":
			if strings.Contains(e.Path, "{") {
				all = append(all, base.with("semicolon", "with a semicolon in the path", func(c *call) { c.path = pathOf(e.Path, "a;b=c") }))
			}
		case "method_parameter":
			if e.Method == http.MethodPost {
				all = append(all, base.with("method_parameter", "with a parameter that names the method", func(c *call) { c.query = joined(c.query, "_method=DELETE") }))
			}
		case "underscore_headers":
			all = append(all, base.with("underscore_headers", "with an underscore in the name of a header", func(c *call) { c.header["X_user"] = "1" }))
		}
	}
	return all
}

// most is how many requests in a row are tried.
const most = 5000

// rates compares how many requests of one caller pass in a row.
func (d *differ) rates(s *policy, e *config.Resolved, base *call) error {
	other := d.counterpart(s, e)
	if other == nil || s == d.older || sameRates(e, other) {
		return nil
	}
	enough := 1 // more than the tighter of the two lets through
	for _, side := range []*config.Resolved{e, other} {
		for _, one := range side.Limits {
			enough = max(enough, one.Rate.Count+1)
		}
		for _, one := range side.Quotas {
			enough = max(enough, one.Count+1)
		}
	}
	for _, apart := range []bool{true, false} {
		var passed [2]int
		for i, side := range []*policy{d.older, d.newer} {
			n := 0
			c := base.with("rate", "", func(c *call) { c.name = "client-of-many" })
			if !apart {
				c.network = addressOf(1)
			}
			var err error
			passed[i], err = side.guard.Repeat(func() (*http.Request, error) {
				n++
				return d.make(side, c)
			}, min(enough, most))
			if err != nil {
				return err
			}
			d.result.Tried += n
		}
		if passed[0] == 0 || passed[1] == 0 || passed[0] == passed[1] {
			continue
		}
		note := fmt.Sprintf("%d times in a row", min(passed[0], passed[1])+1)
		c := base.with("rate", note, func(*call) {})
		refused := usedUp(e, other, min(passed[0], passed[1]))
		if passed[1] > passed[0] {
			d.door(&d.result.Opened, c, Decision{API: e.API, Endpoint: e.Pattern}, refused, "opened")
		} else {
			d.door(&d.result.Closed, c, Decision{API: e.API, Endpoint: e.Pattern}, refused, "closed")
		}
	}
	return nil
}

// usedUp is how the tighter of the two refuses what comes after so many requests.
func usedUp(e, other *config.Resolved, passed int) Decision {
	d := Decision{Status: http.StatusTooManyRequests, Code: string(shield.RateLimited), Step: "admit"}
	for _, side := range []*config.Resolved{e, other} {
		if slices.ContainsFunc(side.Limits, func(l limit.Limit) bool { return l.Rate.Count == passed }) {
			return d
		}
	}
	for _, side := range []*config.Resolved{e, other} {
		if slices.ContainsFunc(side.Quotas, func(q limit.Quota) bool { return q.Count == passed }) {
			d.Code = string(shield.QuotaExceeded)
		}
	}
	return d
}

func sameRates(a, b *config.Resolved) bool {
	return slices.EqualFunc(a.Limits, b.Limits, func(x, y limit.Limit) bool { return x.String() == y.String() }) &&
		slices.EqualFunc(a.Quotas, b.Quotas, func(x, y limit.Quota) bool { return x.String() == y.String() })
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
