package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Query selects events; what is empty selects all.
type Query struct {
	ID, Trace                               string
	Client, Credential, Endpoint, API, Code string
	User, Subject, Tenant                   string
	Decision                                Decision
	Class                                   Class
	About                                   []string // one of these is named anywhere: as who asked, beside him, or as what an act was about
	Address                                 netip.Prefix
	Since, Until                            time.Time
	Limit                                   int // the newest so many; 0: all
}

// Found is an event with its place in the log.
type Found struct {
	Seq   uint64
	Event Event
	JSON  []byte // as it was recorded
}

// Matches reports whether the query selects the event.
func (q *Query) Matches(e *Event) bool {
	return is(q.ID, e.ID) && is(q.Trace, e.Trace) && is(q.Client, e.Client) && is(q.User, e.User) && is(q.Subject, e.Subject) && is(q.Tenant, e.Tenant) && is(q.Credential, e.CredentialID) && is(q.Endpoint, e.Endpoint) &&
		q.about(e) && is(q.API, e.API) && is(q.Code, e.Code) && is(string(q.Decision), string(e.Decision)) && is(string(q.Class), string(e.Class)) &&
		(!q.Address.IsValid() || q.Address.Contains(e.Remote.Addr().Unmap())) &&
		(q.Since.IsZero() || !e.Time.Before(q.Since)) && (q.Until.IsZero() || e.Time.Before(q.Until))
}

// about reports whether an event names one of those that are asked for.
func (q *Query) about(e *Event) bool {
	if len(q.About) == 0 {
		return true
	}
	for _, named := range [...]string{e.CredentialID, e.Target, e.Client, e.User, e.Subject} {
		if named != "" && slices.Contains(q.About, named) {
			return true
		}
	}
	for one := range strings.FieldsSeq(e.With) {
		if _, id, _ := strings.Cut(one, ":"); slices.Contains(q.About, id) {
			return true
		}
	}
	return false
}

func is(want, got string) bool { return want == "" || want == got }

// Search returns the events that the query selects, oldest first. With a limit it
// keeps no more than that in memory, and reads no more segments than it must;
// without, use [Each] for what may be many.
//
// A log that was damaged is searched all the same: the result is then what could be
// read, beside an error that is the first [Fault].
func Search(ctx context.Context, dir string, q Query) ([]Found, error) {
	s, err := newSearch(dir, q)
	if err != nil {
		return nil, err
	}
	var parts [][]Found
	var bad error
	missing := q.Limit
	for names := s.names; len(names) > 0 && (q.Limit == 0 || missing > 0); {
		wave := names[max(0, len(names)-runtime.GOMAXPROCS(0)):]
		names = names[:len(names)-len(wave)]
		for _, part := range slices.Backward(s.wave(ctx, wave, missing)) {
			if err := keepGoing(part.err, &bad); err != nil {
				return nil, err
			}
			found := part.found
			if q.Limit > 0 {
				found = found[max(0, len(found)-missing):]
				missing -= len(found)
			}
			parts = append(parts, found)
		}
	}
	slices.Reverse(parts)
	return slices.Concat(parts...), bad
}

// part is what was found in one segment.
type part struct {
	found []Found
	err   error
}

// wave looks through some segments at once.
func (s *search) wave(ctx context.Context, names []string, most int) []part {
	parts := make([]part, len(names))
	var running sync.WaitGroup
	for i, name := range names {
		running.Go(func() { parts[i].found, parts[i].err = s.newest(ctx, name, most) })
	}
	running.Wait()
	return parts
}

// Each calls f for the events that the query selects, oldest first, in bounded
// memory; the query's limit is not looked at. It ends with f's first error. Damage
// is treated as [Search] does.
func Each(ctx context.Context, dir string, q Query, f func(Found) error) error {
	s, err := newSearch(dir, q)
	if err != nil {
		return err
	}
	var bad error
	for _, name := range s.names {
		if err := keepGoing(s.each(ctx, name, f), &bad); err != nil {
			return err
		}
	}
	return bad
}

