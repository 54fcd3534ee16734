package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"
)

// ParseJSON reads an event that [AppendJSON] wrote. It is strict: unknown or
// repeated fields, other types, anything behind the object, and text longer than any
// event are errors. White space between the tokens is allowed.
func ParseJSON(text []byte) (Event, error) {
	e, err := parseEvent(text)
	if err != nil {
		return Event{}, fmt.Errorf("read an event: %w", err)
	}
	return e, nil
}

func parseEvent(text []byte) (e Event, err error) {
	// White space of an indented record is let through, within reason.
	if len(text) > 2*maxEvent {
		return e, fmt.Errorf("an event has at most %d bytes, this has %d", 2*maxEvent, len(text))
	}
	if !utf8.Valid(text) {
		return e, errors.New("it is no UTF-8")
	}
	p := eventParser{event: &e, rest: text}
	if err := p.object(); err != nil {
		return e, err
	}
	if p.space(); len(p.rest) > 0 {
		return e, errors.New("something stands behind it")
	}
	if !p.seen.has("id") || !p.seen.has("time") {
		return e, errors.New("it has no id or no time")
	}
	if !p.seen.has("peer") {
		e.Peer = e.Remote
	}
	return e, nil
}

// eventParser reads one flat object: names, and behind each a text, a number or true. A log
// has millions of them, and encoding/json's tokens take six times as long.
type eventParser struct {
	event *Event
	seen  seenNames
	rest  []byte
}

// seenNames are the names that stood in the object. Those of an event are few, and mostly in
// one order: a list is faster than a map.
type seenNames struct {
	names [64]string
	n     int
	bits  [2]uint64 // of what begins and ends alike: most names need no comparing
}

func (s *seenNames) bit(name string) (word, mask uint64) {
	if name == "" {
		return 0, 1
	}
	h := (uint64(name[0])*31+uint64(name[len(name)-1]))*31 + uint64(len(name))
	return h >> 6 & 1, 1 << (h & 63)
}

func (s *seenNames) has(name string) bool {
	word, mask := s.bit(name)
	if s.bits[word]&mask == 0 {
		return false
	}
	for _, seen := range s.names[:s.n] {
		if seen == name {
			return true
		}
	}
	return false
}

// add reports false if there are too many.
func (s *seenNames) add(name string) bool {
	if s.n == len(s.names) {
		return false
	}
	word, mask := s.bit(name)
	s.bits[word] |= mask
	s.names[s.n] = name
	s.n++
	return true
}

var errNoObject = errors.New("it is no object")

func (p *eventParser) space() {
	for len(p.rest) > 0 && strings.IndexByte(" \t\r\n", p.rest[0]) >= 0 {
		p.rest = p.rest[1:]
	}
}

// take passes over white space and one character, if that is next.
func (p *eventParser) take(c byte) bool {
	if p.space(); len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *eventParser) object() error {
	if !p.take('{') {
		return errNoObject
	}
	for first := true; !p.take('}'); first = false {
		if !first && !p.take(',') {
			return errNoObject
		}
		if err := p.field(); err != nil {
			return err
		}
	}
	return nil
}

func (p *eventParser) field() error {
	name, err := p.name()
	if err != nil {
		return err
	}
	if p.seen.has(name) {
		return fmt.Errorf("field %.40q is repeated", name)
	}
	if !p.seen.add(name) {
		return errors.New("it has too many fields")
	}
	if !p.take(':') {
		return errNoObject
	}
	if p.space(); len(p.rest) > 0 && p.rest[0] == '"' {
		value, err := p.quoted()
		if err != nil {
			return err
		}
		return p.text(name, value)
	}
	end := bytes.IndexAny(p.rest, ",} \t\r\n")
	if end < 0 {
		return errNoObject
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	switch {
	case string(word) == "true":
		return p.flag(name, true)
	case string(word) == "false":
		return p.flag(name, false)
	case len(word) > 0 && (word[0] == '-' || word[0] >= '0' && word[0] <= '9') && json.Valid(word):
		return p.number(name, json.Number(word))
	}
	return fmt.Errorf("field %.40q holds neither text nor a number", name)
}

// name reads the name of a field. Names of events are not copied.
func (p *eventParser) name() (string, error) {
	if p.space(); len(p.rest) > 1 && p.rest[0] == '"' {
		if end := bytes.IndexByte(p.rest[1:min(len(p.rest), 32)], '"'); end >= 0 {
			if name := knownName(p.rest[1 : 1+end]); name != "" {
				p.rest = p.rest[end+2:]
				return name, nil
			}
		}
	}
	return p.quoted()
}

// quoted reads a text in quotes.
func (p *eventParser) quoted() (string, error) {
	if !p.take('"') {
		return "", errNoObject
	}
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			text := knownWord(p.rest[:i])
			p.rest = p.rest[i+1:]
			return text, nil
		case c == '\\':
			return p.escaped(i)
		case c < ' ':
			return "", errors.New("a control character stands in a text")
		}
	}
	return "", errNoObject
}

