package edge

import (
	"net/http"
	"sync/atomic"

	"golang.org/x/net/http2/hpack"

	"pavise.dev/pavise/internal/problem"
	"pavise.dev/pavise/shield"
)

// fields reads the header blocks of one HTTP/2 connection beside net/http, only to
// notice what net/http answers with 400 or 431 by itself, where no handler and so no
// event would tell of it. Everything else that is wrong in a block net/http resets
// (frames sees that), or lets pass (checkFields refuses that).
type fields struct {
	decoder *hpack.Decoder
	limit   int // bytes of one block, as net/http counts them
	size    int
	bad     *reject
	report  *reject     // of a block that has ended
	strange atomic.Bool // a request was made for another scheme than https
}

// tableSize of the decoder is the one that newHTTP2 announces.
const tableSize = 4096

// maxHeaderList is where net/http stops: well above our own limit, so that
// checkFields answers for what is between.
func maxHeaderList(l Limits) int { return 2 * l.Head }

func (f *fields) init(l Limits) {
	f.limit = maxHeaderList(l) + 320 // net/http adds 32 bytes for each of ten fields
	f.decoder = hpack.NewDecoder(tableSize, f.field)
	f.decoder.SetMaxStringLength(f.limit)
}

// write takes a piece of a header block, or its end.
func (f *fields) write(piece []byte, end bool) {
	if f.decoder == nil {
		return
	}
	var err error
	if end {
		err = f.decoder.Close()
		f.report, f.bad, f.size = f.bad, nil, 0
		f.decoder.SetEmitEnabled(true)
	} else {
		_, err = f.decoder.Write(piece)
	}
	if err != nil {
		f.decoder = nil // net/http ends the connection for it, and frames reports that
	}
}

// take returns what is to be reported, once.
func (f *fields) take() *reject {
	bad := f.report
	f.report = nil
	return bad
}

func (f *fields) field(h hpack.HeaderField) {
	if f.size += int(h.Size()); f.size > f.limit {
		f.bad = &reject{HeadersTooLarge, 431, "the header list is too large"}
		f.decoder.SetEmitEnabled(false) // nothing of the rest is of interest
		return
	}
	switch h.Name {
	case ":scheme":
		if h.Value != "https" {
			f.strange.Store(true)
		}
	case "connection", "proxy-connection", "transfer-encoding", "upgrade", "keep-alive":
		f.bad = &reject{BadStream, 400, "a field of HTTP/1.1 connections"}
	case "te":
		if h.Value != "trailers" {
			f.bad = &reject{BadStream, 400, "TE is not trailers"}
		}
	}
}

// checkFields holds a request over HTTP/2 to the rules that the scanner holds for
// HTTP/1.1, as far as net/http does not.
func checkFields(r *http.Request, l *Limits) *reject {
	if !all([]byte(r.Method), tchar) || r.Method == http.MethodConnect || len(r.Method) > maxMethod {
		return &reject{BadStream, 400, "the method is no token, or CONNECT"}
	}
	if len(r.RequestURI) > l.RequestLine {
		return &reject{PathTooLong, 414, "the target is too long"}
	}
	if bad := checkTarget([]byte(r.RequestURI)); bad != nil {
		return &reject{BadStream, 400, bad.detail}
	}
	if !isHost([]byte(r.Host)) {
		return &reject{BadHost, 400, "the authority is not a name or address with an optional port"}
	}
	if host := r.Header["Host"]; len(host) > 1 || len(host) == 1 && host[0] != r.Host {
		return &reject{BadHost, 400, "Host is not the authority"}
	}
	if expect := r.Header["Expect"]; len(expect) > 1 || len(expect) == 1 && !is([]byte(expect[0]), "100-continue") {
		return &reject{BadExpectation, 417, "the expectation is not 100-continue"}
	}
	if bad := checkLength(r); bad != nil {
		return bad
	}
	for name := range r.Trailer {
		if neverTrailer([]byte(name)) {
			return &reject{BadStream, 400, "Trailer declares a field that must stand in the head"}
		}
	}
	size, count := len(r.Method)+len(r.RequestURI)+len(r.Host), 0
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
			count++
		}
	}
	if size > l.Head || count > l.Fields {
		return &reject{HeadersTooLarge, 431, "the head is too large or has too many fields"}
	}
	return nil
}

// checkLength holds RFC 9113 §8.1.1 where a stream has ended with its header
// block; net/http counts the bytes of the others.
func checkLength(r *http.Request) *reject {
	length := r.Header["Content-Length"]
	if len(length) == 0 {
		return nil
	}
	digits := []byte(length[0])
	if len(length) > 1 || len(digits) == 0 || len(digits) > maxLength || !all(digits, digit) {
		return &reject{BadStream, 400, "Content-Length is not one number of at most 18 digits"}
	}
	if r.ContentLength != 0 {
		return nil
	}
	for _, c := range digits {
		if c != '0' {
			return &reject{BadStream, 400, "Content-Length without a body"}
		}
	}
	return nil
}

// refuse answers a request over HTTP/2 that no handler may see.
func (f *frames) refuse(w http.ResponseWriter, bad *reject) {
	fault := f.sock.newFault(StepHTTP2, bad)
	f.sock.server.fault(fault)
	problem.Write(w, &shield.Refusal{Code: shield.Code(fault.Code), Status: fault.Status}, fault.ID)
}