// keepGoing puts the first fault of the log itself aside, and passes over segments
// that retention removed meanwhile.
func keepGoing(err error, bad *error) error {
	var fault *Fault
	switch {
	case errors.As(err, &fault):
		if *bad == nil {
			*bad = fmt.Errorf("the log is damaged: %w", fault)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

type search struct {
	dir     string
	query   Query
	names   []string
	needles [][]byte
	values  []uint64 // of the needles and the network, as an index knows them
	since   []byte   // as events write it
	until   []byte
}

func newSearch(dir string, q Query) (*search, error) {
	names, err := segments(dir)
	if err != nil {
		return nil, err
	}
	s := searchIn(dir, q)
	s.names = names
	s.skip()
	return s, nil
}

func searchIn(dir string, q Query) *search {
	s := &search{dir: dir, query: q, needles: q.needles()}
	for _, needle := range s.needles {
		s.values = append(s.values, hashOf(needle))
	}
	if len(q.About) == 1 { // an index knows whole fields; this may stand within one, or be the target
		s.needles = append(s.needles, appendEscaped(nil, q.About[0], maxName))
	}
	if q.Address.IsValid() {
		for _, bits := range networkSizes(q.Address.Addr()) {
			if p, err := q.Address.Addr().Unmap().Prefix(bits); err == nil && bits <= q.Address.Bits() {
				s.values = append(s.values, hashOf(networkField(p)))
				break
			}
		}
	}
	if !q.Since.IsZero() {
		s.since = appendTime(nil, q.Since)
	}
	if !q.Until.IsZero() {
		s.until = appendTime(nil, q.Until)
	}
	return s
}

// needles are pieces of JSON that every event that matches contains: most lines
// need not be decoded.
func (q *Query) needles() [][]byte {
	e := Event{
		ID: q.ID, Client: q.Client, CredentialID: q.Credential, Endpoint: q.Endpoint, API: q.API, Code: q.Code,
		Decision: q.Decision, Class: q.Class,
	}
	var needles [][]byte
	add := func(name, value string, most int) {
		if value != "" {
			needles = append(needles, field(nil, name, value, most)[1:])
		}
	}
	add("id", e.ID, maxWord)
	add("trace", q.Trace, maxWord)
	add("client", e.Client, maxName)
	add("user", q.User, maxName)
	add("subject", q.Subject, maxName)
	add("tenant", q.Tenant, maxWord)
	add("credential", e.CredentialID, maxName)
	add("endpoint", e.Endpoint, maxName)
	add("api", e.API, maxWord)
	add("code", e.Code, maxWord)
	add("decision", string(e.Decision), maxWord)
	add("class", string(e.Class), maxWord)
	return needles
}

// skip leaves out segments that ended before the query's time: the checkpoint at
// a segment's end is younger than everything in it.
func (s *search) skip() {
	if s.query.Since.IsZero() {
		return
	}
	points, _, err := readCheckpoints(s.dir)
	if err != nil {
		return // then every segment is looked at
	}
	for _, point := range points {
		for len(s.names) > 1 && first(s.names[1]) == point.Seq+1 && point.Time.Add(time.Second).Before(s.query.Since) {
			s.names = s.names[1:]
		}
	}
}

// span is a piece of a segment that begins and ends with a line.
type span struct {
	from, to int64
	line     int // its first, from 0
}

// spans are the pieces of a segment, of so many bytes, in which something can be.
func (s *search) spans(name string, size int64) []span {
	x, ok := readIndex(s.dir, name)
	if !ok || x.size != size { // none, or that of the form which has just taken the segment's place
		return []span{{0, 1<<63 - 1, 0}}
	}
	var found []span
	for i, b := range x.blocks {
		if !s.in(&b) {
			continue
		}
		to := x.size
		if i+1 < len(x.blocks) {
			to = x.blocks[i+1].offset
		}
		if n := len(found); n > 0 && found[n-1].to == b.offset {
			found[n-1].to = to
			continue
		}
		found = append(found, span{b.offset, to, i * blockLines})
	}
	return found
}

// in reports whether a block can hold what is looked for.
func (s *search) in(b *block) bool {
	if !s.query.Since.IsZero() && b.max < s.query.Since.UnixMicro() || !s.query.Until.IsZero() && b.min > s.query.Until.UnixMicro() {
		return false
	}
	for _, value := range s.values {
		if !b.may(value) {
			return false
		}
	}
	return true
}

func (s *search) each(ctx context.Context, name string, f func(Found) error) error {
	file, err := os.Open(filepath.Join(s.dir, name))
	if err != nil {
		return fmt.Errorf("read a segment: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read a segment: %w", err)
	}
	var bad error
	for _, at := range s.spans(name, info.Size()) {
		lines := newLineReader(name, io.NewSectionReader(file, at.from, at.to-at.from))
		lines.number = at.line
		if err := s.piece(ctx, lines, f, &bad); err != nil {
			return err
		}
	}
	return bad
}

// piece looks through some lines. The first bad one is put aside.
func (s *search) piece(ctx context.Context, lines *lineReader, f func(Found) error, bad *error) error {
	for {
		l, possible, err := lines.nextWith(s.needles)
		var fault *Fault
		switch {
		case errors.Is(err, io.EOF):
			return ctx.Err()
		case errors.As(err, &fault):
			if *bad == nil {
				*bad = fault
			}
			continue
		case err != nil:
			return err
		case !possible:
			if lines.number%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		found, ok, err := s.look(l)
		if err != nil {
			if *bad == nil {
				*bad = &Fault{lines.name, lines.number, l.seq, err.Error()}
			}
			continue
		}
		if ok {
			if err := f(found); err != nil {
				return err
			}
		}
	}
}

// newest returns the last matches of a segment; most 0: all.
func (s *search) newest(ctx context.Context, name string, most int) ([]Found, error) {
	var kept []Found
	from := 0 // kept is a ring once it is full
	err := s.each(ctx, name, func(found Found) error {
		if most <= 0 || len(kept) < most {
			kept = append(kept, found)
			return nil
		}
		kept[from] = found
		from = (from + 1) % most
		return nil
	})
	return slices.Concat(kept[from:], kept[:from]), err
}

// look decodes a line only if it can match.
func (s *search) look(l line) (Found, bool, error) {
	if l.event == nil { // nothing is left of it
		return Found{}, false, nil
	}
	for _, needle := range s.needles {
		if !bytes.Contains(l.event, needle) {
			return Found{}, false, nil
		}
	}
	if !s.near(l.event) {
		return Found{}, false, nil
	}
	e, err := ParseJSON(l.event)
	if err != nil {
		return Found{}, false, err
	}
	if !s.query.Matches(&e) {
		return Found{}, false, nil
	}
	return Found{Seq: l.seq, Event: e, JSON: bytes.Clone(l.event)}, true, nil
}

// near reports whether the time and the address of an event can match, without reading all
// of it. Times of one form compare as their texts do.
func (s *search) near(event []byte) bool {
	if s.since == nil && s.until == nil && !s.query.Address.IsValid() {
		return true
	}
	ok := true
	eachField(event[:min(len(event), 512)], func(name, field []byte) { // both stand at the front
		switch string(name) {
		case "time":
			at := valueOf(name, field)
			ok = ok && (s.since == nil || bytes.Compare(at, s.since) >= 0) && (s.until == nil || bytes.Compare(at, s.until) < 0)
		case "remote":
			if !s.query.Address.IsValid() {
				return
			}
			at, err := parseAddress(string(valueOf(name, field)))
			ok = ok && (err != nil || s.query.Address.Contains(at.Addr().Unmap()))
		}
	})
	return ok
}
