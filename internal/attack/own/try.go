package own

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/shield"
)

// try is a case under way.
type try struct {
	ctx context.Context
	s   *attack.Session
	r   *Run
}

// reply is what the gateway made of a request.
type reply struct {
	status int
	code   shield.Code    // of its refusal; empty: it refused nothing
	answer *attack.Answer // nil: it was no exchange of a client's
	proof  string         // a command that shows it, where answer does not
	wait   time.Duration  // that it asks for
	policy string         // RateLimit-Policy
}

// passed reports whether the request came through the gateway; what a service failed to answer
// came through, too.
func (x *reply) passed() bool {
	switch x.code {
	case "", shield.UpstreamFailed, shield.UpstreamTimeout, shield.UpstreamDown, shield.BadAnswer:
		return true
	}
	return false
}

func (x *reply) String() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", x.status, x.code))
}

// read tells a refusal of the gateway's (RFC 9457) from any other answer.
func read(status int, h http.Header, body []byte) *reply {
	x := &reply{status: status, policy: h.Get("Ratelimit-Policy")}
	if seconds, err := strconv.Atoi(h.Get("Retry-After")); err == nil && seconds >= 0 {
		x.wait = time.Duration(seconds) * time.Second
	}
	var problem struct {
		Code string `json:"code"`
		ID   string `json:"request_id"`
	}
	if status >= 400 && json.Unmarshal(body, &problem) == nil && problem.ID != "" {
		x.code = shield.Code(problem.Code)
	}
	return x
}

// want is what the policy demands.
type want struct {
	code   shield.Code
	status int           // 0: that of the code
	also   []shield.Code // as good: another step may be the first to object
	any    bool          // any refusal will do
}

func (w want) String() string {
	if w.any {
		return "a refusal"
	}
	status := w.status
	if status == 0 {
		status = w.code.Status()
	}
	return fmt.Sprintf("%d %s", status, w.code)
}

// takes reports whether a refusal is one that is wanted.
func (w want) takes(x *reply) bool {
	if x.code == w.code {
		return w.status == 0 || x.status == w.status
	}
	if w.any && x.code != "" && (x.status == http.StatusNotImplemented || x.status == http.StatusHTTPVersionNotSupported) {
		return true // refusals, too, by their names
	}
	return slices.Contains(w.also, x.code) || w.any && !x.passed() && x.status < 500
}

// refused wants a refusal.
func refused(code shield.Code, also ...shield.Code) want { return want{code: code, also: also} }

// unproved are refusals of who did not prove who they are: which one it is depends on which
// proof is looked at first.
func unproved() []shield.Code {
	return []shield.Code{
		shield.MissingCredential, shield.InvalidCredential, shield.MalformedCredential, shield.ExposedCredential,
		shield.BadSignature, shield.BadDigest, shield.StaleRequest, shield.UnboundCredential, shield.NonceRequired,
	}
}

// unrouted are refusals before anybody is asked who they are.
func unrouted() []shield.Code {
	return []shield.Code{shield.UnknownEndpoint, shield.MethodNotAllowed, shield.BadPath, shield.BadMethod}
}

// counted are refusals that count as a wrong try.
func counted(code shield.Code) bool {
	return code == shield.InvalidCredential || code == shield.BadSignature || code == shield.MalformedCredential
}

// How long, and how often, a case lets the gateway keep it waiting.
const (
	longestWait = time.Minute
	maxTries    = 4
)

// errKept is the error of a case that the gateway did not let try.
var errKept = errors.New("the gateway kept the test waiting for too long: run it again later, or from an address of its own")

// errUsedUp is the error of a case at an endpoint whose quota lets nobody pass.
var errUsedUp = errors.New("a quota is used up (pavise quota list): until it begins anew the gateway says nothing else")

// isKept reports whether a case says nothing because nobody let it, or nobody was there.
func isKept(err error) bool {
	at, ok := errors.AsType[*net.OpError](err)
	return errors.Is(err, errKept) || errors.Is(err, io.EOF) || ok && (at.Op == "dial" || at.Op == "read")
}

// until sends what send sends until it is not kept waiting.
func (t *try) until(w want, send func() (*reply, error)) (*reply, error) {
	for range maxTries {
		x, err := send()
		if err != nil {
			return nil, err
		}
		if counted(x.code) {
			if err := t.pause(t.r.sources.wrong()); err != nil {
				return nil, err
			}
		}
		if x.code == shield.BlockedNetwork && !t.r.sources.turns {
			return nil, errKept
		}
		if x.code == shield.QuotaExceeded && !w.takes(x) {
			return nil, errUsedUp
		}
		pause, kept := t.kept(x, w)
		if !kept {
			return x, nil
		}
		if err := t.pause(pause); err != nil {
			return nil, err
		}
	}
	return nil, errKept
}

// kept reports whether a reply says only that the test has to wait.
func (t *try) kept(x *reply, w want) (time.Duration, bool) {
	if x.code == w.code || slices.Contains(w.also, x.code) {
		return 0, false
	}
	switch x.code {
	case shield.LockedOut, shield.BlockedNetwork:
		if t.r.sources.shutOut() {
			return 0, true
		}
		return min(max(x.wait, time.Second), longestWait), true
	case shield.RateLimited, shield.Busy, shield.TooFast:
		return min(max(x.wait, time.Second), longestWait), true
	}
	return 0, false
}

// pause waits, and keeps the turn meanwhile.
func (t *try) pause(d time.Duration) error {
	for ; d > 0; d -= prolongEach {
		if err := t.s.Prober().Pause(t.ctx, min(d, prolongEach)); err != nil {
			return err
		}
		if err := t.r.turn.keep(t.ctx); err != nil {
			return err
		}
	}
	return nil
}

