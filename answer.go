package pavise

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"pavise.dev/pavise/internal/problem"
	"pavise.dev/pavise/shield"
)

// errUnrecorded ends the answer of a request whose event could not be kept.
var errUnrecorded = errors.New("the event could not be kept safe, so nothing is sent")

// answer is the guard's response writer. Its promises, tested over HTTP/1.1,
// HTTP/2 and httptest by the suite in internal/writertest:
//
//   - the event is safe before the first byte of the answer leaves; if that
//     fails, the caller gets 503 and nothing of the handler's answer;
//   - the final status is recorded; informational ones (1xx) pass, and are not
//     taken for it;
//   - security headers are there unless the handler set its own;
//   - Flush, Hijack, ReadFrom and http.ResponseController work if they work below.
type answer struct {
	under      http.ResponseWriter
	exchange   *exchange
	status     int
	bytes      int64
	began      bool // a final status was given
	begunEvent bool // the sink has the event
	refused    bool // the event could not be kept; the handler's bytes go nowhere
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.under.Header() }

// Unwrap serves http.ResponseController for what is not wrapped here.
func (a *answer) Unwrap() http.ResponseWriter { return a.under }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		a.under.WriteHeader(status)
		return
	}
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

// keepEvent makes the event safe, once.
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

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if !a.began {
		a.WriteHeader(http.StatusOK)
	}
	if a.refused {
		return 0, errUnrecorded
	}
	n, err := a.under.Write(p)
	a.bytes += int64(n)
	return n, err
}

// ReadFrom lets the layer below copy without a buffer of ours (sendfile).
func (a *answer) ReadFrom(source io.Reader) (int64, error) {
	if !a.began {
		a.WriteHeader(http.StatusOK)
	}
	if a.refused {
		return 0, errUnrecorded
	}
	n, err := io.Copy(a.under, source)
	a.bytes += n
	return n, err
}

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError sends what was written so far.
func (a *answer) FlushError() error {
	if !a.began {
		a.WriteHeader(http.StatusOK)
	}
	if a.refused {
		return errUnrecorded
	}
	return http.NewResponseController(a.under).Flush()
}

// Hijack gives the connection away, after the event is safe. The rest of the
// exchange is recorded as "upgraded".
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if a.began {
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
	h["X-Request-Id"] = []string{x.passage.requestID}
	setDefault(h, "X-Content-Type-Options", "nosniff")
	setDefault(h, "X-Frame-Options", "DENY")
	setDefault(h, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	setDefault(h, "Referrer-Policy", "no-referrer")
	if x.request.TLS != nil {
		setDefault(h, "Strict-Transport-Security", "max-age=31536000")
	}
	if x.endpoint != nil && x.endpoint.guarded && !isPrivate(h.Get("Cache-Control")) {
		h["Cache-Control"] = []string{"no-store"}
	}
	x.dressOrigin(h)
}

func setDefault(h http.Header, name, value string) {
	if _, ok := h[name]; !ok {
		h[name] = []string{value}
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
