package audit

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

// Longest encoded length of each text, in bytes between the quotes, after
// escaping. Whatever is longer ends in "…". A later version may raise them, never
// lower them. Together they keep an event below maxEvent.
const (
	maxWord   = 64  // codes, ids, versions
	maxName   = 192 // hosts, endpoints, issuers, subjects, clients, upstreams
	maxPath   = 640
	maxQuery  = 384
	maxDetail = 512
	maxAgent  = 192

	maxTail  = 1920
	maxEvent = 7040 // with the tail; TestHostileTextStaysInItsField adds it up
)

// AppendJSON appends the event as one JSON object without line breaks or other
// white space. Every text is escaped and truncated, so that nothing an attacker
// sent can end a record, colour a terminal, or make a record long. Empty fields are
// left out; so are zones of IPv6 addresses. It does not allocate if dst has room.
//
// The README of this folder lists the names of the fields and their bounds.
func AppendJSON(dst []byte, e *Event) []byte {
	dst = appendHead(dst, e)
	return appendTail(dst, e)
}

// appendHead appends what is known at Begin, without the closing brace.
func appendHead(dst []byte, e *Event) []byte {
	dst = append(dst, `{"id":"`...)
	dst = appendEscaped(dst, e.ID, maxWord)
	dst = append(dst, `","time":"`...)
	dst = appendTime(dst, e.Time)
	dst = append(dst, '"')
	dst = field(dst, "class", string(e.Class), maxWord)
	dst = address(dst, "remote", e.Remote)
	if e.Peer != e.Remote {
		dst = address(dst, "peer", e.Peer)
	}
	dst = field(dst, "tls", e.TLS, maxWord)
	dst = field(dst, "sni", e.SNI, maxName)
	dst = field(dst, "proto", e.Proto, maxWord)
	dst = field(dst, "method", e.Method, maxWord)
	dst = field(dst, "host", e.Host, maxName)
	dst = field(dst, "path", e.Path, maxPath)
	dst = field(dst, "query", e.Query, maxQuery)
	dst = field(dst, "user_agent", e.UserAgent, maxAgent)
	dst = field(dst, "trace", e.Trace, maxWord)
	dst = field(dst, "span", e.Span, maxWord)
	dst = field(dst, "parent", e.Parent, maxWord)
	dst = flag(dst, "sampled", e.Sampled)
	dst = field(dst, "api", e.API, maxWord)
	dst = field(dst, "endpoint", e.Endpoint, maxName)
	dst = field(dst, "shield", e.Shield, maxWord)
	dst = field(dst, "credential", e.CredentialID, maxName)
	dst = field(dst, "issuer", e.Issuer, maxName)
	dst = field(dst, "subject", e.Subject, maxName)
	dst = field(dst, "client", e.Client, maxName)
	dst = field(dst, "user", e.User, maxName)
	dst = field(dst, "tenant", e.Tenant, maxWord)
	dst = field(dst, "with", e.With, maxName)
	dst = flag(dst, "proved", e.Proved)
	dst = flag(dst, "exposed", e.Exposed)
	dst = field(dst, "warning", e.Warning, maxWord)
	dst = field(dst, "actor", e.Actor, maxName)
	dst = field(dst, "action", e.Action, maxWord)
	dst = field(dst, "target", e.Target, maxName)
	return field(dst, "change", e.Change, maxDetail)
}

// appendTail appends what Complete may still change, and the closing brace.
func appendTail(dst []byte, e *Event) []byte {
	dst = field(dst, "step", e.Step, maxWord)
	dst = field(dst, "decision", string(e.Decision), maxWord)
	dst = field(dst, "code", e.Code, maxWord)
	dst = field(dst, "detail", e.Detail, maxDetail)
	dst = field(dst, "upstream", e.Upstream, maxName)
	dst = field(dst, "note", e.Note, maxWord)
	dst = field(dst, "would", e.Would, maxName)
	dst = field(dst, "changed", e.Changed, maxName)
	dst = positive(dst, "status", int64(e.Status))
	dst = positive(dst, "upstream_status", int64(e.UpstreamStatus))
	dst = positive(dst, "bytes_in", e.BytesIn)
	dst = positive(dst, "bytes_out", e.BytesOut)
	dst = positive(dst, "duration_us", e.Duration.Microseconds())
	dst = positive(dst, "upstream_us", e.UpstreamDuration.Microseconds())
	for part := range Part(Parts) {
		if us := e.Took[part].Microseconds(); us > 0 {
			dst = positive(dst, part.field(), us)
		}
	}
	if e.Count > 1 {
		dst = positive(dst, "count", int64(e.Count))
	}
	return append(dst, '}')
}

// field is the name under which a part's time is recorded.
func (p Part) field() string {
	return [Parts]string{"entry_us", "identity_us", "rights_us", "input_us", "conditions_us", "last_us"}[p]
}

// timeForm is RFC 3339 in UTC with microseconds.
const timeForm = "2006-01-02T15:04:05.000000Z"

// appendTime appends a time that RFC 3339 can hold; any other becomes the zero time.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	if year := t.Year(); year < 0 || year > 9999 {
		t = time.Time{}
	}
	return t.AppendFormat(dst, timeForm)
}

func field(dst []byte, name, value string, most int) []byte {
	if value == "" {
		return dst
	}
	dst = append(key(dst, name), '"')
	return append(appendEscaped(dst, value, most), '"')
}

func key(dst []byte, name string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

func flag(dst []byte, name string, value bool) []byte {
	if !value {
		return dst
	}
	return append(key(dst, name), "true"...)
}

func positive(dst []byte, name string, value int64) []byte {
	if value <= 0 {
		return dst
	}
	return strconv.AppendInt(key(dst, name), value, 10)
}

// address leaves the zone out: it may be any text, and a forwarded address is
// whatever a caller wrote. No address, where one was expected, is an empty text.
func address(dst []byte, name string, value netip.AddrPort) []byte {
	addr := value.Addr().WithZone("")
	switch {
	case !addr.IsValid() && name == "remote":
		return dst
	case !addr.IsValid():
		return append(key(dst, name), '"', '"')
	}
	dst = append(key(dst, name), '"')
	if value.Port() == 0 {
		dst = addr.AppendTo(dst)
	} else {
		dst = netip.AddrPortFrom(addr, value.Port()).AppendTo(dst)
	}
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"

// longestEscape is what one rune can take: two escaped surrogates.
const longestEscape = 12

// appendEscaped appends the inside of a JSON string of at most most bytes. What is
// no UTF-8 becomes U+FFFD. Everything that does not print, or that turns the
// direction of text, is escaped, and so is U+FFFD itself.
func appendEscaped(dst []byte, s string, most int) []byte {
	end := len(dst) + most - longestEscape - len("…")
	for len(s) > 0 {
		if n := plain(s, end-len(dst)); n > 0 {
			dst, s = append(dst, s[:n]...), s[n:]
			continue
		}
		if len(dst) >= end {
			return append(dst, "…"...)
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == utf8.RuneError || !strconv.IsPrint(r):
			dst = appendUnicode(dst, r)
		default:
			dst = append(dst, s[:size]...)
		}
		s = s[size:]
	}
	return dst
}

// plain counts the bytes at the front of s, at most most, that stand for themselves.
func plain(s string, most int) int {
	most = min(len(s), most)
	for i := range max(most, 0) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return i
		}
	}
	return max(most, 0)
}

// appendUnicode appends \uXXXX, or two of them for what is beyond 16 bits.
func appendUnicode(dst []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		dst = appendUnicode(dst, 0xd800+r>>10)
		r = 0xdc00 + r&0x3ff
	}
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
