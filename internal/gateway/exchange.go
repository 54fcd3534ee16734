package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/shield"
)

// exchange is one request on its way to the upstream and back.
type exchange struct {
	u *Upstream
	w http.ResponseWriter
	r *http.Request
	http.ResponseController

	target    string // path and query, the bytes that were checked
	identity  *shield.Identity
	token     string // Pavise-Identity
	requestID string
	strip     []string // credential carriers
	listed    []string // named by Connection
	upgrade   string   // protocol asked for, if it may be upgraded to
	expects   bool     // 100-continue is to be asked of the upstream
	body      sending

	wait    time.Duration // from the end of the request to the head of the answer
	started time.Time     // real clock
	limit   time.Time     // when a non-stream must be over; zero: never
	result  Result
	hinted  bool // a 1xx answer went to the caller
	reached bool // an attempt may have brought the upstream a byte of the request

	at      *address
	watched *watched
	ended   atomic.Pointer[string] // why the watcher ended it
}

// How a request's body is sent.
const (
	noBody   = iota
	inline   // short: read before an address is chosen, sent before the answer is read
	streamed // by a goroutine of its own, beside the answer
)

// inlineMax is the longest body that is read whole before anything is sent, in
// bytes. A slow caller then holds no connection to the upstream, and the body can
// be sent again. It fits the socket buffers, so a peer that answers early cannot
// block us.
const inlineMax = 64 << 10

type sending struct {
	kind     int
	length   int64        // -1: chunked
	bytes    []byte       // of an inline body
	pooled   *[]byte      // where they stand, if the buffer is to be given back
	kept     *shield.Body // of a streamed body, not nil: it can be sent again
	touched  bool         // a byte of it was asked for
	trailers []string     // declared by the caller, and allowed to pass
}

// repeatable reports whether the body can still be sent from its start.
func (s *sending) repeatable() bool {
	return s.kind != streamed || !s.touched || s.kept != nil && s.kept.Rewind()
}

// stage says how far a request came before it failed.
type stage int

const (
	unsent  stage = iota // no byte of it reached the upstream
	sent                 // perhaps some did
	atFault              // the caller's own doing: his body, or he left
)

// fault is why an attempt failed.
type fault struct {
	err     error
	stage   stage
	refusal *shield.Refusal // the caller's fault has an answer of its own
	stale   bool            // a kept connection had been closed by the peer
}

// transport takes requests to one address.
type transport interface {
	// send sends the request and reads the head of the answer. fresh: on a
	// connection made for it.
	send(x *exchange, fresh bool) (reply, *fault)
	prune(now time.Time)
	close()
}

// reply is an upstream's answer. It belongs to one goroutine; interrupt may be
// called by any.
type reply interface {
	head() *responseHead
	Read(p []byte) (int, error) // ends with io.EOF only when the answer is whole
	buffered() bool             // Read will not wait
	trailers() []field          // after io.EOF
	finish(whole bool)          // once; waits for the sending goroutine
	uploading() bool            // the caller's body is not yet wholly read
	tunnel() net.Conn           // of a 101; buffered bytes come first
	interruptible
}

type interruptible interface{ interrupt() }

// newExchange reads off a request what the upstream is to get.
func (u *Upstream) newExchange(w http.ResponseWriter, r *http.Request, wait time.Duration) (*exchange, *shield.Refusal) {
	x := &exchange{u: u, w: w, r: r, ResponseController: *http.NewResponseController(w), wait: wait, started: time.Now()}
	var refusal *shield.Refusal
	if x.target, refusal = target(r); refusal != nil {
		return x, refusal
	}
	x.requestID = u.s.RequestID(r)
	x.strip = u.s.Strip(r)
	x.identity = u.s.Identity(r)
	if connection := r.Header["Connection"]; connection != nil {
		x.listed = connectionNames(connection)
		x.upgrade = u.upgradeOf(r)
	}
	x.planBody()
	if u.tokens != nil && x.identity != nil {
		var err error
		if x.token, err = u.tokens.get(x.identity); err != nil {
			return x, shield.Refuse(shield.Internal, "sign the identity for upstream %s: %v", u.s.Name, err)
		}
	}
	return x, nil
}

// target returns path and query exactly as they were matched. Where the request
// line and the parsed address differ, something was repaired on the way, and
// what would be sent is not what was checked.
func target(r *http.Request) (string, *shield.Refusal) {
	path := r.URL.EscapedPath()
	if r.URL.RawQuery == "" && !r.URL.ForceQuery {
		if r.RequestURI == path && path != "" {
			return path, nil
		}
	} else if n := len(path); len(r.RequestURI) == n+1+len(r.URL.RawQuery) && r.RequestURI[:n] == path &&
		r.RequestURI[n] == '?' && r.RequestURI[n+1:] == r.URL.RawQuery {
		return r.RequestURI, nil
	}
	if r.RequestURI == "*" && r.Method == http.MethodOptions {
		return "*", nil
	}
	return "", shield.Refuse(shield.BadPath, "the target as it was sent differs from the path and query that were checked")
}

