package edge_test

import (
	"net/http"
	"testing"

	"golang.org/x/net/http2"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/edge"
)

// post opens a stream whose body is still to come.
func (f *framer) post() uint32 {
	id := f.next
	f.next += 2
	f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block(":method", "POST", ":scheme", "https", ":authority", "edge.test", ":path", "/"), EndHeaders: true}))
	return id
}

// reset waits until a stream is reset with a code.
func (f *framer) reset(id uint32, code http2.ErrCode) {
	f.t.Helper()
	f.must(f.until(func(fr http2.Frame) bool {
		r, is := fr.(*http2.RSTStreamFrame)
		return is && r.StreamID == id && r.ErrCode == code
	}))
}

// noWriting refuses what writes, before it is read.
func noWriting(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		w.WriteHeader(http.StatusForbidden)
	}
}

// A refusal is answered before the body has come. What of it is under way was recorded as a fault of the
// caller's, one for each refused request, and many of them ended the connection as a flood.
func TestABodyThatComesAfterAnEarlyAnswerIsNoFault(t *testing.T) {
	s := start(t, edge.Config{Handler: http.HandlerFunc(noWriting), TLS: tlsPolicy()})
	f := s.frames(t)
	for range 300 { // more than the resets that a peer may provoke at once
		id := f.post()
		f.reset(id, http2.ErrCodeNo)
		f.must(f.WriteData(id, true, []byte(`{"item": "cup"}`)))
		f.reset(id, http2.ErrCodeStreamClosed)
	}
	id := f.request(get...)
	f.must(f.until(func(fr http2.Frame) bool { _, is := fr.(*http2.HeadersFrame); return is && fr.Header().StreamID == id }))
	select {
	case x := <-s.Faults.ch:
		t.Errorf("fault %+v", x)
	default:
	}

	// What comes after the caller itself has ended the stream is one.
	f.must(f.WriteData(id, true, []byte("more")))
	if x := s.Faults.next(t); x.Code != edge.BadStream {
		t.Errorf("fault %+v, want %s", x, edge.BadStream)
	}
}

func TestAPeerThatSendsOnAfterTheAnswerIsEnded(t *testing.T) {
	attacktest.Rows(t, 116)
	s := start(t, edge.Config{Handler: http.HandlerFunc(noWriting), TLS: tlsPolicy()})
	f := s.frames(t)
	id := f.post()
	f.reset(id, http2.ErrCodeNo)
	go func() { _ = f.until(func(http2.Frame) bool { return false }) }()
	for range 100_000 {
		if f.WriteData(id, false, []byte("x")) != nil {
			break // it was closed
		}
	}
	if x := s.Faults.next(t); x.Code != edge.Flood {
		t.Errorf("fault %+v, want %s", x, edge.Flood)
	}
	s.stillServes(t)
}
