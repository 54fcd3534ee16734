package pavise

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"pavise.dev/pavise/internal/problem"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// errUnrecorded ends the answer of a request whose event could not be kept.
var errUnrecorded = errors.New("the event could not be kept safe, so nothing is sent")

// errEnded is what a handler gets that writes after it has returned.
var errEnded = errors.New("the handler has returned, and its answer has ended")

// answer is the guard's response writer. Its promises, tested over HTTP/1.1,
// HTTP/2 and httptest by the suite in internal/writertest:
//
//   - the event is safe before the first byte of the answer leaves; if that
//     fails, the caller gets 503 and nothing of the handler's answer;
//   - the final status is recorded; informational ones (1xx) pass, and are not
//     taken for it;
//   - security headers are there unless the handler set its own;
//   - Flush, Hijack, ReadFrom and http.ResponseController work if they work below;
//   - a handler that goes on after it has returned gets errors, and touches
//     neither the event nor anybody else's answer: each request has an answer of
//     its own, while the exchange behind it is used again.
type answer struct {
	under http.ResponseWriter
	ended atomic.Bool  // the handler has returned
	bytes atomic.Int64 // of the body

	mu         sync.Mutex // of what follows, and of the exchange's event while the handler runs
	exchange   *exchange  // nil: ended
	status     int
	began      bool  // a final status was given
	begunEvent bool  // the sink has the event
	refused    bool  // the event could not be kept; the handler's bytes go nowhere
	held       *held // the answer waits until it is judged; nil: it does not
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header {
	if a.ended.Load() {
		return http.Header{}
	}
	return a.under.Header()
}

// Unwrap serves http.ResponseController for what is not wrapped here.
func (a *answer) Unwrap() http.ResponseWriter {
	if a.ended.Load() {
		return nil
	}
	return a.under
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.exchange == nil:
	case status >= 100 && status < 200 && status != http.StatusSwitchingProtocols:
		a.under.WriteHeader(status)
	default:
		a.start(status)
	}
}

// start gives the final status, or holds the answer back to be judged. The lock is held.
func (a *answer) start(status int) {
	if a.held == nil && !a.began {
		a.held = a.exchange.hold(status, a.under.Header())
	}
	if a.held == nil {
		a.begin(status)
	}
}

// begin gives the final status, once. The lock is held.
func (a *answer) begin(status int) {
	if a.began {
		return
	}
	a.began, a.status = true, status
	a.exchange.event.Status = status
	a.exchange.dress(a.under.Header())
	if err := a.keepEvent(); err != nil {
		a.refuseUnrecorded()
		return
	}
	a.under.WriteHeader(status)
}

// take begins the answer if need be, and keeps p of one that is held back. It reports
// whether the answer is held; else a body may follow.
func (a *answer) take(p []byte) (isHeld bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.exchange == nil {
		return false, errEnded
	}
	a.start(http.StatusOK)
	switch {
	case a.refused:
		return false, errUnrecorded
	case a.held != nil:
		return a.keep(p)
	}
	return false, nil
}

// keepEvent makes the event safe, once. The lock is held.
func (a *answer) keepEvent() error {
	if a.begunEvent {
		return nil
	}
	if err := a.exchange.guard.sink.Begin(&a.exchange.event); err != nil {
		return fmt.Errorf("keep the event: %w", err)
	}
	a.begunEvent = true
	return nil
}

func (a *answer) refuseUnrecorded() {
	a.refused, a.status = true, http.StatusServiceUnavailable
	clear(a.under.Header())
	problem.Write(a.under, &shield.Refusal{Code: shield.Unrecorded}, a.exchange.passage.requestID)
}

// end takes the exchange away from the handler. What is written from now on goes
// nowhere.
func (a *answer) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.exchange = nil
	a.ended.Store(true)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	switch isHeld, err := a.take(p); {
	case err != nil:
		return 0, err
	case isHeld:
		return len(p), nil
	}
	n, err := a.under.Write(p)
	a.bytes.Add(int64(n))
	return n, err
}

// ReadFrom lets the layer below copy without a buffer of ours (sendfile).
func (a *answer) ReadFrom(source io.Reader) (int64, error) {
	switch isHeld, err := a.take(nil); {
	case err != nil:
		return 0, err
	case isHeld:
		return io.Copy(struct{ io.Writer }{a}, source)
	}
	n, err := io.Copy(a.under, source)
	a.bytes.Add(n)
	return n, err
}

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError sends what was written so far, unless it is held back.
func (a *answer) FlushError() error {
	if isHeld, err := a.take(nil); err != nil || isHeld {
		return err
	}
	return http.NewResponseController(a.under).Flush()
}

