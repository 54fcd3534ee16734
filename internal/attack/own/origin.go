package own

import (
	"fmt"
	"net/http"
	"slices"

	"pavise.dev/pavise/shield"
)

// stranger is an origin that no configuration lists.
const stranger = "https://pavise-attack.example"

// origins try what scripts of other pages would.
func (p *planner) origins() {
	for _, at := range p.r.places {
		if at.target == "" {
			continue
		}
		p.add(at, "foreign-origin", "a preflight of a foreign origin", 20, 0, func(t *try) error { return t.preflight(at, stranger) })
		p.add(at, "foreign-origin", "a preflight of the origin null", 20, 0, func(t *try) error { return t.preflight(at, "null") })
		for _, origin := range at.Origins {
			for _, near := range []string{origin + ".evil.example", "http" + origin[len("https"):]} {
				if !slices.Contains(at.Origins, near) {
					p.add(at, "foreign-origin", "a preflight of "+near, 20, 0, func(t *try) error { return t.preflight(at, near) })
				}
			}
		}
		if at.Method != http.MethodGet || at.isPublic() {
			continue
		}
		if !hasPublic(at) {
			p.add(at, "no-credential", "an upgrade to a WebSocket without a credential", 125, 0, func(t *try) error { return t.upgrade(at, false) })
		}
		p.add(at, "foreign-origin", "an upgrade to a WebSocket of a foreign origin", 125, 0, func(t *try) error { return t.upgrade(at, true) })
	}
}

// preflight asks as a browser would (Fetch, §4.8). OPTIONS is answered by the rule for origins alone.
func (t *try) preflight(at *place, origin string) error {
	if hit, err := at.host.at(http.MethodOptions, at.target); err == nil {
		return fmt.Errorf("%s answers OPTIONS by itself", hit)
	}
	demanded := refused(shield.ForeignOrigin)
	x, err := t.ask(demanded, nil, func() (*http.Request, error) {
		r, err := t.s.NewRequest(t.ctx, http.MethodOptions, at.target, nil)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", at.Method)
		r.Header.Set("Access-Control-Request-Headers", "authorization")
		return r, nil
	})
	if err != nil {
		return err
	}
	t.judge(t.where(at), x, demanded, "a preflight of "+origin)
	return nil
}

// upgrade asks for a WebSocket (RFC 6455 §4.1, §10.2).
func (t *try) upgrade(at *place, foreign bool) error {
	demanded, what := refused(shield.MissingCredential), "an upgrade without a credential"
	var proofs []*proof
	if foreign {
		demanded, what = refused(shield.ForeignOrigin), "an upgrade of a foreign origin"
		for _, w := range at.ways {
			if made, err := t.proofs(at, w, t.r.a); err == nil {
				proofs = made
				break
			}
		}
	}
	x, err := t.until(demanded, func() (*reply, error) {
		r, _, err := t.signed(at, proofs)
		if err != nil {
			return nil, err
		}
		carry(r, partsOf(proofs))
		if foreign {
			r.Header.Set("Origin", stranger)
		}
		return t.written(append(text(r, r.URL.RequestURI(), "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), "\r\n"...))
	})
	if err != nil {
		return err
	}
	t.judge(t.where(at), x, demanded, what)
	return nil
}
