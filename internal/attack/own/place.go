package own

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/route"
	"pavise.dev/pavise/shield"
)

// place is an endpoint, with the ways in that its shield leaves.
type place struct {
	config.Resolved
	host   *host
	target string // a path of its own
	ways   []*way
	more   bool // there are ways in that are not tried
}

func (p *place) String() string { return p.Pattern }

// isPublic reports whether anybody may call it.
func (p *place) isPublic() bool { return len(p.ways) == 1 && p.ways[0].isPublic() }

// isSafe reports whether calling it only reads.
func (p *place) isSafe() bool { return p.Method == http.MethodGet || p.Method == http.MethodHead }

// changes is what a request that comes through to the service may do.
func (p *place) changes() attack.Demand {
	switch {
	case p.isSafe():
		return 0
	case p.Method == http.MethodDelete:
		return attack.Destroys
	}
	return attack.Writes
}

// way is one alternative of a shield: all its parts must hold.
type way struct{ parts []*part }

func (w *way) String() string {
	names := make([]string, 0, len(w.parts))
	for _, p := range w.parts {
		names = append(names, p.String())
	}
	return strings.Join(names, " + ")
}

func (w *way) isPublic() bool { return len(w.parts) == 1 && w.parts[0].kind.Name == "public" }

// part is one proof.
type part struct {
	kind    shield.Kind
	calling map[string]string // what a caller's half must be like
	issuer  string            // of tokens
	actor   bool              // may be somebody else
}

func (p *part) String() string {
	if p.issuer != "" {
		return p.kind.Name + " of " + p.issuer
	}
	return p.kind.Name
}

// key tells parts apart for which different credentials are needed.
func (p *part) key() string {
	key := p.String()
	for _, name := range slices.Sorted(maps.Keys(p.calling)) {
		key += "\x00" + name + "=" + p.calling[name]
	}
	return key
}

// routes find the endpoint that a request reaches.
type routes = *route.Table[*place]

// placesOf are the endpoints of a configuration, each at the first of its hosts.
func placesOf(g *Gateway, hosts []*host) ([]*place, error) {
	resolved, err := g.File.Resolve()
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	for _, h := range hosts {
		h.routes = route.New[*place]()
	}
	var all []*place
	for _, e := range resolved {
		p := &place{Resolved: e}
		p.ways, p.more = waysOf(g.Kinds, e.Shield)
		for _, h := range hosts {
			if !slices.Contains(e.Hosts, h.name) {
				continue
			}
			if p.host == nil {
				p.host = h
			}
			if err := h.routes.Add(e.Pattern, p); err != nil {
				return nil, fmt.Errorf("read the policy: %w", err)
			}
		}
		if p.host != nil {
			all = append(all, p)
		}
	}
	for _, p := range all {
		p.target = p.ownPath()
	}
	if len(all) == 0 {
		return nil, ErrNoPolicy
	}
	return all, nil
}

// maxWays bounds the ways in that are tried at one endpoint.
const maxWays = 256

// waysOf are the alternatives of a shield, with an issuer for each token; more says that there
// are others, which are not tried.
func waysOf(kinds []shield.Kind, s *config.Shield) (all []*way, more bool) {
	ways, whole := s.Ways(maxWays)
	for _, w := range ways {
		alternatives := []*way{{}}
		for _, p := range w {
			alternatives = crossed(alternatives, provedBy(kinds, p))
		}
		all = append(all, alternatives...)
		if len(all) > maxWays {
			return all[:maxWays], true
		}
	}
	return all, !whole
}

// provedBy are what a proof may be: for a token, one of each of its issuers.
func provedBy(kinds []shield.Kind, p config.Proof) (all []*part) {
	i := slices.IndexFunc(kinds, func(k shield.Kind) bool { return k.Name == p.Kind })
	if i < 0 {
		return nil
	}
	one := part{kind: kinds[i], actor: p.Actor}
	if caller, ok := p.Config.(shield.Caller); ok {
		one.calling = caller.Calling()
	}
	namer, ok := p.Config.(config.Namer)
	if !ok {
		return []*part{&one}
	}
	for _, name := range namer.Names()["issuer"] {
		of := one
		if of.issuer = name; name == "" {
			of.issuer = config.OwnIssuer
		}
		all = append(all, &of)
	}
	return all
}

// crossed adds each of some parts to each of some ways, to one more than are tried at most.
func crossed(ways []*way, parts []*part) (all []*way) {
	for _, w := range ways {
		for _, p := range parts {
			if len(all) > maxWays {
				return all
			}
			all = append(all, &way{append(slices.Clone(w.parts), p)})
		}
	}
	return all
}

// unexplored tells of endpoints that have more ways in than are tried.
func unexplored(all []*place) (notes []string) {
	for _, p := range all {
		if p.more {
			notes = append(notes, fmt.Sprintf("%s has more than %d ways in: the others are not tried", p.Pattern, maxWays))
		}
	}
	return notes
}

var wildcard = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}|\{\$\}`)

// ownPath is a path that reaches this endpoint and no other.
func (p *place) ownPath() string {
	for _, value := range []string{"1", "pavise-attack", "pavise-attack-1"} {
		path := wildcard.ReplaceAllStringFunc(p.Path, func(found string) string {
			if found == "{$}" {
				return ""
			}
			return value
		})
		if p.isReachedBy(p.Method, path) {
			return path
		}
	}
	return ""
}

func (p *place) isReachedBy(method, path string) bool {
	hit, err := p.host.at(method, path)
	return err == nil && hit == p
}

// at finds the endpoint of a method and a path.
func (h *host) at(method, path string) (*place, error) {
	r, err := http.NewRequest(method, "https://"+h.prober.Scope().Base().Host+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("read the path %.80q: %w", path, err)
	}
	return h.routes.Match(r)
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
