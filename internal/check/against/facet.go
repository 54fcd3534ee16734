package against

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/hmac"
)

// facet is one respect in which a request is varied.
type facet struct {
	respect string
	note    string // what is peculiar then; empty: nothing more than before
	change  func(*call)
}

// of varies a call.
func (f facet) of(c *call) *call {
	note := f.note
	if note == "" {
		note = c.note
	}
	return c.with(f.respect, note, f.change)
}

// credentials vary with what the shield is satisfied.
func (d *differ) credentials(s *policy, e *config.Resolved) (all []facet) {
	for _, proofs := range d.waysOf(s.file, e) {
		all = append(all, facet{"credential", "", func(c *call) { c.proofs = proofs }})
	}
	return all
}

// facets vary all of a request but its credentials.
func (d *differ) facets(s *policy, e, other *config.Resolved) (all []facet) {
	for _, scopes := range scopesOf(e, other) {
		all = append(all, facet{"scopes", "", func(c *call) { c.scopes = scopes }})
	}
	bodies := d.bodies(s.file, e)
	if other != nil {
		bodies = append(bodies, d.bodies(d.other(s).file, other)...)
	}
	for _, b := range bodies {
		all = append(all, facet{"body", b.note, func(c *call) { c.query, c.body, c.media = b.query, b.text, b.media }})
	}
	if writes(e.Method) {
		for _, size := range sizesOf(e, other) {
			all = append(all, facet{"size", fmt.Sprintf("with a body of %s", config.Size(size)), func(c *call) { c.length = size }})
		}
		all = append(all, facet{"key", "without an Idempotency-Key", func(c *call) { c.keyed = false }})
	}
	conditions := d.conditions(e)
	for _, text := range tenantsOf(conditions) {
		all = append(all, facet{"tenant", "of the tenant " + text, func(c *call) { c.tenant = text }})
	}
	for _, addr := range addressesOf(conditions) {
		all = append(all, facet{"network", "from " + addr.String(), func(c *call) { c.network = from(addr) }})
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
		for _, way := range ways(side.Shield) {
			for _, p := range way {
				if c, signs := p.Config.(*hmac.Config); signs {
					all = append(all, min(c.MaxBody, side.MaxBody))
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// scopesOf are the scopes that a caller may have: those of the other configuration, none, each
// alone, all but each.
func scopesOf(e, other *config.Resolved) (all []shield.Scopes) {
	all = append(all, shield.Scopes{})
	demanded := slices.Clone(e.Scopes)
	add := func(scopes []string) {
		for _, scope := range scopes {
			if scope != "any" && !demanded.Has(scope) {
				demanded = append(demanded, scope)
			}
		}
	}
	if other != nil {
		all = append(all, slices.Clone(other.Scopes))
		add(other.Scopes)
	}
	for _, side := range []*config.Resolved{e, other} {
		if side == nil || side.GraphQL == nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(side.GraphQL.Scopes)) {
			add(side.GraphQL.Scopes[name])
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

// maxConditions bounds how much of policy files is read for what they speak of, in bytes.
const maxConditions = 256 << 10

// conditions are the texts in Cedar that decide about an endpoint, in either of the two.
func (d *differ) conditions(e *config.Resolved) (all []string) {
	for _, s := range []*policy{d.older, d.newer} {
		for i := range s.endpoints {
			if o := &s.endpoints[i]; o.Pattern == e.Pattern && o.When != "" {
				all = append(all, o.When)
			}
		}
		for _, name := range s.file.Policies {
			if text, err := os.ReadFile(s.file.Abs(name)); err == nil && len(text) <= maxConditions {
				all = append(all, string(text))
			}
		}
	}
	return all
}

var (
	quoted  = regexp.MustCompile(`"([^"\\]{1,64})"`)
	network = regexp.MustCompile(`\bip\(\s*"([0-9A-Fa-f.:/]{2,64})"\s*\)`)
)

// maxLiterals bounds how many texts of conditions are tried.
const maxLiterals = 16

// tenantsOf are the texts of conditions, which tenants may be compared with.
func tenantsOf(conditions []string) (all []string) {
	for _, text := range conditions {
		for _, m := range quoted.FindAllStringSubmatch(network.ReplaceAllString(text, ""), -1) {
			if !slices.Contains(all, m[1]) && len(all) < maxLiterals {
				all = append(all, m[1])
			}
		}
	}
	return all
}

// addressesOf are addresses in the networks that conditions speak of.
func addressesOf(conditions []string) (all []netip.Addr) {
	for _, text := range conditions {
		for _, m := range network.FindAllStringSubmatch(text, -1) {
			p, err := netip.ParsePrefix(m[1])
			if err != nil {
				addr, err := netip.ParseAddr(m[1])
				if err != nil {
					continue
				}
				p = netip.PrefixFrom(addr, addr.BitLen())
			}
			addr := p.Masked().Addr()
			if !p.IsSingleIP() {
				addr = addr.Next() // the first one is the network's own name
			}
			if !slices.Contains(all, addr) && len(all) < maxLiterals {
				all = append(all, addr)
			}
		}
	}
	return all
}

// from is an address with a port of a caller's.
func from(addr netip.Addr) string { return netip.AddrPortFrom(addr, 4000).String() }

// atTheDoor are what only a lenient door lets in.
func (d *differ) atTheDoor(s *policy, e *config.Resolved) (all []facet) {
	open := strings.Contains(e.Path, "{")
	for _, allowed := range s.file.APIs[e.API].Allow {
		switch {
		case allowed.What == "encoded_slash" && open:
			all = append(all, facet{"encoded_slash", "with an escaped slash in the path", func(c *call) { c.path = pathOf(e.Path, "a%2Fb") }})
		case allowed.What == "semicolon" && open:
			all = append(all, facet{"semicolon", "with a semicolon in the path", func(c *call) { c.path = pathOf(e.Path, "a;b=c") }})
		case allowed.What == "method_parameter" && e.Method == http.MethodPost:
			all = append(all, facet{"method_parameter", "with a parameter that names the method", func(c *call) { c.query = joined(c.query, "_method=DELETE") }})
		case allowed.What == "underscore_headers":
			all = append(all, facet{"underscore_headers", "with an underscore in the name of a header", func(c *call) { c.header["X_user"] = "1" }})
		}
	}
	return all
}

// questions are those that browsers ask before they send.
func questions(e *config.Resolved, base *call) (all []*call) {
	for _, origin := range e.Origins {
		all = append(all, base.with("origin", "a browser's question, for "+origin, func(c *call) {
			c.method, c.body, c.media, c.length, c.keyed, c.proofs, c.scopes = http.MethodOptions, nil, "", 0, false, []proof{nobody()}, nil
			c.header["Origin"], c.header["Access-Control-Request-Method"] = origin, e.Method
		}))
	}
	return all
}

// Bounds of requests that are varied in two respects: at one endpoint, and in all.
const (
	maxPairsHere = 2_000
	maxPairs     = 20_000
)

// inPairs varies requests in two respects at once where a setting differs and no door shows it:
// two facets may open one together that neither opens alone.
func (d *differ) inPairs() error {
	open := d.unexplained()
	left := maxPairs
	for _, s := range []*policy{d.newer, d.older} {
		for i := range s.endpoints {
			e := &s.endpoints[i]
			if !slices.ContainsFunc(open, func(one Difference) bool { return d.concerns(one, e) }) {
				continue
			}
			if err := d.pairs(s, e, &left); err != nil {
				return fmt.Errorf("try %s: %w", e.Pattern, err)
			}
		}
	}
	return nil
}

// concerns reports whether a difference may matter to requests to an endpoint.
func (d *differ) concerns(one Difference, e *config.Resolved) bool {
	at := d.placeOf(one.Path)
	if at.api != "" {
		return at.api == e.API && (at.pattern == "" || at.pattern == e.Pattern)
	}
	name, is := strings.CutPrefix(at.word, "issuers.")
	if !is {
		return strings.HasPrefix(at.word, "policies")
	}
	for _, way := range ways(e.Shield) {
		for _, p := range way {
			namer, ok := p.Config.(config.Namer)
			if ok && slices.Contains(namer.Names()["issuer"], name) {
				return true
			}
		}
	}
	return false
}

// pairs varies a plain request to each form of an endpoint's paths in two respects.
func (d *differ) pairs(s *policy, e *config.Resolved, left *int) error {
	other := d.counterpart(s, e)
	facets := slices.Concat(d.credentials(s, e), d.facets(s, e, other), d.atTheDoor(s, e))
	if other != nil && len(sizesOf(e, other)) == 1 { // long bodies cost most, and bound nothing here
		facets = slices.DeleteFunc(facets, func(f facet) bool { return f.respect == "size" })
	}
	here := maxPairsHere
	for _, paths := range formsOf(e.Path, d.deepest(e)) {
		base, err := d.plain(s, e, e.Hosts[0], paths)
		if err != nil {
			return err
		}
		if base == nil {
			continue
		}
		for i, one := range facets {
			for _, more := range facets[i+1:] {
				if one.respect == more.respect {
					continue
				}
				if here == 0 || *left == 0 {
					d.result.LeftOut = append(d.result.LeftOut, fmt.Sprintf("%s: not all requests that are peculiar in two respects were tried, after %d", e.Pattern, maxPairsHere-here))
					return nil
				}
				here--
				*left--
				if err := d.try(together(base, one, more)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// together varies a call in two respects.
func together(base *call, one, more facet) *call {
	c := one.of(base)
	note := c.note
	if one.note != "" && more.note != "" {
		note = c.noted(more.note)
	} else if more.note != "" {
		note = more.note
	}
	return c.with(one.respect+" and "+more.respect, note, more.change)
}