// upgradeOf returns the protocol that the request asks for and may have.
func (u *Upstream) upgradeOf(r *http.Request) string {
	if r.ProtoMajor != 1 || !r.ProtoAtLeast(1, 1) || !hasToken(r.Header["Connection"], "upgrade") || len(r.Header["Upgrade"]) != 1 {
		return ""
	}
	for _, allowed := range u.s.Upgrades {
		if strings.EqualFold(r.Header["Upgrade"][0], allowed) {
			return allowed
		}
	}
	return ""
}

func (x *exchange) planBody() {
	r := x.r
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	x.body.length = r.ContentLength
	x.upgrade = "" // an upgrade with a body could say two things at once
	x.body.trailers = x.declared()
	if len(x.body.trailers) > 0 {
		x.body.length = -1
	}
	if kept, ok := r.Body.(*shield.Body); ok && kept.Rewind() {
		x.body.kept = kept
	}
	x.expects = x.body.kept == nil && r.ProtoAtLeast(1, 1) && hasToken(r.Header["Expect"], "100-continue")
	x.body.kind = streamed
	if x.body.length > 0 && x.body.length <= inlineMax && !x.expects {
		x.body.kind = inline
	}
}

// readInline reads a short body whole.
func (x *exchange) readInline() *fault {
	if x.body.kind != inline {
		return nil
	}
	x.body.pooled = x.u.bodies.get()
	x.body.bytes = (*x.body.pooled)[:x.body.length]
	began := x.u.s.Now()
	if _, err := io.ReadFull(x.r.Body, x.body.bytes); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return x.bodyFault(err)
	}
	if now := x.u.s.Now(); now.Sub(began) >= watchEvery {
		return x.stillMay(now)
	}
	return nil
}

// stillMay is a fault if the credential has ended while its caller took his time: nothing of the
// request was sent, and nothing is.
func (x *exchange) stillMay(now time.Time) *fault {
	code := shield.RevokedCredential
	switch why := overBecause(x.identity, now); {
	case why == "expired":
		code = shield.ExpiredCredential
	case why == "" && x.identity != nil && x.u.s.Held != nil && x.u.s.Held(x.identity):
		code = shield.SuspendedCredential
	case why == "":
		return nil
	}
	refusal := shield.Refuse(code, "the credential ended while the body came").Of("", "", true)
	return &fault{err: refusal, stage: atFault, refusal: refusal}
}

// declared returns the trailers that the caller announced and that may pass.
// net/http adds undeclared ones to the same map later; these stay here.
func (x *exchange) declared() []string {
	var names []string
	for name := range x.r.Trailer {
		if !dropsTrailer(name) && !x.drops(name) {
			names = append(names, name)
		}
	}
	return names
}

func (x *exchange) isStripped(name string) bool {
	for _, stripped := range x.strip {
		if name == stripped || len(name) == len(stripped) && strings.EqualFold(name, stripped) {
			return true
		}
	}
	for _, listed := range x.listed {
		if name == listed {
			return true
		}
	}
	return false
}

// drops reports whether a header field of the request stays here.
func (x *exchange) drops(name string) bool {
	if !isPlain(name) {
		name = plainName(name) // X_API_Key is X-API-Key to some
	}
	return x.u.rules.dropsRequest(name) || x.isStripped(name)
}

// sent are the values of a field that passes.
func (x *exchange) sent(name string, values []string) []string {
	if name != "Cookie" || x.u.s.Verbatim {
		return values
	}
	others := make([]string, 0, len(values))
	for _, value := range values {
		if other := othersCookies(value); other != "" || other == value {
			others = append(others, other)
		}
	}
	return others
}

// keeps reports whether a field of an answer stays here.
func (x *exchange) keeps(f *field) bool {
	return x.u.rules.dropsResponse(f.name) || !x.u.s.Verbatim && setsOwnCookie(f.name, f.value)
}

// host is the Host of the request to the address.
func (x *exchange) host(t *address) string {
	if x.u.s.PreserveHost {
		return x.r.Host
	}
	return t.url.Host
}

// setFields calls set for every field that the gateway itself adds.
func (x *exchange) setFields(set func(name, value string)) {
	r := x.r
	if hasToken(r.Header["Te"], "trailers") {
		set("Te", "trailers")
	}
	if x.u.s.Verbatim {
		return
	}
	remote, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		remote = ""
	}
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	node := "unknown"
	if remote != "" {
		set("X-Forwarded-For", remote)
		node = forwardedNode(remote)
	}
	set("X-Forwarded-Proto", proto)
	set("X-Forwarded-Host", r.Host)
	set("Forwarded", "for="+node+";host=\""+r.Host+"\";proto="+proto)
	if x.requestID != "" {
		set("X-Request-Id", x.requestID)
	}
	if x.token != "" {
		set("Pavise-Identity", x.token)
	}
	for _, plain := range x.u.plain {
		if value := plain.value(x.identity); value != "" {
			set(plain.name, value)
		}
	}
	if cert := x.u.s.ClientCertificate(r); cert != nil {
		set("Client-Cert", clientCert(cert))
	}
	if x.u.s.Via != "" {
		set("Via", "1."+string('0'+byte(r.ProtoMinor%10))+" "+x.u.s.Via)
	}
}

