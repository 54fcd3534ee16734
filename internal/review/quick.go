package review

import (
	"bytes"
	"net/netip"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
)

// A log of months has millions of events, and of each a review wants to know a third. quick reads
// these out of the bytes that audit.AppendJSON wrote; what it does not understand at first sight it
// leaves to audit.ParseJSON, so that both say the same of every event that there can be.

// record is what a review reads of an event. It points into the event, and is valid as long as that
// is.
type record struct {
	micro int64 // Unix, µs

	id, class, remote, method, path, api, endpoint              []byte
	shield, credential, issuer, subject, client, user, with     []byte
	step, decision, code, detail, action, note, tenant, warning []byte
	target, change                                              []byte // of administrative acts

	proved bool
	count  int
}

// reader reads events; it remembers the hour of the last one, as most have the same. The zero value
// is of use, by one goroutine.
type reader struct {
	hour  [13]byte
	begin int64 // of the hour
}

// read reads an event; false: it is none.
func (q *reader) read(event []byte, r *record) bool {
	*r = record{count: 1}
	if q.quick(event, r) {
		return true
	}
	e, err := audit.ParseJSON(event)
	if err != nil {
		return false
	}
	*r = record{
		micro: e.Time.UnixMicro(), proved: e.Proved, count: max(e.Count, 1),
		id: []byte(e.ID), class: []byte(e.Class), method: []byte(e.Method), path: []byte(e.Path), api: []byte(e.API), endpoint: []byte(e.Endpoint),
		shield: []byte(e.Shield), credential: []byte(e.CredentialID), issuer: []byte(e.Issuer), subject: []byte(e.Subject),
		client: []byte(e.Client), user: []byte(e.User), with: []byte(e.With), step: []byte(e.Step), decision: []byte(e.Decision),
		code: []byte(e.Code), detail: []byte(e.Detail), action: []byte(e.Action), note: []byte(e.Note), tenant: []byte(e.Tenant), warning: []byte(e.Warning),
		target: []byte(e.Target), change: []byte(e.Change),
	}
	if e.Remote.IsValid() {
		r.remote = []byte(e.Remote.String())
	} else if e.Remote.Addr().IsValid() {
		r.remote = []byte(e.Remote.Addr().String())
	}
	return true
}

// quick reads an event as it is written, without escapes in what is wanted. False: somebody else
// has to look.
func (q *reader) quick(event []byte, r *record) bool {
	n := len(event)
	if n < 2 || event[0] != '{' || event[n-1] != '}' {
		return false
	}
	for at := 1; at < n; {
		if event[at] != '"' {
			return false
		}
		end := bytes.IndexByte(event[at+1:], '"')
		if end < 0 {
			return false
		}
		name := event[at+1 : at+1+end]
		at += end + 2
		if at+1 >= n || event[at] != ':' {
			return false
		}
		at++
		into := r.field(name)
		begin := at
		if event[at] == '"' {
			begin++
			var escaped bool
			if at, escaped = endOfText(event, begin); at < 0 || escaped && into != nil {
				return false
			}
			if !q.text(name, into, event[begin:at], r) {
				return false
			}
			at++
		} else {
			for at < n-1 && event[at] != ',' {
				at++
			}
			if !r.plain(name, event[begin:at]) {
				return false
			}
		}
		if at == n-1 {
			return r.micro != 0 && r.id != nil
		}
		if event[at] != ',' {
			return false
		}
		at++
	}
	return false
}

// endOfText is where the quote is that ends a text; -1: there is none.
func endOfText(event []byte, at int) (end int, escaped bool) {
	for {
		i := bytes.IndexByte(event[at:], '"')
		if i < 0 {
			return -1, escaped
		}
		part := event[at : at+i]
		slash := bytes.IndexByte(part, '\\')
		if slash < 0 {
			return at + i, escaped
		}
		escaped = true
		at += slash + 2 // behind what is escaped, which may be the quote
		if at > len(event) {
			return -1, escaped
		}
	}
}

// text takes a text; into is where it goes, nil: it is not wanted.
func (q *reader) text(name []byte, into *[]byte, value []byte, r *record) bool {
	if into != nil {
		if *into != nil || len(value) == 0 {
			return false // twice, or empty: not as it is written
		}
		*into = value
		return true
	}
	if string(name) == "time" {
		return r.micro == 0 && q.time(value, r)
	}
	return string(name) != "count" && string(name) != "proved"
}

// plain takes what is no text.
func (r *record) plain(name, value []byte) bool {
	switch string(name) {
	case "proved":
		if r.proved || string(value) != "true" {
			return false
		}
		r.proved = true
	case "count":
		if r.count != 1 || len(value) == 0 || len(value) > 9 {
			return false
		}
		n := 0
		for _, c := range value {
			if c < '0' || c > '9' {
				return false
			}
			n = 10*n + int(c-'0')
		}
		if r.count = n; n < 1 {
			return false
		}
	}
	return true
}

// field is where a text goes that is wanted.
func (r *record) field(name []byte) *[]byte {
	switch string(name) {
	case "id":
		return &r.id
	case "class":
		return &r.class
	case "remote":
		return &r.remote
	case "method":
		return &r.method
	case "path":
		return &r.path
	case "api":
		return &r.api
	case "endpoint":
		return &r.endpoint
	case "shield":
		return &r.shield
	case "credential":
		return &r.credential
	case "issuer":
		return &r.issuer
	case "subject":
		return &r.subject
	case "client":
		return &r.client
	case "user":
		return &r.user
	case "tenant":
		return &r.tenant
	case "with":
		return &r.with
	case "warning":
		return &r.warning
	case "step":
		return &r.step
	case "decision":
		return &r.decision
	case "code":
		return &r.code
	case "detail":
		return &r.detail
	case "action":
		return &r.action
	case "target":
		return &r.target
	case "change":
		return &r.change
	case "note":
		return &r.note
	}
	return nil
}

// time reads 2006-01-02T15:04:05.000000Z.
func (q *reader) time(text []byte, r *record) bool {
	if len(text) != len("2006-01-02T15:04:05.000000Z") {
		return false
	}
	if !bytes.Equal(text[:13], q.hour[:]) {
		at, err := time.Parse("2006-01-02T15", string(text[:13]))
		if err != nil {
			return false
		}
		copy(q.hour[:], text)
		q.begin = at.UnixMicro()
	}
	minute, ok1 := digits(text[14:16])
	second, ok2 := digits(text[17:19])
	micro, ok3 := digits(text[20:26])
	if !ok1 || !ok2 || !ok3 || minute > 59 || second > 59 || text[13] != ':' || text[16] != ':' || text[19] != '.' || text[26] != 'Z' {
		return false
	}
	r.micro = q.begin + int64(minute)*60e6 + int64(second)*1e6 + int64(micro)
	return true
}

func digits(text []byte) (n int, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// network is what stands for where a request came from: the /24 of an IPv4 address, the /48 of an
// IPv6 address. dst is written over.
func network(dst, remote []byte) []byte {
	dst = dst[:0]
	if len(remote) == 0 {
		return dst
	}
	if last := bytes.LastIndexByte(remote, '.'); last > 0 && remote[0] != '[' && bytes.IndexByte(remote[:last], ':') < 0 {
		return append(append(dst, remote[:last]...), ".0/24"...)
	}
	text := string(remote)
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(text)
		if err != nil {
			return dst
		}
		addr = ap.Addr()
	}
	bits := 48
	if addr = addr.Unmap(); addr.Is4() {
		bits = 24
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return dst
	}
	return p.AppendTo(dst)
}
