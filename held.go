package pavise

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/problem"
	"pavise.dev/pavise/shield"
)

// held is an answer that waits until it is judged. The answer's lock is held for it.
type held struct {
	status  int
	header  http.Header // as it was when the answer began: what comes later are trailers
	body    []byte
	most    int64
	passes  bool // a longer one is sent as it comes: nobody judges it
	over    bool // the body is longer than that
	judging bool // nothing more is taken
}

// errTooLong ends a handler that writes more than is held back: its answer is not sent.
var errTooLong = errors.New("the answer is longer than what is judged, and is not sent")

// keep takes a piece of the body of an answer that is held back, or lets the answer pass. What
// is beyond the bound is not kept. The lock is held.
func (a *answer) keep(p []byte) (isHeld bool, err error) {
	h := a.held
	switch {
	case h.judging:
		return true, errEnded
	case !h.over && !h.exceeds(p):
		h.body = append(h.body, p...)
		return true, nil
	case !h.over && (h.passes || a.exchange.letsPass(h)):
		return false, a.passLocked()
	}
	h.over, h.body = true, nil
	if a.exchange.turn.Finish {
		return true, nil // the service is not broken off
	}
	return true, errTooLong
}

func (h *held) exceeds(p []byte) bool {
	return len(p) > 0 && int64(len(h.body)+len(p)) > h.most
}

// letsPass asks whether an answer that is longer than what is held is on trial. The answer's
// lock is held.
func (x *exchange) letsPass(h *held) bool {
	trying, ok := x.endpoint.Outgoing.(Trying)
	if !ok {
		return false
	}
	would, pass := trying.TooLong(x.request, h.status, h.header)
	if pass {
		x.would(maskText(would))
	}
	return pass
}

// serve calls the handler. One that was stopped because its answer is too long has not failed.
func (x *exchange) serve(next http.Handler) {
	defer func() {
		if !x.isOver() {
			return // a panic goes on
		}
		if fault := recover(); fault != nil {
			if err, ok := fault.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(fault)
			}
			x.passage.record(func(e *audit.Event) { e.Note = "" }) // the handler took it for a caller who left
		}
	}()
	next.ServeHTTP(x.writer(), x.request)
}

// isOver reports whether the answer is longer than what is held.
func (x *exchange) isOver() bool {
	a := &x.passage.answer
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held != nil && a.held.over
}

// hold says whether an answer is to be held back. The guard's own refusals, and those of a
// handler, are not judged.
func (x *exchange) hold(status int, h http.Header) *held {
	if status < http.StatusOK || x.endpoint == nil || !x.handed || x.event.Decision != audit.Accepted {
		return nil
	}
	if x.endpoint.Outgoing == nil {
		return x.holdToKeep(status, h)
	}
	if x.request.Method == http.MethodHead {
		for _, name := range describing() {
			delete(h, name) // of a body that was not judged
		}
	}
	most := x.endpoint.Outgoing.Hold(x.request, status, h)
	if most == 0 {
		return x.holdToKeep(status, h)
	}
	return &held{status: status, header: h.Clone(), most: most}
}

// describing are fields that tell of the very bytes of a body.
func describing() []string {
	return []string{"Content-Length", "Etag", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest", "Accept-Ranges"}
}

// askWhole has the handler answer in one piece that can be read.
func (x *exchange) askWhole() {
	if x.endpoint.Outgoing == nil && x.turn.Keep == 0 {
		return
	}
	h := x.request.Header
	for _, name := range [...]string{"Range", "If-Range"} { // may be ignored (RFC 9110 §14.2)
		delete(h, name)
	}
	h["Accept-Encoding"] = []string{"identity"}
}

// judge sends an answer that was held back, or what takes its place.
func (x *exchange) judge() {
	h := x.passage.answer.stopHolding()
	if h == nil {
		return
	}
	if h.passes {
		_ = x.passage.answer.pass() // the caller may be gone
		return
	}
	out := unheld{&x.passage.answer}
	header := out.Header()
	clear(header)
	judged, err := x.judgeHeld(h)
	x.passage.record(func(e *audit.Event) {
		e.Would, e.Changed = joined(e.Would, judged.Would), joined(e.Changed, judged.Changed)
	})
	if err != nil {
		x.refuseAnswer(out, err)
		return
	}
	for name, values := range h.header {
		header[name] = values
	}
	delete(header, "Trailer") // they were dropped
	if judged.Changed != "" {
		for _, name := range describing() {
			delete(header, name)
		}
	}
	if hasBody(h.status) {
		header["Content-Length"] = []string{strconv.Itoa(len(judged.Body))}
	}
	out.WriteHeader(h.status)
	if hasBody(h.status) {
		_, _ = out.Write(judged.Body) // the caller may be gone
	}
}

// stopHolding takes nothing more of an answer that is held back, and returns it.
func (a *answer) stopHolding() *held {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held != nil {
		a.held.judging = true
	}
	return a.held
}

// unheld writes an answer past its being held back.
type unheld struct{ *answer }

// WriteHeader implements http.ResponseWriter.
func (u unheld) WriteHeader(status int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begin(status)
}

// Write implements http.ResponseWriter.
func (u unheld) Write(p []byte) (int, error) {
	u.mu.Lock()
	refused := u.refused
	u.mu.Unlock()
	if refused {
		return 0, errUnrecorded
	}
	n, err := u.under.Write(p)
	u.bytes.Add(int64(n))
	return n, err
}

func (x *exchange) judgeHeld(h *held) (Judged, error) {
	if h.over && h.most >= 0 {
		return Judged{}, shield.Refuse(shield.BadAnswer, "the answer is longer than the %d bytes that are judged", h.most)
	}
	judged, err := x.endpoint.Outgoing.Judge(x.request, x.identity, h.status, h.header, h.body)
	if err == nil && h.over {
		return judged, shield.Refuse(shield.BadAnswer, "the answer was not judged")
	}
	return judged, err
}

// refuseAnswer answers in the place of a handler whose answer may not leave.
func (x *exchange) refuseAnswer(w http.ResponseWriter, err error) {
	refusal := problem.Classify(err)
	x.passage.record(func(e *audit.Event) {
		e.Step, e.Decision, e.Code, e.Detail = "response", audit.Failed, string(refusal.Code), maskText(refusal.Detail)
	})
	if refusal.Fields != nil {
		shown := *refusal
		shown.Fields = nil // what the service got wrong is the operator's affair
		refusal = &shown
	}
	problem.Write(w, refusal, x.passage.requestID)
}

func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified && status >= 200
}

func joined(a, b string) string {
	return strings.Trim(a+"; "+b, "; ")
}
