package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"
)

// Query selects events; what is empty selects all.
type Query struct {
	ID, Client, Credential, Endpoint, API, Code string
	User, Subject, Tenant                       string
	Decision                                    Decision
	Class                                       Class
	Address                                     netip.Prefix
	Since, Until                                time.Time
	Limit                                       int // the newest so many; 0: all
}

// Found is an event with its place in the log.
type Found struct {
	Seq   uint64
	Event Event
	JSON  []byte // as it was recorded
}

// Matches reports whether the query selects the event.
func (q *Query) Matches(e *Event) bool {
	return is(q.ID, e.ID) && is(q.Client, e.Client) && is(q.User, e.User) && is(q.Subject, e.Subject) && is(q.Tenant, e.Tenant) && is(q.Credential, e.CredentialID) && is(q.Endpoint, e.Endpoint) &&
		is(q.API, e.API) && is(q.Code, e.Code) && is(string(q.Decision), string(e.Decision)) && is(string(q.Class), string(e.Class)) &&
		(!q.Address.IsValid() || q.Address.Contains(e.Remote.Addr().Unmap())) &&
		(q.Since.IsZero() || !e.Time.Before(q.Since)) && (q.Until.IsZero() || e.Time.Before(q.Until))
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
	for _, name := range slices.Backward(s.names) {
		part, err := s.newest(ctx, name, missing)
		if err := keepGoing(err, &bad); err != nil {
			return nil, err
		}
		parts = append(parts, part)
		if missing -= len(part); q.Limit > 0 && missing <= 0 {
			break
		}
	}
	slices.Reverse(parts)
	return slices.Concat(parts...), bad
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
}

func newSearch(dir string, q Query) (*search, error) {
	names, err := segments(dir)
	if err != nil {
		return nil, err
	}
	s := &search{dir: dir, query: q, names: names, needles: q.needles()}
	s.skip()
	return s, nil
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

func (s *search) each(ctx context.Context, name string, f func(Found) error) error {
	return eachLine(s.dir, name, func(l line) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		found, ok, err := s.look(l)
		if err != nil {
			return &Fault{name, int(l.seq - first(name) + 1), l.seq, err.Error()}
		}
		if !ok {
			return nil
		}
		return f(found)
	})
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
	e, err := ParseJSON(l.event)
	if err != nil {
		return Found{}, false, err
	}
	if !s.query.Matches(&e) {
		return Found{}, false, nil
	}
	return Found{Seq: l.seq, Event: e, JSON: bytes.Clone(l.event)}, true, nil
}
