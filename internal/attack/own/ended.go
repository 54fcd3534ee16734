package own

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/shield"
)

// ended tries credentials of each kind that count no more, or not from here. It comes last: what it
// revokes is gone.
func (p *planner) ended() {
	seen := map[string]bool{}
	var last []func()
	for _, at := range p.r.places {
		for _, w := range at.ways {
			for i, one := range w.parts {
				if one.kind.Name == "public" || seen[one.key()] || isForeign(one) {
					continue
				}
				seen[one.key()] = true
				name, good := fmt.Sprintf("%s, %s", w, one.kind.Name), attack.Demand(0)
				if p.r.g.Through { // it is sent before it is revoked
					good = at.changes()
				}
				if one.issuer == "" {
					p.add(at, "ended-credential", name+": expired", 10, 0, func(t *try) error { return t.expired(at, w, i) })
					p.add(at, "wrong-network", name+": from another network", 13, 0, func(t *try) error { return t.away(at, w, i) })
				}
				last = append(last, func() {
					p.add(at, "ended-credential", name+": revoked", 9, good, func(t *try) error { return t.revoked(at, w, i) })
				})
			}
		}
	}
	for _, add := range last { // a registration takes the tokens of all others with it
		add()
	}
}

// isForeign reports whether only somebody else can make such a credential.
func isForeign(p *part) bool {
	return p.issuer != "" && (p.issuer != "pavise" || p.kind.Name != "jwt") || p.calling["bound"] != ""
}

// withOne are good proofs of a way, of which one is made for the case.
func (t *try) withOne(at *place, w *way, i int, special wish) ([]*proof, error) {
	var all []*proof
	for n, one := range w.parts {
		asked := wish{client: t.r.a, part: one, api: at.API, at: at}
		if n == i {
			asked.networks, asked.life, asked.alone = special.networks, special.life, true
		}
		made, err := t.r.holder.proof(t.ctx, asked)
		if err != nil {
			return nil, err
		}
		all = append(all, made)
	}
	return all, nil
}

// gone are refusals of a credential that counts no more: unless the secret was proved, they look
// like that of one there never was.
func gone(code shield.Code) want { return refused(code, shield.InvalidCredential, shield.BadSignature) }

func (t *try) expired(at *place, w *way, i int) error {
	if isOwn(w.parts[i]) {
		return fmt.Errorf("the shortest life of a certificate of the own authority is %s: it was not waited for", shortestCertificate)
	}
	proofs, err := t.withOne(at, w, i, wish{life: time.Second})
	if err != nil {
		return err
	}
	if err := t.pause(1100 * time.Millisecond); err != nil {
		return err
	}
	return t.with(at, proofs, gone(shield.ExpiredCredential), "a credential that has ended")
}

func isOwn(p *part) bool { return p.kind.Name == "mtls" && p.calling["trust"] == "own" }

// away sends a credential that counts only from elsewhere, and says that it comes from there.
func (t *try) away(at *place, w *way, i int) error {
	proofs, err := t.withOne(at, w, i, wish{networks: []netip.Prefix{elsewhere()}})
	if err != nil {
		return err
	}
	demanded := refused(shield.ForbiddenNetwork)
	for _, header := range []string{"", "X-Forwarded-For", "X-Real-Ip", "Forwarded"} {
		what := "a credential that counts from another network only"
		if header != "" {
			what += ", with " + header
		}
		x, err := t.ask(demanded, certificateOf(proofs), func() (*http.Request, error) {
			r, _, err := t.signed(at, proofs)
			if err != nil {
				return nil, err
			}
			carry(r, partsOf(proofs))
			switch value := elsewhere().Addr().String(); header {
			case "":
			case "Forwarded":
				r.Header.Set(header, "for="+value)
			default:
				r.Header.Set(header, value)
			}
			return r, nil
		})
		if err != nil {
			return err
		}
		t.judge(t.where(at), x, demanded, what)
	}
	return nil
}

// soon is within what a revocation takes effect.
const soon = time.Second

// revoked ends a credential that works, and sends it until it is refused.
func (t *try) revoked(at *place, w *way, i int) error {
	proofs, err := t.withOne(at, w, i, wish{})
	if err != nil {
		return err
	}
	send := func(w want) (*reply, error) {
		return t.ask(w, certificateOf(proofs), func() (*http.Request, error) {
			r, _, err := t.signed(at, proofs)
			if err == nil {
				carry(r, partsOf(proofs))
			}
			return r, err
		})
	}
	x, err := send(want{})
	if err != nil {
		return err
	}
	if !x.passed() {
		return fmt.Errorf("before it is revoked it is answered %s", x)
	}
	if _, err := t.r.g.Admin.Revoke(t.ctx, admin.Revoke{ID: proofs[i].id, Reason: "the test revokes it"}); err != nil {
		return fmt.Errorf("revoke a credential: %w", err)
	}
	revoked := t.r.g.Now()
	ended := gone(shield.RevokedCredential)
	for x, err = send(ended); err == nil && x.passed() && t.r.g.Now().Sub(revoked) < soon; x, err = send(ended) {
		if err := t.pause(soon / 10); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	t.judge(t.where(at), x, ended, "a credential that was revoked a second ago")
	return nil
}
