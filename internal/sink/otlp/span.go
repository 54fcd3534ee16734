package otlp

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
)

// spans writes requests as Spans: field 2 of ScopeSpans. It reuses its buffers.
type spans struct {
	span []byte
	text []byte
}

// Kinds of spans, the code of a status, and flags (opentelemetry/proto/trace/v1).
const (
	kindInternal = 1
	kindServer   = 2
	kindClient   = 3

	statusError = 2

	flagSampled  = 1
	flagIsKnown  = 0x100 // whether the parent is another process's
	flagIsRemote = 0x200 // it is
)

// attribute is the field of a Span's attributes.
const attribute = 9

// append writes the spans of a request: its own, as a server; one for each part of its path
// that took time; and that of the call of the upstream.
func (s *spans) append(dst []byte, f audit.Found) []byte {
	e := &f.Event
	c, ok := contextOf(e)
	if !ok || !e.Sampled || e.Class != audit.Request {
		return dst
	}
	at := e.Time
	for part, took := range e.Took {
		at = at.Add(max(took, 0))
		if took > 0 {
			dst = s.part(dst, &c, audit.Part(part), at.Add(-took), at)
		}
	}
	if e.Upstream != "" {
		called := at
		at = at.Add(max(e.UpstreamDuration, 0))
		dst = s.call(dst, &c, e, called, at)
	}
	if end := e.Time.Add(e.Duration); end.After(at) { // it has none if the process died
		at = end
	}
	return s.server(dst, &c, &f, at)
}

// context is where spans belong.
type context struct {
	trace        [16]byte
	span, parent [8]byte
	hasParent    bool
}

// contextOf reads what an event says of its trace; ok is false if it says nothing that could
// be one.
func contextOf(e *audit.Event) (c context, ok bool) {
	if !unhex(c.trace[:], e.Trace) || !unhex(c.span[:], e.Span) {
		return context{}, false
	}
	c.hasParent = unhex(c.parent[:], e.Parent)
	return c, true
}

// unhex reads an id, which is never all zeros.
func unhex(into []byte, text string) bool {
	if len(text) != 2*len(into) || strings.Trim(text, "0") == "" {
		return false
	}
	for i := range into {
		n, err := strconv.ParseUint(text[2*i:2*i+2], 16, 8)
		if err != nil {
			clear(into)
			return false
		}
		into[i] = byte(n)
	}
	return true
}

// begin writes what all spans have.
func (s *spans) begin(c *context, id [8]byte, kind byte, name []byte, from, to time.Time) []byte {
	r := appendBytes(s.span[:0], 1, c.trace[:])
	r = appendBytes(r, 2, id[:])
	flags := uint32(flagSampled | flagIsKnown)
	switch {
	case kind != kindServer:
		r = appendBytes(r, 4, c.span[:])
	case c.hasParent:
		r = appendBytes(r, 4, c.parent[:])
		flags |= flagIsRemote
	}
	r = appendString(r, 5, name)
	r = append(appendTag(r, 6, wireVarint), kind)
	r = appendFixed(r, 7, uint64(max(from.UnixNano(), 0)))
	r = appendFixed(r, 8, uint64(max(to.UnixNano(), 0)))
	return binary.LittleEndian.AppendUint32(appendTag(r, 16, wire32), flags)
}

// end closes a span. Why it failed, if it did, is its error.type.
func (s *spans) end(dst, r []byte, failed string) []byte {
	if failed != "" {
		r = appendText(r, attribute, "error.type", failed)
		r = append(appendTag(r, 15, wireBytes), 2, 3<<3|wireVarint, statusError) // Status.code
	}
	s.span = r
	return appendBytes(dst, 2, r)
}

// part is a part of the path, before the upstream was asked.
func (s *spans) part(dst []byte, c *context, p audit.Part, from, to time.Time) []byte {
	s.text = append(append(s.text[:0], "pavise."...), p.String()...)
	return s.end(dst, s.begin(c, audit.ChildSpan(c.span, p), kindInternal, s.text, from, to), "")
}

// call is that of the upstream, until the head of its answer. The upstream has its id as
// parent.
func (s *spans) call(dst []byte, c *context, e *audit.Event, from, to time.Time) []byte {
	method, original := knownMethod(e.Method)
	s.text = append(s.text[:0], nameOf(method)...)
	r := s.begin(c, audit.ChildSpan(c.span, audit.CallSpan), kindClient, s.text, from, to)
	r = appendText(r, attribute, "http.request.method", method)
	r = appendText(r, attribute, "http.request.method_original", original)
	s.text = append(append(s.text[:0], e.Upstream...), e.Path...)
	if e.Query != "" {
		s.text = append(append(s.text, '?'), e.Query...)
	}
	scheme, address, isURL := strings.Cut(e.Upstream, "://")
	if isURL {
		r = appendText(r, attribute, "url.full", s.text)
	} else {
		scheme, address = "", e.Upstream
	}
	r = appendText(r, attribute, "url.scheme", scheme)
	r = appendHost(r, address)
	if ap, err := netip.ParseAddrPort(address); err == nil {
		r = s.address(r, "network.peer.address", ap.Addr())
		r = appendInt(r, attribute, "network.peer.port", int64(ap.Port()))
	}
	r = appendInt(r, attribute, "http.response.status_code", int64(e.UpstreamStatus))
	r = appendText(r, attribute, "pavise.note", e.Note)
	return s.end(dst, r, callFailed(e))
}

