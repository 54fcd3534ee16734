package own

import (
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/shield"
)

// shields tries, at each endpoint and each way in, what the folders of the shields bring.
func (p *planner) shields() {
	for _, at := range p.r.places {
		for _, w := range at.ways {
			if w.isPublic() {
				continue
			}
			for i, one := range w.parts {
				for _, a := range one.kind.Attacks {
					p.shield(at, w, i, a)
				}
			}
		}
	}
}

// mostSent is the row of a body that is endless where the gateway reads it.
const mostSent = 101

func (p *planner) shield(at *place, w *way, i int, a shield.Attack) {
	if hasPublic(at) && (a.Code == shield.MissingCredential || a.Code == shield.InvalidCredential) {
		return // who proves nothing may call it all the same
	}
	demand := attack.Demand(0)
	if a.Row == mostSent {
		demand = attack.Floods
	}
	if p.r.g.Through { // beside the attack a good request is sent
		demand |= at.changes()
	}
	id := fmt.Sprintf("%s, %s: %s", w, w.parts[i].kind.Name, a.Name)
	if len(w.parts) == 1 {
		id = fmt.Sprintf("%s: %s", w, a.Name)
	}
	p.add(at, "forged-credential", id, a.Row, demand, func(t *try) error {
		proofs, err := t.proofsOrForged(at, w, i, a)
		if err != nil {
			return err
		}
		if a.Repeat > 0 {
			return t.repeated(at, proofs, a, id)
		}
		if err := t.right(at, proofs); err != nil {
			return err
		}
		return t.attack(at, w, proofs, i, a, id)
	})
}

func hasPublic(at *place) bool {
	for _, w := range at.ways {
		if w.isPublic() {
			return true
		}
	}
	return false
}

// proofsOrForged are good proofs of a way. Of the part that is attacked, one that is as wrong as
// it will be afterwards will do, where nobody here can make a good one.
func (t *try) proofsOrForged(at *place, w *way, attacked int, a shield.Attack) ([]*proof, error) {
	all := make([]*proof, 0, len(w.parts))
	for i, one := range w.parts {
		asked := wish{client: t.r.a, part: one, api: at.API, at: at}
		made, err := t.r.holder.proof(t.ctx, asked)
		if errors.Is(err, errElsewhere) && i == attacked && one.issuer != "" && a.Repeat == 0 {
			made, err = t.r.forged(asked)
			if made != nil {
				made.part = one
			}
		}
		if err != nil {
			return nil, err
		}
		all = append(all, made)
	}
	return all, nil
}

// right sends a good request where wrong tries with the same credential are about to be too many, so that
// they are forgotten. Where there are many addresses there is another one before.
func (t *try) right(at *place, proofs []*proof) error {
	if t.r.sources.turns || !slices.ContainsFunc(proofs, func(p *proof) bool { return p.wrong >= perAddress-1 }) {
		return nil
	}
	x, err := t.ask(want{}, certificateOf(proofs), func() (*http.Request, error) {
		r, _, err := t.signed(at, proofs)
		if err == nil {
			carry(r, partsOf(proofs))
		}
		return r, err
	})
	switch {
	case errors.Is(err, errShared):
		return nil // then it waits, if it has to
	case err == nil && x.passed():
		for _, one := range proofs {
			one.wrong = 0
		}
	}
	return err
}

func certificateOf(proofs []*proof) (shown *tls.Certificate) {
	for _, one := range proofs {
		if one.certificate != nil {
			shown = one.certificate
		}
	}
	return shown
}

func partsOf(proofs []*proof) (all []*part) {
	for _, one := range proofs {
		all = append(all, one.part)
	}
	return all
}