// escaped reads a text of which the first escape is at i; its opening quote is gone.
func (p *eventParser) escaped(i int) (text string, err error) {
	for ; i < len(p.rest) && p.rest[i] != '"'; i++ {
		if p.rest[i] == '\\' {
			i++
		}
	}
	if i >= len(p.rest) {
		return "", errNoObject
	}
	quoted := append(append([]byte{'"'}, p.rest[:i]...), '"')
	p.rest = p.rest[i+1:]
	if err := json.Unmarshal(quoted, &text); err != nil {
		return "", fmt.Errorf("a text: %w", err)
	}
	return text, nil
}

func (p *eventParser) text(name, value string) (err error) {
	e := p.event
	switch name {
	case "time":
		e.Time, err = time.Parse(timeForm, value)
	case "remote":
		e.Remote, err = parseAddress(value)
	case "peer":
		if value != "" {
			e.Peer, err = parseAddress(value)
		}
	case "class":
		e.Class = Class(value)
	case "decision":
		e.Decision = Decision(value)
	default:
		field := e.word(name)
		if field == nil {
			return fmt.Errorf("field %.40q is unknown, or holds no text", name)
		}
		*field = value
	}
	if err != nil {
		return fmt.Errorf("field %q: %w", name, err)
	}
	return nil
}

// word is the field of a plain text.
func (e *Event) word(name string) *string {
	switch name {
	case "id":
		return &e.ID
	case "tls":
		return &e.TLS
	case "sni":
		return &e.SNI
	case "proto":
		return &e.Proto
	case "method":
		return &e.Method
	case "host":
		return &e.Host
	case "path":
		return &e.Path
	case "query":
		return &e.Query
	case "user_agent":
		return &e.UserAgent
	case "trace":
		return &e.Trace
	case "span":
		return &e.Span
	case "parent":
		return &e.Parent
	case "api":
		return &e.API
	case "endpoint":
		return &e.Endpoint
	case "shield":
		return &e.Shield
	case "credential":
		return &e.CredentialID
	case "issuer":
		return &e.Issuer
	case "subject":
		return &e.Subject
	case "client":
		return &e.Client
	case "user":
		return &e.User
	case "tenant":
		return &e.Tenant
	case "with":
		return &e.With
	case "warning":
		return &e.Warning
	case "actor":
		return &e.Actor
	case "action":
		return &e.Action
	case "target":
		return &e.Target
	case "change":
		return &e.Change
	case "step":
		return &e.Step
	case "code":
		return &e.Code
	case "detail":
		return &e.Detail
	case "upstream":
		return &e.Upstream
	case "note":
		return &e.Note
	case "would":
		return &e.Would
	case "changed":
		return &e.Changed
	}
	return nil
}

func (p *eventParser) number(name string, value json.Number) error {
	n, err := value.Int64()
	if err != nil || n <= 0 {
		return fmt.Errorf("field %q is no number above zero", name)
	}
	e := p.event
	switch name {
	case "status":
		e.Status = int(n)
	case "upstream_status":
		e.UpstreamStatus = int(n)
	case "bytes_in":
		e.BytesIn = n
	case "bytes_out":
		e.BytesOut = n
	case "duration_us":
		e.Duration, err = microseconds(n)
	case "upstream_us":
		e.UpstreamDuration, err = microseconds(n)
	case "count":
		e.Count = int(n)
	default:
		return p.took(name, n)
	}
	return err
}

// took reads how long a part of the path took.
func (p *eventParser) took(name string, n int64) (err error) {
	for part := range Part(Parts) {
		if part.field() == name {
			p.event.Took[part], err = microseconds(n)
			return err
		}
	}
	return fmt.Errorf("field %.40q is unknown, or holds no number", name)
}

func microseconds(n int64) (time.Duration, error) {
	if d := time.Duration(n) * time.Microsecond; d/time.Microsecond == time.Duration(n) {
		return d, nil
	}
	return 0, fmt.Errorf("%d µs are too long", n)
}

func (p *eventParser) flag(name string, value bool) error {
	switch {
	case value && name == "proved":
		p.event.Proved = true
	case value && name == "sampled":
		p.event.Sampled = true
	case value && name == "exposed":
		p.event.Exposed = true
	default:
		return fmt.Errorf("field %.40q is unknown, or cannot be %t", name, value)
	}
	return nil
}

func parseAddress(s string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		var a netip.Addr
		a, err = netip.ParseAddr(s)
		ap = netip.AddrPortFrom(a, 0)
	}
	if err != nil || ap.Addr().Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%.60q is no address", s)
	}
	return ap, nil
}
