package edge

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"

	"pavise.dev/pavise/internal/problem"
	"pavise.dev/pavise/shield"
)

// Step says where on the way to a request a fault was seen.
type Step string

// The steps of the edge.
const (
	StepLimit Step = "limit" // before the handshake: too many connections, or handshakes
	StepTLS   Step = "tls"   // in the handshake
	StepHTTP1 Step = "http1" // in the bytes of HTTP/1.1
	StepHTTP2 Step = "http2" // in the frames of HTTP/2
	StepPlain Step = "plain" // on the listener without TLS
)

// Code is the stable word for a fault. Where the guard has a word for the same
// refusal, it is the same word.
type Code string

// Codes of the handshake. The client sees a TLS alert or a closed connection.
const (
	TLSHandshake Code = "tls_handshake" // any other failure
	TLSVersion   Code = "tls_version"   // the client offers only versions that are refused
	TLSAlert     Code = "tls_alert"     // the client ended it: it refuses our certificate, for example
	ClientHello  Code = "client_hello"  // the bytes are no TLS, or its first message is malformed
)

// Codes of HTTP/1.1. In the head they are answered with their status.
const (
	BadRequestLine  Code = "bad_request_line"   // 400
	BadVersion      Code = "bad_version"        // 505: anything but HTTP/1.1
	BadHeader       Code = "bad_header"         // 400
	BadHost         Code = "bad_host"           // 400: none, several, empty or malformed
	BadExpectation  Code = "bad_expectation"    // 417: anything but 100-continue
	BadFraming      Code = "bad_framing"        // 400: where the body ends is not beyond doubt
	BadCoding       Code = "bad_coding"         // 501: a transfer coding other than chunked
	RefusedUpgrade  Code = "refused_upgrade"    // 400: to h2c, or CONNECT
	PathTooLong     Code = "path_too_long"      // 414
	HeadersTooLarge Code = "headers_too_large"  // 431: bytes or number of fields; also of HTTP/2
	Incomplete      Code = "incomplete_request" // 400: the connection ended inside a head
	TLSRequired     Code = "tls_required"       // 403: a request without TLS
	BlockedNetwork  Code = "blocked_network"    // 403: an operator keeps the network out; without TLS, over which the guard says so
)

// Codes of HTTP/2. The client sees RST_STREAM, GOAWAY or a closed connection.
const (
	BadStream Code = "h2_stream"     // one stream was reset for breaking RFC 9113
	BadFrames Code = "h2_connection" // the connection was ended for breaking RFC 9113
	Flood     Code = "h2_flood"      // more frames that cost us than requests can explain
)

// Codes of any step.
const (
	Timeout            Code = "timeout"              // too slow: handshake, head, body, or reading our answer
	TooManyConnections Code = "too_many_connections" // in all, or from one address
	TooManyHandshakes  Code = "too_many_handshakes"  // from one address within a time
)

// Fault is something wrong below a request: the material of a connection event.
// It never holds a header's value, a target or a body.
type Fault struct {
	ID         string // of the answer, where there was one; otherwise made for the event
	Time       time.Time
	Remote     netip.AddrPort
	Local      netip.AddrPort
	ServerName string // SNI, as far as the handshake got
	TLS        uint16 // the version, 0 before it was agreed and without TLS
	Step       Step
	Code       Code
	Status     int    // of the answer, 0 for none
	Detail     string // for the operator

	// Exposed names the header in which a credential came without TLS; whoever
	// owns it must take it for leaked.
	Exposed string
}

// Error is what a handler's read of a request body (or write of an answer) returns
// when the edge ended the connection. Find it with errors.AsType; a timeout also
// is os.ErrDeadlineExceeded.
type Error struct {
	Fault Fault

	refusal *shield.Refusal // that the handler answers with, if it has not answered yet; nil: none
}

// As lets a handler that has not answered yet find the answer, as a *[shield.Refusal].
func (e *Error) As(target any) bool {
	into, ok := target.(**shield.Refusal)
	if !ok || e.refusal == nil {
		return false
	}
	*into = e.refusal
	return true
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Fault.Code, e.Fault.Detail) }

// Unwrap lets a caller decide by os.ErrDeadlineExceeded.
func (e *Error) Unwrap() error {
	if e.Fault.Code == Timeout {
		return os.ErrDeadlineExceeded
	}
	return io.ErrUnexpectedEOF
}

// reject is a fault of the grammar before it is known on which connection.
type reject struct {
	code   Code
	status int
	detail string
}

// newID returns a request ID: 128 random bits in hexadecimal.
func newID(random io.Reader) string {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "" // an answer without an ID is better than none
	}
	return hex.EncodeToString(b[:])
}

// appendAnswer writes the whole HTTP/1.1 answer to a fault: a problem document
// (RFC 9457) with the code and the ID, and an end of the connection.
func appendAnswer(dst []byte, f *Fault) []byte {
	body := problem.Append(nil, shield.Code(f.Code), f.Status, f.ID)
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(f.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(f.Status)...)
	dst = append(dst, "\r\nDate: "...)
	dst = f.Time.UTC().AppendFormat(dst, http.TimeFormat)
	dst = append(dst, "\r\nContent-Type: "+problem.ContentType+"\r\nCache-Control: no-store\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\nConnection: close\r\n\r\n"...)
	return append(dst, body...)
}
