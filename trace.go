package pavise

import (
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"math"
	"net/http"
)

// Traces says which requests belong to a trace that is recorded (W3C Trace Context). Every
// request has a trace and a span, in its event and in the traceparent that the handler gets;
// whether they are marked as sampled is said here.
type Traces struct {
	Sample  float64 // share of the requests without a trace of their own that begin one; 0 to 1
	Trusted bool    // a caller's traceparent counts only if it comes through a trusted proxy
}

// ids are a request's ID, its span, and the trace that it may begin. They need no memory of
// their own.
type ids struct {
	random [10 + 8 + 16]byte
	text   [idLength + traceparentLength]byte
	header [1]string // the traceparent that the handler gets
}

const (
	idLength          = 16
	traceparent       = "Traceparent"
	tracestate        = "Tracestate"
	traceparentLength = 55  // 00-TRACE-SPAN-FLAGS
	maxTracestate     = 512 // bytes that at least must be handed on (§3.3.1.5)
)

// name gives the request its ID, and puts it into the trace that its caller began or into one
// of its own.
func (x *exchange) name() {
	own, e := &x.passage.ids, &x.event
	x.guard.draw(own)
	trace, parent, sampled := "", "", false
	if from := x.request.Header[traceparent]; len(from) == 1 && (!x.guard.traces.Trusted || x.guard.proxies.trusts(e.Peer.Addr())) {
		trace, parent, sampled = parseTraceparent(from[0])
	}
	if trace == "" {
		sampled = x.guard.traces.begins(own.random[18:])
	}
	text := own.spell(trace, sampled)
	e.ID, own.header[0] = text[:idLength], text[idLength:]
	e.Trace, e.Span, e.Parent, e.Sampled = own.header[0][3:35], own.header[0][36:52], parent, sampled
	x.passage.requestID = e.ID
}

// handTrace gives the trace to the handler. The caller's own words stand until then: they may
// be signed. What he says of a trace that ends here, or too much, is not handed on.
func (x *exchange) handTrace() {
	h := x.request.Header
	h[traceparent] = x.passage.ids.header[:]
	if state, ok := h[tracestate]; ok && (x.event.Parent == "" || !isHandedOn(state)) {
		delete(h, tracestate)
	}
}

// spell writes the ID, 80 random bits as 16 letters and digits: unique, short enough to be
// read out over a telephone; and behind it the traceparent that the handler gets (§3.2).
func (o *ids) spell(trace string, sampled bool) string {
	base32.HexEncoding.Encode(o.text[:idLength], o.random[:10])
	t := o.text[idLength:]
	copy(t, "00-")
	if trace == "" {
		hex.Encode(t[3:], o.random[18:])
	} else {
		copy(t[3:], trace)
	}
	t[35], t[52] = '-', '-'
	hex.Encode(t[36:], o.random[10:18])
	copy(t[53:], "00")
	if sampled {
		t[54] = '1'
	}
	return string(o.text[:])
}

// begins decides by the trace's own bits, as everybody else on its way can (W3C Trace
// Context Level 2, §2.2.1: the last seven bytes are random).
func (t Traces) begins(trace []byte) bool {
	const all = 1 << 56
	return float64(binary.BigEndian.Uint64(trace[8:])&(all-1)) < math.Ldexp(t.Sample, 56)
}

// parseTraceparent reads trace, parent and the flag "sampled" (§3.2.2). What is not well
// formed counts as none.
func parseTraceparent(value string) (trace, parent string, sampled bool) {
	if len(value) < traceparentLength || value[2] != '-' || value[35] != '-' || value[52] != '-' ||
		!isLowerHex(value[:2]) || value[:2] == "ff" {
		return "", "", false
	}
	if len(value) > traceparentLength && (value[:2] == "00" || value[traceparentLength] != '-') {
		return "", "", false
	}
	trace, parent = value[3:35], value[36:52]
	flags := value[53:55]
	if !isLowerHex(trace) || !isLowerHex(parent) || !isLowerHex(flags) || isZeros(trace) || isZeros(parent) {
		return "", "", false
	}
	return trace, parent, (hexDigit(flags[1]) & 1) == 1
}

func hexDigit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isZeros(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}

// isHandedOn reports whether a tracestate passes: whole, and of bounded length.
func isHandedOn(state []string) bool {
	length := 0
	for _, value := range state {
		length += len(value) + 1
	}
	return length <= maxTracestate+1
}

// TraceOf returns the traceparent of the request, for a handler's own calls; "" outside a
// guarded handler.
func TraceOf(r *http.Request) string {
	if p, ok := r.Context().Value(contextKey{}).(*passage); ok {
		return p.ids.header[0]
	}
	return ""
}