// attack changes a good request, and judges what comes back.
func (t *try) attack(at *place, w *way, proofs []*proof, i int, a shield.Attack, what string) error {
	certificate := certificateOf(proofs)
	if a.Present != nil {
		shown, err := a.Present(proofs[i].certificate)
		if err != nil {
			return fmt.Errorf("make a certificate to show: %w", err)
		}
		switch certificate = shown; {
		case shown == nil:
			certificate = &tls.Certificate{} // none
		case !isShowable(shown):
			return attack.ErrNotHere
		}
	}
	demanded := want{code: a.Code, status: a.Status}
	if len(w.parts) > 1 || len(at.ways) > 1 || !hasBody(at) {
		demanded.also = unproved()
	}
	elsewhere := false
	x, err := t.ask(demanded, certificate, func() (*http.Request, error) {
		r, _, err := t.signed(at, proofs)
		if err != nil {
			return nil, err
		}
		good := *r
		good.Header, good.URL = r.Header.Clone(), new(*r.URL)
		if a.Present == nil {
			if err := a.Change(r); err != nil {
				return nil, fmt.Errorf("make the attack: %w", err)
			}
			if isSame(&good, r) {
				return nil, attack.ErrNotHere // a good request that passes is no finding
			}
		}
		carry(r, partsOf(proofs))
		t.hide(good.Header, r, a.Name)
		more, here := t.earlier(at, r)
		elsewhere = !here
		demanded.also = append(demanded.also, more...)
		return r, nil
	})
	switch {
	case elsewhere:
		return attack.ErrNotHere // it became a request of another endpoint
	case a.Present != nil && atHandshake(err):
		return nil // refused there
	case err != nil:
		return err
	}
	if counted(x.code) {
		for _, one := range proofs {
			one.wrong++
		}
	}
	t.judge(t.where(at), x, demanded, what)
	return nil
}

// isSame reports whether an attack left a request as it was, as one on the signed headers does where
// none is signed.
func isSame(good, r *http.Request) bool {
	return r.Method == good.Method && r.Host == good.Host && *r.URL == *good.URL && r.Body == good.Body &&
		r.ContentLength == good.ContentLength && len(r.Trailer) == len(good.Trailer) &&
		maps.EqualFunc(r.Header, good.Header, slices.Equal[[]string])
}

func hasBody(at *place) bool {
	return at.Method == http.MethodPost || at.Method == http.MethodPut || at.Method == http.MethodPatch
}

// earlier are refusals of steps before the shield, which a change may have given reason to; here is
// false if the request is now one of another endpoint.
func (t *try) earlier(at *place, r *http.Request) (codes []shield.Code, here bool) {
	hit, err := at.host.routes.Match(r)
	switch {
	case err != nil:
		codes = unrouted()
	case hit != at:
		return nil, false
	}
	if r.URL.RawPath != "" {
		codes = append(codes, shield.BadPath)
	}
	if r.Host != "" && r.Host != r.URL.Host {
		codes = append(codes, shield.UnknownHost, shield.Misdirected, shield.BadHeader)
	}
	if len(r.Trailer) > 0 {
		codes = append(codes, shield.BadHeader)
	}
	size := 0
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	if size > int(t.r.g.File.Limits.HeaderBytes)-1024 {
		codes = append(codes, shield.HeadersTooLarge)
	}
	return codes, true
}

// atHandshake reports whether the gateway broke a handshake off.
func atHandshake(err error) bool {
	remote, ok := errors.AsType[*net.OpError](err)
	return ok && remote.Op == "remote error"
}

// isShowable reports whether a handshake of today can be signed with the key of a certificate.
func isShowable(c *tls.Certificate) bool {
	key, ok := c.PrivateKey.(*ecdsa.PrivateKey)
	return !ok || key.Curve.Params().BitSize >= 256
}

// repeated sends one request several times: the first passes, and no other.
func (t *try) repeated(at *place, proofs []*proof, a shield.Attack, what string) error {
	certificate := certificateOf(proofs)
	var first *http.Request
	x, err := t.ask(want{}, certificate, func() (r *http.Request, err error) {
		first, _, err = t.signed(at, proofs)
		if err == nil {
			carry(first, partsOf(proofs))
		}
		return first, err
	})
	if err != nil {
		return err
	}
	if !x.passed() {
		return fmt.Errorf("the first time it answers %s: there is nothing to repeat", x)
	}
	demanded := want{code: a.Code, status: a.Status}
	for range a.Repeat {
		x, err := t.ask(demanded, certificate, func() (*http.Request, error) { return again(first) })
		if err != nil {
			return err
		}
		t.judge(t.where(at), x, demanded, what)
		if x.passed() {
			return nil // one finding says it
		}
	}
	return nil
}