// forwardedNode writes an address as RFC 7239 §6 wants it.
func forwardedNode(addr string) string {
	if strings.IndexByte(addr, ':') >= 0 {
		return `"[` + addr + `]"`
	}
	return addr
}

// informational hands a 1xx answer on (RFC 9110 §15.2). 100 stays here: the
// server sends its own when the body is asked for.
func (x *exchange) informational(h *responseHead) {
	if h.status == http.StatusContinue || !x.r.ProtoAtLeast(1, 1) {
		return
	}
	x.hinted = true
	out := x.w.Header()
	saved := make(http.Header, len(out))
	for name, values := range out {
		saved[name] = values
	}
	clear(out)
	for i := range h.fields {
		if f := &h.fields[i]; !x.keeps(f) {
			out[f.name] = append(out[f.name], f.value)
		}
	}
	x.w.WriteHeader(h.status)
	clear(out)
	for name, values := range saved {
		out[name] = values
	}
}

// watch has the exchange ended when its credential is.
func (x *exchange) watch(up interruptible) {
	if x.watched == nil {
		x.watched = x.u.watcher.add(x, up)
		return
	}
	x.watched.is(up)
}

// end is called by the watcher: it breaks both connections.
func (x *exchange) end(why string, up interruptible) {
	x.ended.Store(&why)
	up.interrupt()
	past := time.Unix(1, 0)
	_ = x.SetReadDeadline(past) // not supported: the other direction's end suffices
	_ = x.SetWriteDeadline(past)
}

// unblockBody makes a Read of the caller's body return.
func (x *exchange) unblockBody() {
	if x.r.ProtoMajor == 1 && x.SetReadDeadline(time.Unix(1, 0)) == nil {
		return
	}
	_ = x.r.Body.Close()
}

// note says why an exchange that began did not end well.
func (x *exchange) note() string {
	switch why := x.ended.Load(); {
	case why != nil:
		return *why
	case x.r.Context().Err() != nil:
		return "client_gone"
	}
	return "upstream_aborted"
}

// refusalFor maps a fault to what the caller is told.
func (x *exchange) refusalFor(f *fault) *shield.Refusal {
	if f.refusal != nil {
		return f.refusal
	}
	return classify(x.result.Addr, f.err)
}

func classify(addr string, err error) *shield.Refusal {
	if hostname, ok := errors.AsType[x509.HostnameError](err); ok {
		return shield.Refuse(shield.UpstreamFailed, "upstream %s has another name: %v; correct the address, set server_name, or mend its certificate", addr, hostname)
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return shield.Refuse(shield.UpstreamFailed, "upstream %s: %v; set ca to the file with its CA", addr, unknown)
	}
	if isTimeout(err) {
		return shield.Refuse(shield.UpstreamTimeout, "upstream %s: %v", addr, err)
	}
	return shield.Refuse(shield.UpstreamFailed, "upstream %s: %v", addr, err)
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// dialFault says whose fault it is that there is no connection.
func (x *exchange) dialFault(err error) *fault {
	if x.r.Context().Err() != nil {
		return &fault{err: err, stage: atFault}
	}
	return &fault{err: err, stage: unsent}
}

// bodyFault says whose fault a failed read of the caller's body is.
func (x *exchange) bodyFault(err error) *fault {
	f := &fault{err: err, stage: atFault}
	tooLong, isTooLong := errors.AsType[*http.MaxBytesError](err)
	refusal, isRefused := errors.AsType[*shield.Refusal](err)
	switch {
	case x.ended.Load() != nil:
	case isTooLong:
		f.refusal = shield.Refuse(shield.TooLarge, "the body is longer than %d bytes", tooLong.Limit)
	case isRefused:
		f.refusal = refusal // the edge's too: net/http ends the context as if the caller had left, but he waits
	case x.r.Context().Err() != nil: // nobody is there to be told
	default:
		f.refusal = shield.Refuse(shield.BadHeader, "read the body: %v", err)
	}
	return f
}

// buffers are reused.
type buffers struct {
	size int
	pool sync.Pool
}

func (b *buffers) get() *[]byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, b.size)
	return &p
}

func (b *buffers) put(p *[]byte) { b.pool.Put(p) }

var errClosedPool = errors.New("the upstream was closed")

// isEnd reports whether the peer closed or reset the connection.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err)
}
