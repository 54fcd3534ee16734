package own

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/shield"
)

// good sends, at each endpoint and by each way in, a request that the policy allows. Where it is
// refused other cases say less than they should.
func (p *planner) good() {
	for _, at := range p.r.places {
		for _, w := range at.ways {
			demand := attack.Demand(0)
			if w.isPublic() || p.r.g.Through {
				demand = at.changes()
			}
			p.add(at, "unexpected-error", w.String()+": a good request", 0, demand, func(t *try) error {
				return t.good(at, w)
			})
		}
	}
}

func (t *try) good(at *place, w *way) error {
	var proofs []*proof
	if !w.isPublic() {
		var err error
		if proofs, err = t.proofs(at, w, t.r.a); err != nil {
			return errors.New("no good request: " + err.Error()) // other cases leave it out
		}
	}
	x, err := t.ask(want{}, certificateOf(proofs), func() (*http.Request, error) {
		r, _, err := t.signed(at, proofs)
		if err == nil {
			carry(r, partsOf(proofs))
		}
		return r, err
	})
	switch {
	case err != nil:
		return err
	case x.passed():
		t.limits(at, x)
		return nil
	case x.status >= 500:
		t.s.Found(t.where(at), x.answer, "a good request by %s: it answers %s", w, x)
		return nil
	}
	return fmt.Errorf("a good request is answered %s: what is refused here is refused for that reason, perhaps", x)
}

// strangers call without a credential, with headers that would say who they are if anybody believed them.
func (p *planner) strangers() {
	for _, at := range p.r.places {
		if at.isPublic() || hasPublic(at) {
			continue
		}
		demanded := refused(shield.MissingCredential)
		p.add(at, "no-credential", "no credential", 1, 0, func(t *try) error { return t.bare(at, demanded, "no credential", nil) })
		for _, said := range claims() {
			name, _, _ := strings.Cut(said.header, ":")
			p.add(at, "no-credential", "no credential, but "+name, said.row, 0, func(t *try) error {
				return t.bare(at, refused(shield.MissingCredential, append(unproved(), shield.BadHeader)...), "no credential, but a header "+name, func(r *http.Request) {
					name, value, _ := strings.Cut(said.header, ": ")
					r.Header[name] = []string{value}
				})
			})
		}
	}
}

type claim struct {
	header string
	row    int
}

// claims are headers by which others tell who calls.
func claims() []claim {
	return []claim{
		{"Pavise-Client: admin", 121},
		{"Pavise-Identity: eyJhbGciOiJub25lIn0.e30.", 161},
		{"X-User-Id: 1", 121},
		{"X-Forwarded-User: admin", 121},
		{"Client-Cert: :MIIB:", 79},
		{"X-Ssl-Client-Verify: SUCCESS", 79},
		{"X-Forwarded-Client-Cert: Subject=\"CN=admin\"", 79},
		{"X-Forwarded-For: 127.0.0.1", 122},
		{"X-Original-Url: /", 112},
		{"Authorization: Basic YWRtaW46YWRtaW4=", 36},
	}
}

// bare sends a request without a credential.
func (t *try) bare(at *place, demanded want, what string, change func(*http.Request)) error {
	x, err := t.ask(demanded, nil, func() (*http.Request, error) {
		r, err := t.request(at)
		if err == nil && change != nil {
			change(r)
		}
		return r, err
	})
	if err != nil {
		return err
	}
	t.judge(t.where(at), x, demanded, what)
	return nil
}

// rights calls with less than an endpoint demands.
func (p *planner) rights() {
	for _, at := range p.r.places {
		for _, w := range at.ways {
			if w.isPublic() {
				continue
			}
			if len(at.Scopes) > 0 {
				p.add(at, "missing-scope", w.String()+": a client without scopes", 12, 0, func(t *try) error {
					return t.lacking(at, w, t.r.none, nil, "a client without scopes")
				})
			}
			if len(at.Scopes) > 1 || len(p.r.g.File.Scopes) > 1 && len(at.Scopes) == 1 {
				for _, scope := range at.Scopes {
					what := "every scope but " + scope
					p.add(at, "missing-scope", w.String()+": "+what, 44, 0, func(t *try) error {
						return t.lacking(at, w, t.r.a, t.r.without(scope), what)
					})
				}
			}
			p.together(at, w)
		}
	}
}

// without are all scopes of the configuration but one.
func (r *Run) without(scope string) []string {
	return slices.DeleteFunc(sortedNames(r.g.File.Scopes), func(s string) bool { return s == scope })
}

