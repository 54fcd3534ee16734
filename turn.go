package pavise

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"pavise.dev/pavise/audit"
)

// flow claims for the request what only one may have. It is the last step: nothing that
// stands on the path can refuse the request after it.
func (x *exchange) flow() error {
	if err := x.stillMay(); err != nil {
		x.event.Step = "shield"
		return err
	}
	if x.endpoint.Flow == nil {
		return nil
	}
	turn, err := x.endpoint.Flow.Begin(x.request, x.identity)
	if err != nil {
		return err
	}
	x.turn = turn
	if turn.Finish {
		// A caller who leaves will ask what came of it: the service is not broken off.
		x.request = x.request.WithContext(context.WithoutCancel(x.request.Context()))
	}
	return nil
}

// again is the handler of a request that was answered before. What judges answers judges this
// one too, by what the caller may see now.
func (x *exchange) again() http.Handler {
	x.event.Note = "replayed"
	earlier := x.turn.Earlier
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), earlier.Header)
		w.WriteHeader(earlier.Status)
		_, _ = w.Write(earlier.Body) // the caller may be gone
	})
}

// holdToKeep holds an answer back until it is kept, if it can be: streams have no end, and
// trailers are not kept.
func (x *exchange) holdToKeep(status int, h http.Header) *held {
	kind := h.Get("Content-Type")
	if x.turn.Keep == 0 || h["Trailer"] != nil || strings.HasPrefix(kind, "text/event-stream") || strings.HasPrefix(kind, "application/grpc") {
		return nil
	}
	return &held{status: status, header: h.Clone(), most: x.turn.Keep, passes: true}
}

// pass sends an answer that was only held back to be kept, as the handler gave it.
func (a *answer) pass() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.passLocked()
}

func (a *answer) passLocked() error {
	h := a.held
	a.held = nil
	live := a.under.Header()
	later := maps.Clone(live) // what was set since the answer began can only be trailers
	clear(live)
	maps.Copy(live, h.header)
	a.begin(h.status)
	if a.refused {
		return errUnrecorded
	}
	for name, values := range later {
		if _, known := live[name]; !known && strings.HasPrefix(name, http.TrailerPrefix) {
			live[name] = values
		}
	}
	if len(h.body) == 0 {
		return nil
	}
	n, err := a.under.Write(h.body)
	a.bytes.Add(int64(n))
	return err
}

// settle tells the flow what came of the request, once.
func (x *exchange) settle(whole bool) {
	end := x.turn.End
	if end == nil {
		return
	}
	x.turn.End = nil
	if err := end(x.ended(whole)); err != nil {
		a := &x.passage.answer
		a.mu.Lock()
		defer a.mu.Unlock()
		x.event.Warning = strings.TrimSpace(x.event.Warning + " flow_unkept")
		x.event.Detail = maskText(joined(x.event.Detail, err.Error()))
	}
}

// ended is what came of the request so far.
func (x *exchange) ended(whole bool) Ended {
	a := &x.passage.answer
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !x.handed:
		return Ended{Unsent: true}
	case x.event.Decision == audit.Failed:
		return Ended{Unsent: x.unsent}
	case a.refused: // what the handler answered is lost
		return Ended{}
	case a.held == nil:
		return Ended{Status: a.status, Whole: whole && a.status != http.StatusSwitchingProtocols}
	}
	h := a.held
	e := Ended{Status: h.status, Whole: whole && (!h.over || x.turn.Finish)} // others are stopped when they are over
	if whole && !h.over && int64(len(h.body)) <= x.turn.Keep && !hasTrailers(a.under.Header()) {
		e.Answer = &Answer{Status: h.status, Header: h.header, Body: h.body}
	}
	return e
}

func hasTrailers(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}
