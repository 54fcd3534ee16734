package own

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// limits holds what a good answer says of rates (RateLimit-Policy) to what the policy demands.
func (t *try) limits(at *place, x *reply) {
	if at.isPublic() {
		return
	}
	said := policies(x.policy)
	for _, l := range at.Limits {
		if l.Per == limit.PerUser {
			continue // nobody has signed in
		}
		demanded := fmt.Sprintf("q=%d;w=%d", l.Rate.Count, int64((l.Rate.Per+time.Second-1)/time.Second))
		if got := said[clipped(l.Name)]; got != demanded {
			t.s.Under(ruleOf("missing-limit"), func(s *attack.Session) {
				s.Found(t.where(at), x.answer, "the limit %s (%s) is not in force: the answer says %q", l.Name, demanded, x.policy)
			})
		}
	}
}

// clipped is a name as the header has it.
func clipped(name string) string { return name[:min(len(name), 64)] }

// policies reads RateLimit-Policy: "name";q=600;w=60, …
func policies(header string) map[string]string {
	all := map[string]string{}
	for one := range strings.SplitSeq(header, ",") {
		name, rest, ok := strings.Cut(strings.TrimSpace(one), ";")
		if ok {
			all[strings.Trim(name, `"`)] = rest
		}
	}
	return all
}

// Bounds of limits that are used up.
const (
	mostCounted   = 1000
	longestWindow = time.Minute
)

// floods uses up rates, and guesses keys.
func (p *planner) floods() {
	counted := map[string]bool{}
	for _, at := range p.r.places {
		if at.isPublic() || len(at.ways) == 0 || at.target == "" {
			continue
		}
		for _, l := range at.Limits {
			if l.Per != limit.PerClient || l.Rate.Count > mostCounted || l.Rate.Per > longestWindow || counted[l.Name] {
				continue
			}
			counted[l.Name] = true
			p.add(at, "missing-limit", "the limit "+l.Name+" is used up", 126, attack.Floods|p.through(at), func(t *try) error { return t.useUp(at, l) })
		}
		if at.MaxBody > 0 && hasBody(at) && slices.ContainsFunc(at.ways, isWritten) {
			p.add(at, "missing-limit", "a body that is too long", 0, 0, func(t *try) error { return t.tooLong(at) })
		}
	}
	for _, h := range p.r.hosts {
		p.addAt(h, "missing-limit", h.name+": many wrong credentials from one address", 17, attack.Floods, func(t *try) error { return t.guess(h) })
	}
}

// useUp sends more than a rate allows, as fast as it goes.
func (t *try) useUp(at *place, l limit.Limit) error {
	var proofs []*proof
	err := error(nil)
	for _, w := range at.ways {
		if proofs, err = t.proofs(at, w, t.r.a); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	burst := l.Rate.Burst
	if burst == 0 {
		burst = l.Rate.Count
	}
	requests := make([]*http.Request, 0, burst+burst/2+10)
	for range cap(requests) {
		r, _, err := t.signed(at, proofs)
		if err != nil {
			return err
		}
		carry(r, partsOf(proofs))
		requests = append(requests, r)
	}
	began := t.r.g.Now()
	passed, refused := t.s.Burst(certificateOf(proofs), requests, 16, func(a *attack.Answer) bool { return read(a.Status, a.Header, a.Body).passed() })
	took := t.r.g.Now().Sub(began)
	if passed+refused == 0 {
		return errors.New("nothing was answered")
	}
	allowed := burst + int(float64(l.Rate.Count)*took.Seconds()/l.Rate.Per.Seconds()) + 1
	if passed > allowed {
		t.s.FoundBy(t.where(at), attack.Curl(requests[0]), "the limit %s: %d requests of one client passed within %s, and the policy allows %d", l.Name, passed, took.Round(time.Millisecond), allowed)
	}
	return nil
}

// tooLong announces a body that is longer than the endpoint takes, and sends none of it.
func (t *try) tooLong(at *place) error {
	demanded := refused(shield.TooLarge, shield.UnsupportedMedia)
	x, err := t.until(demanded, func() (*reply, error) {
		r, err := t.request(at)
		if err != nil {
			return nil, err
		}
		return t.written(append(text(r, r.URL.RequestURI(), "Connection: close", "Content-Length: "+strconv.FormatInt(at.MaxBody+1, 10)), "\r\n"...))
	})
	if err != nil {
		return err
	}
	t.judge(t.where(at), x, demanded, fmt.Sprintf("a body of %d bytes", at.MaxBody+1))
	return nil
}

// guess sends wrong credentials from one address until it has to wait; from elsewhere a good one is
// accepted meanwhile.
func (t *try) guess(h *host) error {
	if !t.r.sources.turns {
		return fmt.Errorf("from a single address it would shut the rest of the test out")
	}
	for _, at := range t.r.places {
		for _, w := range at.ways {
			if at.host != h || len(w.parts) != 1 || w.parts[0].kind.Name != "api_key" || hasPublic(at) {
				continue
			}
			good, err := t.proofs(at, w, t.r.a)
			if err != nil {
				return err
			}
			return t.guessAt(at, good)
		}
	}
	return attack.ErrNotHere
}

func (t *try) guessAt(at *place, good []*proof) error {
	t.r.sources.hold(true)
	last, sent, err := t.guesses(at, good)
	if err != nil {
		return err
	}
	t.judge(t.where(at), last, refused(shield.LockedOut), fmt.Sprintf("the wrong credential number %d of one address", sent))
	t.r.sources.hold(false)
	t.r.sources.shutOut()
	x, err := t.ask(want{}, certificateOf(good), func() (*http.Request, error) {
		r, _, err := t.signed(at, good)
		if err == nil {
			carry(r, partsOf(good))
		}
		return r, err
	})
	if err == nil && !x.passed() {
		t.under("other-refusal", t.where(at), x, want{}, "a good credential from another address, while one is kept out")
	}
	return err
}

// guesses sends wrong credentials until one is kept out, or as many as nobody may send: those of a
// minute, and those that were given back meanwhile.
func (t *try) guesses(at *place, good []*proof) (last *reply, sent int, err error) {
	tries, began := t.r.g.File.Limits.WrongTries, t.r.g.Now()
	for most := tries + 10; sent < most; {
		r, err := t.request(at)
		if err != nil {
			return nil, sent, err
		}
		r.Header.Set(usual, "pvs_attack_pavise0attack0pavise0attack")
		carry(r, partsOf(good))
		if last, err = t.send(r, nil); err != nil {
			return nil, sent, err
		}
		if sent++; last.code == shield.LockedOut {
			break
		}
		most = tries + 10 + int(float64(tries)*t.r.g.Now().Sub(began).Minutes())
		if sent > 3*tries+10 {
			return nil, sent, fmt.Errorf("wrong credentials leave too slowly from here to use up %d in a minute", tries)
		}
	}
	return last, sent, nil
}