// callFailed says why the call of the upstream counts as failed; "" if it does not. For
// clients 4xx is an error, too.
func callFailed(e *audit.Event) string {
	switch {
	case e.Note == upstreamAborted || e.Note == upstreamTimeout:
		return e.Note
	case e.UpstreamStatus >= 400:
		return strconv.Itoa(e.UpstreamStatus)
	case e.UpstreamStatus == 0 && e.Code != "":
		return e.Code
	case e.UpstreamStatus == 0 && e.Note != "":
		return e.Note
	case e.UpstreamStatus == 0:
		return other
	}
	return ""
}

// Notes of events that say that an answer is not whole, and not by its receiver's will.
const (
	aborted         = "aborted"
	interrupted     = "interrupted"
	upstreamAborted = "upstream_aborted"
	upstreamTimeout = "upstream_timeout"
)

// other is the convention's word for what has no better one.
const other = "_OTHER"

// server is the request as its caller sees it.
func (s *spans) server(dst []byte, c *context, f *audit.Found, to time.Time) []byte {
	e := &f.Event
	method, original := knownMethod(e.Method)
	s.text = append(s.text[:0], nameOf(method)...)
	_, route, _ := strings.Cut(e.Endpoint, " ")
	if route != "" {
		s.text = append(append(s.text, ' '), route...)
	}
	r := s.begin(c, c.span, kindServer, s.text, e.Time, to)
	r = appendText(r, attribute, "http.request.method", method)
	r = appendText(r, attribute, "http.request.method_original", original)
	r = appendText(r, attribute, "http.route", route)
	r = s.conventions(r, e)
	for _, a := range [...]struct{ key, value string }{
		{"pavise.request_id", e.ID},
		{"pavise.api", e.API},
		{"pavise.decision", string(e.Decision)},
		{"pavise.code", e.Code},
		{"pavise.step", e.Step},
		{"pavise.shield", e.Shield},
		{"pavise.credential", e.CredentialID},
		{"pavise.client", e.Client},
		{"pavise.tenant", e.Tenant},
		{"pavise.warning", e.Warning},
		{"pavise.would", e.Would},
		{"pavise.changed", e.Changed},
		{"pavise.note", e.Note},
	} {
		r = appendText(r, attribute, a.key, a.value)
	}
	r = appendInt(r, attribute, "pavise.seq", int64(f.Seq))
	if e.Count > 1 {
		r = appendInt(r, attribute, "pavise.count", int64(e.Count))
	}
	return s.end(dst, r, failed(e))
}

// conventions are the attributes of OpenTelemetry for servers of HTTP.
func (s *spans) conventions(r []byte, e *audit.Event) []byte {
	scheme := "https"
	if e.TLS == "" {
		scheme = "http"
	}
	r = appendText(r, attribute, "url.scheme", scheme)
	r = appendText(r, attribute, "url.path", e.Path)
	r = appendText(r, attribute, "url.query", e.Query)
	r = appendHost(r, e.Host)
	r = s.address(r, "client.address", e.Remote.Addr())
	r = appendInt(r, attribute, "client.port", int64(e.Remote.Port()))
	r = s.address(r, "network.peer.address", e.Peer.Addr())
	r = appendInt(r, attribute, "network.peer.port", int64(e.Peer.Port()))
	r = appendText(r, attribute, "network.protocol.version", protocolVersion(e.Proto))
	r = appendText(r, attribute, "tls.protocol.version", e.TLS)
	r = appendText(r, attribute, "user_agent.original", e.UserAgent)
	r = appendInt(r, attribute, "http.response.status_code", int64(e.Status))
	r = appendInt(r, attribute, "http.request.body.size", e.BytesIn)
	return appendInt(r, attribute, "http.response.body.size", e.BytesOut)
}

// failed says why the request counts as failed; "" if it does not. What the caller did wrong,
// and is told, is no failure of a server.
func failed(e *audit.Event) string {
	switch {
	case e.Note == aborted || e.Note == interrupted || e.Note == upstreamAborted || e.Note == upstreamTimeout:
		return e.Note
	case e.Status < 500:
		return ""
	case e.Code != "":
		return e.Code
	}
	return strconv.Itoa(e.Status)
}

// knownMethod is a method of few; any other is a caller's invention.
func knownMethod(method string) (known, original string) {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return method, ""
	}
	return other, method
}

// nameOf is a method in the name of a span.
func nameOf(known string) string {
	if known == other {
		return "HTTP"
	}
	return known
}

// protocolVersion is what stands behind "HTTP/"; HTTP/2 and later have no minor version.
func protocolVersion(proto string) string {
	version, _ := strings.CutPrefix(proto, "HTTP/")
	switch version {
	case "2.0":
		return "2"
	case "3.0":
		return "3"
	}
	return version
}

// appendHost appends the name, and the port if there is one.
func appendHost(r []byte, host string) []byte {
	name, port := host, ""
	if end := strings.LastIndexByte(host, ':'); end > 0 && !strings.Contains(host[end:], "]") {
		name, port = host[:end], host[end+1:]
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	r = appendText(r, attribute, "server.address", name)
	if port == "" {
		return r
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return r
	}
	return appendInt(r, attribute, "server.port", int64(n))
}

// address leaves the zone out, which may be any text.
func (s *spans) address(r []byte, key string, addr netip.Addr) []byte {
	if !addr.IsValid() {
		return r
	}
	s.text = addr.WithZone("").AppendTo(s.text[:0])
	return appendText(r, attribute, key, s.text)
}
