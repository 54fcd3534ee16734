package own

import (
	"fmt"
	"slices"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// given is a token that somebody gave, of an issuer for which nobody here can sign. Its caller is no client
// of the test: what is accepted of it reaches the service. So it is used where that only reads, and where
// writing is allowed.
func (h *holder) given(w wish) (*proof, error) {
	tokens, n := h.run.g.Tokens[w.part.issuer], slices.Index([]string{h.run.a, h.run.b}, w.client)
	switch {
	case n < 0 || n >= len(tokens) || w.scopes != nil || w.alone || w.part.kind.Client == nil:
		return nil, fmt.Errorf("a token of the issuer %s: %w", w.part.issuer, errElsewhere)
	case w.at == nil || !h.run.gives(w.at):
		return nil, fmt.Errorf("a token of the issuer %s is not used where it writes (--allow writes): %w", w.part.issuer, errElsewhere)
	}
	key := fmt.Sprintf("%s\x00%d", w.part.key(), n)
	if known := h.kept[key]; known != nil {
		return known, nil
	}
	made, err := signing(w.part, shield.Credential{Kind: w.part.kind.Name, ID: "given", Secret: string(tokens[n].Reveal()), Now: h.run.g.Now})
	if err != nil {
		return nil, err
	}
	made.part = w.part
	h.kept[key] = made
	return made, nil
}

// gives reports whether tokens that somebody gave are used at an endpoint.
func (r *Run) gives(at *place) bool {
	return at.changes()&^r.g.Allowed == 0 && slices.ContainsFunc(at.ways, func(w *way) bool {
		return slices.ContainsFunc(w.parts, func(p *part) bool { return isOthers(p) && len(r.g.Tokens[p.issuer]) > 0 })
	})
}

// isOthers reports whether a part is a token of an issuer that is not this installation's.
func isOthers(p *part) bool {
	return p.issuer != "" && (p.issuer != config.OwnIssuer || p.kind.Name != "jwt") && p.calling["bound"] == ""
}

// ungiven are issuers of which there is no good token, though endpoints take them.
func (r *Run) ungiven() (all []string) {
	for _, at := range r.places {
		for _, w := range at.ways {
			for _, one := range w.parts {
				if isOthers(one) && len(r.g.Tokens[one.issuer]) == 0 && !slices.Contains(all, one.issuer) {
					all = append(all, one.issuer)
				}
			}
		}
	}
	slices.Sort(all)
	return all
}