// lacking calls with good proofs that do not carry a scope.
func (t *try) lacking(at *place, w *way, who string, scopes []string, what string) error {
	var proofs []*proof
	for _, one := range w.parts {
		asked := wish{client: who, part: one, api: at.API, at: at, scopes: scopes}
		if one.issuer != "" && scopes != nil { // the server gives those of the API's endpoints alone
			asked.scopes = slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return !t.r.asksFor(at.API, s) })
			if len(asked.scopes) == 0 {
				return attack.ErrNotHere
			}
		}
		made, err := t.r.holder.proof(t.ctx, asked)
		if err != nil {
			return err
		}
		proofs = append(proofs, made)
	}
	return t.with(at, proofs, refused(shield.InsufficientScope), what)
}

func (r *Run) asksFor(api, scope string) bool {
	return slices.ContainsFunc(r.places, func(p *place) bool { return p.API == api && slices.Contains(p.Scopes, scope) })
}

// with sends proofs, and judges.
func (t *try) with(at *place, proofs []*proof, demanded want, what string) error {
	x, err := t.ask(demanded, certificateOf(proofs), func() (*http.Request, error) {
		r, _, err := t.signed(at, proofs)
		if err == nil {
			carry(r, partsOf(proofs))
		}
		return r, err
	})
	if err != nil {
		return err
	}
	t.judge(t.where(at), x, demanded, what)
	return nil
}

// together crosses and leaves out proofs of a way that wants several.
func (p *planner) together(at *place, w *way) {
	if len(w.parts) < 2 {
		return
	}
	for i, one := range w.parts {
		what := fmt.Sprintf("without the proof %s", one)
		p.add(at, "incomplete-proof", w.String()+": "+what, 156, 0, func(t *try) error {
			proofs, err := t.proofs(at, w, t.r.a)
			if err != nil {
				return err
			}
			return t.with(at, slices.Delete(slices.Clone(proofs), i, i+1), refused(shield.MissingCredential, unproved()...), what)
		})
		if i == 0 || one.actor {
			continue
		}
		what = fmt.Sprintf("%s of another client", one)
		p.add(at, "mixed-identities", w.String()+": "+what, 156, 0, func(t *try) error {
			proofs, err := t.proofs(at, w, t.r.a)
			if err != nil {
				return err
			}
			others, err := t.r.holder.proof(t.ctx, wish{client: t.r.b, part: one, api: at.API, at: at})
			if err != nil {
				return err
			}
			proofs = slices.Clone(proofs)
			proofs[i] = others
			return t.with(at, proofs, refused(shield.MixedIdentities), what)
		})
	}
}

// undeclared asks for what the policy does not have.
func (p *planner) undeclared() {
	asked := map[string]bool{}
	for _, at := range p.r.places {
		if at.target == "" || asked[at.host.name+at.target] {
			continue
		}
		asked[at.host.name+at.target] = true
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} {
			if _, err := at.host.at(method, at.target); err == nil {
				continue
			}
			p.addAt(at.host, "undeclared-endpoint", method+" "+at.host.name+at.target, 109, 0, func(t *try) error {
				return t.unknown(at.host, method, at.target, refused(shield.MethodNotAllowed, shield.UnknownEndpoint))
			})
		}
	}
	for _, h := range p.r.hosts {
		for _, path := range nowhere() {
			row := 109
			if strings.HasPrefix(path, "/v1/") {
				row = 136
			} else if p.r.g.File.Honeypots.Block.Duration > 0 && !p.r.sources.turns {
				continue // it may be a honeypot, and the test's network would be kept out
			}
			p.addAt(h, "undeclared-endpoint", "GET "+h.name+path, row, 0, func(t *try) error {
				return t.unknown(h, "GET", path, refused(shield.UnknownEndpoint, shield.MethodNotAllowed))
			})
		}
	}
}

// nowhere are paths that administrations and careless services have.
func nowhere() []string {
	return []string{
		"/pavise-attack-nothing", "/v1/status", "/v1/clients", "/v1/credentials", "/v1/testers", "/v1/keys", "/admin", "/metrics",
		"/debug/pprof/", "/.env", "/.git/config", "/actuator/env", "/server-status",
	}
}

func (t *try) unknown(h *host, method, path string, demanded want) error {
	if _, err := h.at(method, path); err == nil {
		return attack.ErrNotHere // the policy has it
	}
	x, err := t.ask(demanded, nil, func() (*http.Request, error) { return t.s.NewRequest(t.ctx, method, path, nil) })
	if err != nil {
		return err
	}
	t.judge(method+" https://"+h.name+path, x, demanded, "what the policy does not have")
	return nil
}

// isUnsure reports whether an error says only that a credential cannot be had.
func isUnsure(err error) bool { return errors.Is(err, errElsewhere) }
