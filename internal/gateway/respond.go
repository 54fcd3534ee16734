package gateway

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// respond hands the upstream's answer to the caller. It panics with
// http.ErrAbortHandler where the answer cannot be completed: an aborted
// connection cannot be mistaken for a whole answer.
func (x *exchange) respond(rep reply) {
	whole := false
	defer func() { rep.finish(whole) }()
	h := rep.head()
	if h.status == http.StatusSwitchingProtocols {
		x.upgradeTo(rep)
		return
	}
	// An answer that ends with its head (a gRPC status alone, for example) must not
	// be flushed before its end: it would no longer be one.
	streaming := h.length < 0 || h.length > 0 && x.isStream(h)
	if total := x.u.s.Timeouts.Total; !streaming && total > 0 {
		x.limit = x.started.Add(total)
	}
	x.copyFields(h, rep)
	if x.u.s.Discard != nil && x.u.s.Discard(x.w, x.r, h.status) {
		clear(x.w.Header())
		return
	}
	x.w.WriteHeader(h.status)
	if err := x.copyBody(rep, streaming); err != nil {
		x.abort(err)
	}
	whole = true
	x.copyTrailers(rep)
}

// isStream names the answers that have no end of their own.
func (x *exchange) isStream(h *responseHead) bool {
	for _, f := range h.fields {
		if f.name == "Content-Type" {
			return strings.HasPrefix(f.value, "text/event-stream") || strings.HasPrefix(f.value, "application/grpc")
		}
	}
	return false
}

// copyFields writes the upstream's fields into the answer. What the guard has
// already said there prevails, but for Vary, which is a list.
func (x *exchange) copyFields(h *responseHead, rep reply) {
	out := x.w.Header()
	var ours []string
	if len(out) > 0 {
		ours = make([]string, 0, len(out))
		for name := range out {
			ours = append(ours, name)
		}
	}
	values := make([]string, len(h.fields))
	typed := false
	var trailers []string
	for i, f := range h.fields {
		switch {
		case f.name == "Trailer":
			trailers = append(trailers, f.value)
		case x.keeps(&h.fields[i]), h.listed != nil && slices.Contains(h.listed, f.name):
		case ours != nil && f.name != "Vary" && slices.Contains(ours, f.name):
		default:
			typed = typed || f.name == "Content-Type"
			if have := out[f.name]; have != nil {
				out[f.name] = append(have, f.value)
				continue
			}
			values[i] = f.value
			out[f.name] = values[i : i+1 : i+1]
		}
	}
	if !typed && out["Content-Type"] == nil {
		out["Content-Type"] = nil // present and empty: net/http guesses none
	}
	if h.length >= 0 {
		out["Content-Length"] = []string{strconv.FormatInt(h.length, 10)}
	}
	if names := x.announced(trailers); len(names) > 0 && h.length < 0 {
		out["Trailer"] = names
	}
	if rep.uploading() {
		closesAfter(out, x.r)
	}
}

// announced returns the trailers that the upstream declared and that may pass.
func (x *exchange) announced(values []string) []string {
	var names []string
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if isToken(name) && !x.u.rules.dropsResponse(name) && !dropsTrailer(name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// errCaller marks errors of the caller's connection.
var errCaller = errors.New("write to the caller")

// copyBody passes the body on as it comes. Whatever would wait for more is
// flushed first if the answer is a stream, and watched for the end of the
// credential.
func (x *exchange) copyBody(rep reply, streaming bool) error {
	buffer := x.u.buffers.get()
	defer x.u.buffers.put(buffer)
	for {
		if !rep.buffered() {
			x.watch(rep)
			if streaming {
				if err := x.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
					return errors.Join(errCaller, err)
				}
			}
		}
		n, err := rep.Read(*buffer)
		if n > 0 {
			if _, werr := x.w.Write((*buffer)[:n]); werr != nil {
				return errors.Join(errCaller, werr)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (x *exchange) copyTrailers(rep reply) {
	tail := rep.trailers()
	if len(tail) == 0 {
		return
	}
	out := x.w.Header()
	announced := out["Trailer"]
	if len(announced) < len(tail) {
		_ = x.Flush() // net/http counts a short body unless it was flushed, and then sends no trailers; a caller who left shows elsewhere
	}
	for _, f := range tail {
		if x.u.rules.dropsResponse(f.name) || dropsTrailer(f.name) {
			continue
		}
		name := f.name
		if !slices.Contains(announced, name) {
			name = http.TrailerPrefix + name // gRPC's servers do not announce theirs
		}
		out[name] = append(out[name], f.value)
	}
}

// abort breaks the caller's connection: the answer he has is not whole.
func (x *exchange) abort(err error) {
	x.result.Note = x.note()
	if errors.Is(err, errCaller) && x.ended.Load() == nil {
		x.result.Note = "client_gone"
	} else if isTimeout(err) && x.result.Note == "upstream_aborted" {
		x.result.Note = "upstream_timeout"
	}
	x.u.s.Report(x.r, x.result)
	panic(http.ErrAbortHandler)
}

// timed notes how long the upstream took for the head of its answer.
func (x *exchange) timed(status int) {
	x.result.Status, x.result.Duration = status, time.Since(x.started)
}
