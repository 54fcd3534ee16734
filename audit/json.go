package audit

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

// Longest encoded length of each text, in bytes after escaping. Whatever is
// longer ends in "…". Together they keep an event below maxEvent.
const (
	maxWord   = 96  // ids, codes, names
	maxName   = 160 // hosts, issuers
	maxPath   = 640
	maxQuery  = 384
	maxDetail = 512
	maxAgent  = 192
	maxEvent  = 6 << 10
	maxTail   = 2 << 10
)

// AppendJSON appends the event as one JSON object without line breaks. Every text
// is escaped and truncated, so that nothing an attacker sent can end a record,
// colour a terminal, or make a record long. Empty fields are left out. It does not
// allocate if dst has room.
func AppendJSON(dst []byte, e *Event) []byte {
	dst = appendHead(dst, e)
	return appendTail(dst, e)
}

// appendHead appends what is known at Begin, without the closing brace.
func appendHead(dst []byte, e *Event) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendText(dst, e.ID, maxWord)
	dst = append(dst, `,"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	dst = append(dst, '"')
	dst = field(dst, "class", string(e.Class), maxWord)
	dst = addr(dst, "remote", e.Remote)
	if e.Peer != e.Remote {
		dst = addr(dst, "peer", e.Peer)
	}
	dst = field(dst, "tls", e.TLS, maxWord)
	dst = field(dst, "sni", e.SNI, maxWord)
	dst = field(dst, "proto", e.Proto, maxWord)
	dst = field(dst, "method", e.Method, maxWord)
	dst = field(dst, "host", e.Host, maxName)
	dst = field(dst, "path", e.Path, maxPath)
	dst = field(dst, "query", e.Query, maxQuery)
	dst = field(dst, "user_agent", e.UserAgent, maxAgent)
	dst = field(dst, "api", e.API, maxWord)
	dst = field(dst, "endpoint", e.Endpoint, maxWord)
	dst = field(dst, "shield", e.Shield, maxWord)
	dst = field(dst, "credential", e.CredentialID, maxWord)
	dst = field(dst, "issuer", e.Issuer, maxName)
	dst = field(dst, "subject", e.Subject, maxWord)
	dst = field(dst, "client", e.Client, maxWord)
	dst = field(dst, "user", e.User, maxWord)
	dst = field(dst, "tenant", e.Tenant, maxWord)
	dst = field(dst, "with", e.With, maxWord)
	dst = flag(dst, "proved", e.Proved)
	dst = flag(dst, "exposed", e.Exposed)
	dst = field(dst, "warning", e.Warning, maxWord)
	dst = field(dst, "actor", e.Actor, maxWord)
	dst = field(dst, "action", e.Action, maxWord)
	dst = field(dst, "target", e.Target, maxWord)
	dst = field(dst, "change", e.Change, maxDetail)
	if e.Count > 1 {
		dst = number(dst, "count", int64(e.Count))
	}
	return dst
}

// appendTail appends what Complete may still change, and the closing brace.
func appendTail(dst []byte, e *Event) []byte {
	dst = field(dst, "step", e.Step, maxWord)
	dst = field(dst, "decision", string(e.Decision), maxWord)
	dst = field(dst, "code", e.Code, maxWord)
	dst = field(dst, "detail", e.Detail, maxDetail)
	dst = field(dst, "upstream", e.Upstream, maxWord)
	dst = field(dst, "note", e.Note, maxWord)
	dst = positive(dst, "status", int64(e.Status))
	dst = positive(dst, "upstream_status", int64(e.UpstreamStatus))
	dst = positive(dst, "bytes_in", e.BytesIn)
	dst = positive(dst, "bytes_out", e.BytesOut)
	dst = positive(dst, "duration_us", e.Duration.Microseconds())
	dst = positive(dst, "upstream_us", e.UpstreamDuration.Microseconds())
	return append(dst, '}')
}

func field(dst []byte, name, value string, most int) []byte {
	if value == "" {
		return dst
	}
	return appendText(key(dst, name), value, most)
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

func number(dst []byte, name string, value int64) []byte {
	return strconv.AppendInt(key(dst, name), value, 10)
}

func positive(dst []byte, name string, value int64) []byte {
	if value <= 0 {
		return dst
	}
	return number(dst, name, value)
}

func addr(dst []byte, name string, value netip.AddrPort) []byte {
	if !value.IsValid() {
		return dst
	}
	dst = append(key(dst, name), '"')
	if value.Port() == 0 {
		dst = value.Addr().AppendTo(dst)
	} else {
		dst = value.AppendTo(dst)
	}
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"

// appendText appends a JSON string of at most most bytes between its quotes.
// Control characters, the line separators of Unicode, DEL, bidirectional marks and
// what is no UTF-8 are escaped or replaced.
func appendText(dst []byte, s string, most int) []byte {
	dst = append(dst, '"')
	start := len(dst)
	for i := 0; i < len(s); {
		if len(dst)-start > most-12 {
			return append(dst, "…\""...)
		}
		c := s[i]
		if c < utf8.RuneSelf {
			dst = appendASCII(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, `\ufffd`...)
		case hides(r):
			dst = append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		default:
			dst = append(dst, s[i:i+size]...)
		}
		i += size
	}
	return append(dst, '"')
}

func appendASCII(dst []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c < ' ' || c == 0x7f:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
	return append(dst, c)
}

// hides reports whether r ends lines or turns the direction of text.
func hides(r rune) bool {
	return r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 ||
		r == 0x200e || r == 0x200f || r >= 0x80 && r < 0xa0 || r == 0xfeff
}

// encoded is an event as JSON, for reading.
type encoded struct {
	ID             string    `json:"id"`
	Time           time.Time `json:"time"`
	Class          Class     `json:"class"`
	Remote         string    `json:"remote"`
	Peer           string    `json:"peer"`
	TLS            string    `json:"tls"`
	SNI            string    `json:"sni"`
	Proto          string    `json:"proto"`
	Method         string    `json:"method"`
	Host           string    `json:"host"`
	Path           string    `json:"path"`
	Query          string    `json:"query"`
	UserAgent      string    `json:"user_agent"`
	API            string    `json:"api"`
	Endpoint       string    `json:"endpoint"`
	Shield         string    `json:"shield"`
	Credential     string    `json:"credential"`
	Issuer         string    `json:"issuer"`
	Subject        string    `json:"subject"`
	Client         string    `json:"client"`
	User           string    `json:"user"`
	Tenant         string    `json:"tenant"`
	With           string    `json:"with"`
	Proved         bool      `json:"proved"`
	Exposed        bool      `json:"exposed"`
	Warning        string    `json:"warning"`
	Actor          string    `json:"actor"`
	Action         string    `json:"action"`
	Target         string    `json:"target"`
	Change         string    `json:"change"`
	Count          int       `json:"count"`
	Step           string    `json:"step"`
	Decision       Decision  `json:"decision"`
	Code           string    `json:"code"`
	Detail         string    `json:"detail"`
	Upstream       string    `json:"upstream"`
	Note           string    `json:"note"`
	Status         int       `json:"status"`
	UpstreamStatus int       `json:"upstream_status"`
	BytesIn        int64     `json:"bytes_in"`
	BytesOut       int64     `json:"bytes_out"`
	DurationUS     int64     `json:"duration_us"`
	UpstreamUS     int64     `json:"upstream_us"`
	Interrupted    bool      `json:"interrupted"` // the process died before it was completed
}

// ParseJSON reads what [AppendJSON] wrote. Longer input than any event is refused.
func ParseJSON(text []byte) (Event, error) {
	if len(text) > maxEvent+maxTail {
		return Event{}, fmt.Errorf("an event has at most %d bytes, this has %d", maxEvent+maxTail, len(text))
	}
	var c encoded
	if err := json.Unmarshal(text, &c); err != nil {
		return Event{}, fmt.Errorf("read an event: %w", err)
	}
	e := Event{
		ID: c.ID, Time: c.Time, Class: c.Class, TLS: c.TLS, SNI: c.SNI, Proto: c.Proto, Method: c.Method, Host: c.Host,
		Path: c.Path, Query: c.Query, UserAgent: c.UserAgent, API: c.API, Endpoint: c.Endpoint, Step: c.Step,
		Decision: c.Decision, Code: c.Code, Detail: c.Detail, Status: c.Status, Shield: c.Shield, CredentialID: c.Credential,
		Issuer: c.Issuer, Subject: c.Subject, Client: c.Client, User: c.User, Tenant: c.Tenant, With: c.With, Proved: c.Proved,
		Exposed: c.Exposed, Warning: c.Warning, Upstream: c.Upstream, UpstreamStatus: c.UpstreamStatus, BytesIn: c.BytesIn,
		BytesOut: c.BytesOut, Duration: time.Duration(c.DurationUS) * time.Microsecond,
		UpstreamDuration: time.Duration(c.UpstreamUS) * time.Microsecond, Note: c.Note, Actor: c.Actor, Action: c.Action,
		Target: c.Target, Change: c.Change, Count: c.Count,
	}
	if c.Interrupted {
		e.Note = "interrupted"
	}
	var err error
	if e.Remote, err = parseAddr(c.Remote); err != nil {
		return Event{}, err
	}
	e.Peer = e.Remote
	if c.Peer != "" {
		e.Peer, err = parseAddr(c.Peer)
	}
	return e, err
}

func parseAddr(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, nil
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("read an event: address: %w", err)
	}
	return netip.AddrPortFrom(a, 0), nil
}
