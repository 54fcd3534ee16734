package pavise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/problem"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// exchange is one request on its path: the request, the answer, and the event
// that records both. It is reused; only the guard holds it.
type exchange struct {
	guard    *Guard
	request  *http.Request
	event    audit.Event
	host     *host
	endpoint *endpoint
	identity *shield.Identity
	passage  *passage
	rates    []limit.Applied // what the limits said, if any counted
	claims   bool            // there is a header that only we may set
	handed   bool            // the handler has the request
	turn     Turn            // among the requests that belong together
	unsent   bool            // the service got nothing of the request
	vouched  bool            // a trusted terminator said which certificates the caller has
	started  time.Time
	lapped   time.Time // when the last part of the path ended
	path     string    // escaped, as it is judged
	release  []func()  // give back places among the client's concurrent requests
	placed   bool      // it has a place among all requests under way
	trapped  bool      // it asked for a honeypot
	scans    []scan    // of the body, on its way
}

// passage is what handlers may see of an exchange. It belongs to one request and
// outlives it safely.
type passage struct {
	requestID string
	identity  *shield.Identity
	answer    answer
	said      said
	ids       ids // here they need no memory of their own
}

// record changes the event, unless the request is over.
func (p *passage) record(change func(*audit.Event)) {
	p.answer.mu.Lock()
	defer p.answer.mu.Unlock()
	if x := p.answer.exchange; x != nil {
		change(&x.event)
	}
}

type contextKey struct{}

// IdentityOf returns who sent the request, or nil outside a guarded handler.
func IdentityOf(ctx context.Context) *shield.Identity {
	if p, ok := ctx.Value(contextKey{}).(*passage); ok {
		return p.identity
	}
	return nil
}

// RequestID returns the ID that the caller and the event have, or "" outside a
// guarded handler.
func RequestID(ctx context.Context) string {
	if p, ok := ctx.Value(contextKey{}).(*passage); ok {
		return p.requestID
	}
	return ""
}

// Outcome is what a handler learned of the service that it passed the request
// to. It goes into the event.
type Outcome struct {
	Address  string // of the service
	Status   int    // that it answered
	Duration time.Duration
	Note     string // "upgraded", "aborted", …
	Unsent   bool   // no byte of the request reached it
}

// Report adds an outcome to the event of the request. After the request is over
// it does nothing.
func Report(ctx context.Context, o Outcome) {
	p, ok := ctx.Value(contextKey{}).(*passage)
	if !ok {
		return
	}
	p.record(func(e *audit.Event) {
		e.Upstream, e.UpstreamStatus, e.UpstreamDuration = o.Address, o.Status, o.Duration
		if o.Note != "" {
			e.Note = o.Note
		}
		p.answer.exchange.unsent = o.Unsent
	})
}

// Fail answers a request that the guard accepted but its handler could not
// serve, in the guard's form, and says so in the event.
func Fail(w http.ResponseWriter, r *http.Request, refusal *shield.Refusal) {
	p, ok := r.Context().Value(contextKey{}).(*passage)
	if !ok {
		problem.Write(w, refusal, "")
		return
	}
	p.record(func(e *audit.Event) {
		e.Decision, e.Code, e.Detail = audit.Failed, string(refusal.Code), refusal.Detail
		p.answer.held = nil // whatever was held back is not sent
	})
	problem.Write(w, refusal, p.requestID)
}

// Decline says in the event that the handler refuses a request that the guard accepted:
// an authorization server that does not know a code. It writes nothing; call it before
// the answer begins. Outside a guarded handler it does nothing.
func Decline(r *http.Request, code, detail string) {
	if p, ok := r.Context().Value(contextKey{}).(*passage); ok {
		p.record(func(e *audit.Event) { e.Decision, e.Code, e.Detail = audit.Refused, code, detail })
	}
}

// begin starts the exchange and its event.
func (g *Guard) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x, ok := g.exchanges.Get().(*exchange)
	if !ok {
		x = new(exchange)
	}
	now := g.now()
	x.guard, x.started, x.lapped = g, now, now // all else is as new: end left it so
	x.passage = &passage{}
	x.passage.answer.under, x.passage.answer.exchange = w, x
	x.request = r.WithContext(context.WithValue(r.Context(), contextKey{}, x.passage))
	x.describe(now)
	return x
}

// draw draws what is random of a request.
func (g *Guard) draw(own *ids) {
	if _, err := io.ReadFull(g.rand, own.random[:]); err != nil {
		panic(fmt.Sprintf("no randomness for a request ID: %v", err)) // nothing was decided: the server aborts the connection
	}
}