// Hijack gives the connection away, after the event is safe. The rest of the
// exchange is recorded as "upgraded".
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.exchange == nil:
		return nil, nil, errEnded
	case a.began, a.held != nil:
		return nil, nil, fmt.Errorf("hijack: the answer has begun")
	}
	a.exchange.event.Note, a.exchange.event.Status = "upgraded", http.StatusSwitchingProtocols
	if err := a.keepEvent(); err != nil {
		return nil, nil, err
	}
	conn, buffered, err := http.NewResponseController(a.under).Hijack()
	if err != nil {
		return nil, nil, err
	}
	a.began, a.status = true, http.StatusSwitchingProtocols
	return conn, buffered, nil
}

// dress adds the headers that every answer gets.
func (x *exchange) dress(h http.Header) {
	said := &x.passage.said
	x.dropOrigins(h)
	said.set(h, "X-Request-Id", x.passage.requestID)
	said.setDefault(h, "X-Content-Type-Options", "nosniff")
	said.setDefault(h, "X-Frame-Options", "DENY")
	said.setDefault(h, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	said.setDefault(h, "Referrer-Policy", "no-referrer")
	if x.request.TLS != nil && !isLasting(h["Strict-Transport-Security"]) {
		said.set(h, "Strict-Transport-Security", "max-age=31536000")
	}
	if x.rates != nil {
		x.dressRates(h)
	}
	if x.endpoint != nil && x.endpoint.guarded {
		for _, name := range targeted() {
			delete(h, name)
		}
		if !isPrivate(h.Get("Cache-Control")) {
			said.set(h, "Cache-Control", "no-store")
		}
	}
	if x.endpoint != nil {
		for name, values := range x.endpoint.Header {
			if _, ok := h[name]; !ok {
				h[name] = values[:len(values):len(values)]
			}
		}
	}
	x.dressOrigin(h)
}

// said holds the values of one answer's headers, so that they need no memory each.
type said struct {
	values [7]string
	n      int
}

func (s *said) set(h http.Header, name, value string) {
	s.values[s.n] = value
	s.n++
	h[name] = s.values[s.n-1 : s.n : s.n]
}

func (s *said) setDefault(h http.Header, name, value string) {
	if _, ok := h[name]; !ok {
		s.set(h, name, value)
	}
}

// minTransport is the least max-age with which a handler's own HSTS counts: ours, in
// seconds.
const minTransport = 31536000

// isLasting reports whether a handler's Strict-Transport-Security says no less than
// ours would (RFC 6797 §6.1): it may add subdomains, but not take the year away.
func isLasting(values []string) bool {
	if len(values) != 1 {
		return false
	}
	lasting := false
	for directive := range strings.SplitSeq(values[0], ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(strings.TrimSpace(name), "max-age") {
			continue
		}
		age, err := strconv.ParseUint(strings.Trim(value, "\" \t"), 10, 63)
		if lasting || err != nil || age < minTransport {
			return false // too short, or said twice
		}
		lasting = true
	}
	return lasting
}

// dressRates says how much of the guard's limits is left, and nothing of a service's
// own: two voices in one header would be no answer.
func (x *exchange) dressRates(h http.Header) {
	for _, name := range [...]string{"Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset"} { // of earlier drafts
		delete(h, name)
	}
	limit.SetHeaders(h, x.rates)
}

// targeted are the fields by which caches between here and the caller are told to keep what
// Cache-Control does not let them (RFC 9213 §2, and of before it).
func targeted() [9]string {
	return [...]string{
		"Cdn-Cache-Control", "Surrogate-Control", "X-Accel-Expires", "Edge-Control", "Akamai-Cache-Control", "Cloudflare-Cdn-Cache-Control",
		"Netlify-Cdn-Cache-Control", "Vercel-Cdn-Cache-Control", "X-Litespeed-Cache-Control",
	}
}

// isPrivate reports whether no shared cache may keep the answer (RFC 9111 §5.2.2).
func isPrivate(cacheControl string) bool {
	for directive := range strings.SplitSeq(cacheControl, ",") {
		switch strings.ToLower(strings.TrimSpace(directive)) {
		case "private", "no-store":
			return true
		}
	}
	return false
}