// ask sends what build makes, anew for each try.
func (t *try) ask(w want, certificate *tls.Certificate, build func() (*http.Request, error)) (*reply, error) {
	return t.until(w, func() (*reply, error) {
		r, err := build()
		if err != nil {
			return nil, err
		}
		unpaid, waited, err := t.paid(w, r)
		if err == nil && waited {
			r, err = build()
		}
		if err != nil {
			return nil, err
		}
		x, err := t.send(r, certificate)
		if err == nil && unpaid != nil && x.passed() {
			t.r.shares.use(unpaid)
		}
		return x, err
	})
}

// send sends one request as it is.
func (t *try) send(r *http.Request, certificate *tls.Certificate) (*reply, error) {
	if err := t.r.turn.keep(t.ctx); err != nil {
		return nil, err
	}
	a, err := t.s.Send(&attack.User{Certificate: certificate}, r)
	if err != nil {
		return nil, err
	}
	x := read(a.Status, a.Header, a.Body)
	x.answer = a
	return x, nil
}

// request is one that an endpoint takes, without a credential.
func (t *try) request(p *place) (*http.Request, error) {
	if p.target == "" {
		return nil, fmt.Errorf("no path was found that reaches %s and no other endpoint", p)
	}
	d, err := t.r.sample(p)
	if err != nil {
		return nil, err
	}
	return t.made(p, d)
}

// made is the request of a draft.
func (t *try) made(p *place, d draft) (*http.Request, error) {
	r, err := t.s.NewRequest(t.ctx, p.Method, d.target, d.body)
	if err != nil {
		return nil, err
	}
	for name, values := range d.header {
		r.Header[name] = slices.Clone(values)
	}
	return r, nil
}

// proofs are those of a way, of one client.
func (t *try) proofs(p *place, w *way, who string) ([]*proof, error) {
	all := make([]*proof, 0, len(w.parts))
	for _, one := range w.parts {
		made, err := t.r.holder.proof(t.ctx, wish{client: who, part: one, api: p.API, at: p})
		if err != nil {
			return nil, err
		}
		all = append(all, made)
	}
	return all, nil
}

// signed is a request of an endpoint with proofs.
func (t *try) signed(p *place, proofs []*proof) (*http.Request, *attack.User, error) {
	r, err := t.request(p)
	if err != nil {
		return nil, nil, err
	}
	for _, one := range proofs {
		cover(r, one.part)
	}
	u := user("the test", proofs)
	return r, u, t.s.As(u, r)
}

// cover sets the headers that a signature has to cover.
func cover(r *http.Request, p *part) {
	for name := range strings.FieldsSeq(p.calling["headers"]) {
		if r.Header.Get(name) == "" {
			r.Header.Set(name, "pavise-attack-"+strconv.FormatInt(time.Now().UnixNano(), 36))
		}
	}
}

// usual is the header in which keys are sent where no other is configured.
const usual = "X-Api-Key"

// carry moves a key from the usual header to the one that the endpoint reads.
func carry(r *http.Request, parts []*part) {
	for _, p := range parts {
		other := http.CanonicalHeaderKey(p.calling["header"])
		if values, ok := r.Header[usual]; ok && p.kind.Name == "api_key" && other != usual && other != "" {
			delete(r.Header, usual)
			r.Header[other] = values
		}
	}
}

// where names an endpoint in a finding.
func (t *try) where(p *place) string {
	if len(t.r.hosts) > 1 {
		return p.Method + " https://" + p.host.name + p.Path
	}
	return p.Pattern
}

// judge reports what is not as the policy demands.
func (t *try) judge(where string, x *reply, w want, what string) {
	switch {
	case w.takes(x):
	case x.passed():
		t.found(t.s, where, x, "%s: it passes (%s), and the policy demands %s", what, x, w)
	case x.status >= 500:
		t.under("unexpected-error", where, x, w, what)
	default:
		t.under("other-refusal", where, x, w, what)
	}
}

func (t *try) under(rule, where string, x *reply, w want, what string) {
	t.s.Under(ruleOf(rule), func(s *attack.Session) {
		t.found(s, where, x, "%s: it answers %s, and the policy demands %s", what, x, w)
	})
}

// found reports with whatever there is to paste.
func (t *try) found(s *attack.Session, where string, x *reply, format string, args ...any) {
	if x.answer != nil {
		s.Found(where, x.answer, format, args...)
		return
	}
	s.FoundBy(where, x.proof, format, args...)
}

// hide has what is sent for an attack shown in words: a credential that was altered is one nearly.
func (t *try) hide(before http.Header, r *http.Request, what string) {
	for name, values := range r.Header {
		for _, value := range values {
			if !slices.Contains(before[name], value) && len(value) < 64<<10 {
				t.s.Hide(value, "<a credential of yours: "+what+">")
			}
		}
	}
}

// again is a request to be sent once more.
func again(r *http.Request) (*http.Request, error) {
	other := r.Clone(r.Context())
	if r.GetBody == nil {
		return other, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, fmt.Errorf("send a request again: %w", err)
	}
	other.Body = body
	return other, nil
}

// elsewhere is a network from which nobody sends.
func elsewhere() netip.Prefix { return netip.MustParsePrefix("192.0.2.7/32") }

// text is the head of a request and its body, as they are written on the wire.
func text(r *http.Request, target string, more ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, target, r.URL.Host)
	for name, values := range r.Header {
		for _, value := range values {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	for _, line := range more {
		b.WriteString(line + "\r\n")
	}
	return b.Bytes()
}