// describe fills in what is known before the first step.
func (x *exchange) describe(now time.Time) {
	r, e := x.request, &x.event
	x.path = r.URL.EscapedPath()
	e.Time, e.Class = now, audit.Request
	e.Peer = addrPort(r.RemoteAddr)
	e.Remote = e.Peer
	x.name()
	e.Proto, e.Method, e.Host = r.Proto, r.Method, r.Host
	e.Query = maskQuery(r.URL.RawQuery, nil)
	e.UserAgent = maskText(r.Header.Get("User-Agent"))
	if r.TLS != nil {
		e.TLS, e.SNI = tlsVersion(r.TLS.Version), r.TLS.ServerName
	}
}

// refuse answers with the refusal in err and records it.
func (x *exchange) refuse(err error) {
	refusal := problem.Classify(err)
	e := &x.event
	e.Decision, e.Code, e.Detail = audit.Refused, string(refusal.Code), maskText(refusal.Detail)
	if refusal.HTTPStatus() >= http.StatusInternalServerError && refusal.Code != shield.Busy {
		e.Decision = audit.Failed
	}
	if x.trapped {
		e.Code, e.Detail = string(shield.Honeypot), "a honeypot"
	}
	if refusal.CredentialID != "" {
		e.CredentialID, e.Client = refusal.CredentialID, refusal.Client
	}
	e.Proved = e.Proved || refusal.Proved
	e.Exposed = e.Exposed || refusal.Exposed
	if !e.Proved && e.Warning == "" && needsNoCredential(e.Code) && x.isForAnotherSite() {
		e.Warning = audit.SentByPage
	}
	refusal = refusal.With(x.pointed(refusal.Challenge)...)
	problem.Write(x.writer(), refusal, x.passage.requestID)
}

// needsNoCredential reports whether a request that is refused so can be one that a page makes a
// browser send: to headers with credentials pages of other sites have no way.
func needsNoCredential(code string) bool {
	switch shield.Code(code) {
	case shield.InvalidCredential, shield.BadSignature, shield.MalformedCredential, shield.LockedOut:
		return false
	}
	return true
}

// end completes the event, whatever happened, and answers for a handler that
// panicked.
func (x *exchange) end() {
	fault := recover()
	aborted := false
	if fault != nil {
		aborted = x.crashed(fault)
	} else {
		x.writer().WriteHeader(http.StatusOK)
	}
	x.settle(false)
	x.passage.answer.end()
	for _, release := range x.release {
		release()
	}
	if x.placed {
		x.guard.load.Leave()
	}
	x.complete()
	guard, none := x.guard, x.release[:0]
	clear(x.release)
	*x = exchange{release: none}
	guard.exchanges.Put(x)
	if aborted {
		panic(http.ErrAbortHandler)
	}
}

func (x *exchange) complete() {
	e, a := &x.event, &x.passage.answer
	e.Status, e.BytesOut = a.status, a.bytes.Load()
	e.BytesIn = max(x.request.ContentLength, 0)
	e.Duration = x.guard.now().Sub(x.started)
	if a.begunEvent {
		x.guard.sink.Complete(e)
	}
}

// crashed turns a panic into a 500, or, when the answer had begun, into an
// aborted connection. It reports whether the connection must be aborted. The
// value of the panic may hold anything and is not recorded, only where it rose.
func (x *exchange) crashed(fault any) (abort bool) {
	x.passage.answer.mu.Lock()
	abort = x.note(fault)
	x.passage.answer.mu.Unlock()
	if abort {
		return true
	}
	problem.Write(x.writer(), &shield.Refusal{Code: shield.Internal}, x.passage.requestID)
	return false
}

// note records a panic, and reports whether the connection must be aborted. The
// answer's lock is held.
func (x *exchange) note(fault any) (abort bool) {
	e, a := &x.event, &x.passage.answer
	if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		if e.Note == "" { // the handler may know better why
			e.Note = "aborted"
		}
		_ = a.keepEvent() // nothing of an answer is sent any more
		return true
	}
	a.held = nil
	e.Decision, e.Code = audit.Failed, string(shield.Internal)
	e.Detail = fmt.Sprintf("panic (%T) at %s", fault, panicSite())
	if a.began {
		e.Note = "aborted"
	}
	return a.began
}

// panicSite names the first function outside the runtime above the panic.
func panicSite() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	panicking := false
	for {
		frame, more := frames.Next()
		isRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if panicking && !isRuntime {
			return fmt.Sprintf("%s:%d", frame.Function, frame.Line)
		}
		panicking = panicking || frame.Function == "runtime.gopanic"
		if !more {
			return "unknown place"
		}
	}
}

func (x *exchange) writer() http.ResponseWriter { return &x.passage.answer }
