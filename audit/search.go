package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Query selects events; what is empty selects all.
type Query struct {
	ID, Client, Credential, Endpoint, API, Code string
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
	return is(q.ID, e.ID) && is(q.Client, e.Client) && is(q.Credential, e.CredentialID) && is(q.Endpoint, e.Endpoint) &&
		is(q.API, e.API) && is(q.Code, e.Code) && is(string(q.Decision), string(e.Decision)) && is(string(q.Class), string(e.Class)) &&
		(!q.Address.IsValid() || q.Address.Contains(e.Remote.Addr())) &&
		(q.Since.IsZero() || !e.Time.Before(q.Since)) && (q.Until.IsZero() || e.Time.Before(q.Until))
}

func is(want, got string) bool { return want == "" || want == got }

// Search returns the events that the query selects, oldest first. With a limit it
// keeps no more than that in memory.
func Search(ctx context.Context, dir string, q Query) ([]Found, error) {
	names, err := segments(dir)
	if err != nil {
		return nil, err
	}
	var found []Found
	for _, name := range names {
		err := eachLine(filepath.Join(dir, name), func(l line) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			match, ok, err := q.look(l)
			if err != nil || !ok {
				return err
			}
			found = append(found, match)
			if q.Limit > 0 && len(found) > q.Limit {
				found = append(found[:0], found[1:]...)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// look decodes a line only if it can match.
func (q *Query) look(l line) (Found, bool, error) {
	for _, word := range []string{q.ID, q.Client, q.Credential, q.Code} {
		if word != "" && !bytes.Contains(l.Event, []byte(word)) {
			return Found{}, false, nil
		}
	}
	e, err := ParseJSON(l.Event)
	if err != nil {
		return Found{}, false, fmt.Errorf("record %d: %w", l.Seq, err)
	}
	if !q.Matches(&e) {
		return Found{}, false, nil
	}
	return Found{Seq: l.Seq, Event: e, JSON: bytes.Clone(l.Event)}, true, nil
}

// Follow calls f for every event that the query selects and that is written from
// now on, until the context ends. It looks each time that tick delivers.
func Follow(ctx context.Context, dir string, q Query, tick <-chan time.Time, f func(Found)) error {
	place, err := endOf(dir)
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			if err := place.read(dir, q, f); err != nil {
				return err
			}
		}
	}
}

// place is how far a follower has read.
type place struct {
	name   string
	offset int64
}

func endOf(dir string) (*place, error) {
	names, err := segments(dir)
	if err != nil || len(names) == 0 {
		return &place{}, err
	}
	p := &place{name: names[len(names)-1]}
	info, err := os.Stat(filepath.Join(dir, p.name))
	if err != nil {
		return nil, fmt.Errorf("follow: %w", err)
	}
	p.offset = info.Size()
	return p, nil
}

func (p *place) read(dir string, q Query, f func(Found)) error {
	names, err := segments(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name < p.name {
			continue
		}
		if name > p.name {
			p.name, p.offset = name, 0
		}
		if err := p.readSegment(dir, q, f); err != nil {
			return err
		}
	}
	return nil
}

func (p *place) readSegment(dir string, q Query, f func(Found)) error {
	file, err := os.Open(filepath.Join(dir, p.name))
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(p.offset, io.SeekStart); err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	lines := bufio.NewReaderSize(file, maxLine+1)
	for {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil // an unfinished line is read when it is whole
		}
		if err != nil {
			return fmt.Errorf("follow: %w", err)
		}
		p.offset += int64(len(text))
		l, err := parseLine(bytes.TrimSuffix(text, []byte("\n")))
		if err != nil {
			return fmt.Errorf("follow: %s: %w", p.name, err)
		}
		match, ok, err := q.look(l)
		if err != nil {
			return err
		}
		if ok {
			f(match)
		}
	}
}
