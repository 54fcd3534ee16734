package audit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
)

// Erasure asks to take one person's data out of the log.
type Erasure struct {
	// Whom: exactly one of them is set. User, Subject and Client also match acts and
	// findings about them (the target of an event).
	User, Subject, Client string
	Address               netip.Prefix

	Actor  string // who asks
	Reason string // why; it must not name the person
	Dry    bool   // only count
}

// Erased is what an erasure did.
type Erased struct {
	Records  uint64   `json:"records"`
	Segments int      `json:"segments"`
	Events   []string `json:"events,omitempty"` // ids of the events that tell of it, one for each segment
	About    string   `json:"about"`            // a pseudonym of the person, which stands in these events
}

func (e *Erasure) check() error {
	set := 0
	for _, value := range []string{e.User, e.Subject, e.Client} {
		if value != "" {
			set++
		}
	}
	if e.Address.IsValid() {
		set++
	}
	switch {
	case set != 1:
		return errors.New("erase: name exactly one user, subject, client or address")
	case e.Reason == "" && !e.Dry:
		return errors.New("erase: it needs a reason")
	case !e.Dry && e.names(e.Reason):
		return errors.New("erase: the reason stands in the log for good and must not name whom it is about; refer to the request by a number")
	}
	return nil
}

// names reports whether a text holds what is to be erased.
func (e *Erasure) names(text string) bool {
	if e.Address.IsValid() {
		return strings.Contains(text, e.Address.Addr().String())
	}
	name := e.User + e.Subject + e.Client // one of them
	return len(name) > 2 && strings.Contains(strings.ToLower(text), strings.ToLower(name))
}

// Matches reports whether an event holds data of the person.
func (e *Erasure) Matches(v *Event) bool {
	about := func(name string) bool {
		return name != "" && (v.Target == name || strings.HasSuffix(v.Target, " "+name)) && (v.Class == Admin || v.Class == Grant || v.Class == Detection)
	}
	if e.Address.IsValid() {
		return e.Address.Contains(v.Remote.Addr().Unmap()) || e.Address.Contains(v.Peer.Addr().Unmap()) || about(e.Address.Addr().String())
	}
	return e.User != "" && (v.User == e.User || about(e.User)) || e.Subject != "" && (v.Subject == e.Subject || about(e.Subject)) ||
		e.Client != "" && (v.Client == e.Client || about(e.Client))
}

// needle is what every line that matches contains; nil: look at every line.
func (e *Erasure) needle() []byte {
	if e.Address.IsValid() {
		if e.Address.IsSingleIP() {
			return []byte(e.Address.Addr().String())
		}
		return nil
	}
	name := appendEscaped(nil, e.User+e.Subject+e.Client, maxName)
	return name[:len(name)-len(trailing(name))]
}

// trailing is the mark of a text that was cut.
func trailing(text []byte) string {
	if strings.HasSuffix(string(text), "…") {
		return "…"
	}
	return ""
}

// about is a pseudonym: with the chain's key and the name it can be made again, to show
// later that a request was fulfilled; without the key the name cannot be guessed from it.
func (e *Erasure) about(key []byte) string {
	kind := "user"
	switch {
	case e.Subject != "":
		kind = "subject"
	case e.Client != "":
		kind = "client"
	case e.Address.IsValid():
		kind = "address"
	}
	name := e.User + e.Subject + e.Client
	if e.Address.IsValid() {
		name = e.Address.Masked().String()
	}
	m := hmac.New(newHash, key)
	_, _ = fmt.Fprintf(m, "pavise-pseudonym-v1\n%s\n%s", kind, name)
	return kind + "~" + base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:12])
}

// Erase takes the data of one person out of the records that are there: what is left of
// each is a tombstone with what is not personal. The chain and the tree verify as before.
// An event for each segment says by whom, why, and how many records it was; it is written,
// and durable, before anything is taken away. A process that dies in between leaves it to
// the next [Open]. Copies that other sinks have are not reached.
//
// The segment that grows is ended first. Events that are under way are not reached either:
// end what the person does before.
func (l *Log) Erase(ctx context.Context, e Erasure) (done Erased, err error) {
	if err := e.check(); err != nil {
		return done, err
	}
	done.About = e.about(l.chain.Key)
	l.rewriting.Lock()
	defer l.rewriting.Unlock()
	var names []string
	err = l.ask(func(c *chain) (err error) {
		if e.Dry {
			names, err = segments(c.Dir)
			return err
		}
		names, err = c.endSegment()
		return err
	})
	if err != nil {
		return done, fmt.Errorf("erase: %w", err)
	}
	if e.Dry {
		err = e.count(ctx, l.chain.Dir, names, &done)
	} else {
		err = l.erase(ctx, &e, names, &done)
	}
	if err != nil {
		return done, fmt.Errorf("erase: %w", err)
	}
	return done, nil
}

func (e *Erasure) count(ctx context.Context, dir string, names []string, done *Erased) error {
	choose := e.choose()
	for _, name := range names {
		before := done.Records
		err := eachLine(dir, name, func(l line) error {
			if _, take, err := choose(&l); err == nil && take {
				done.Records++
			}
			return ctx.Err()
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if done.Records > before {
			done.Segments++
		}
	}
	return nil
}

// choose takes the lines of the person.
func (e *Erasure) choose() choice {
	needle := e.needle()
	var left []byte
	return func(l *line) ([]byte, bool, error) {
		if l.by != "" || needle != nil && !bytes.Contains(l.event, needle) {
			return nil, false, nil
		}
		v, err := ParseJSON(l.event)
		if err != nil {
			return nil, false, fmt.Errorf("record %d: %w", l.seq, err)
		}
		if protected(&v) || !e.Matches(&v) {
			return nil, false, nil
		}
		rest := remains(&v)
		left = AppendJSON(left[:0], &rest)
		return left, true, nil
	}
}

func (l *Log) erase(ctx context.Context, e *Erasure, names []string, done *Erased) error {
	choose := e.choose()
	tell := func(*rewrite) *Event {
		return &Event{
			Class: Admin, Decision: Accepted, Actor: e.Actor, Action: actionErase, Change: "; " + done.About, Detail: e.Reason,
		}
	}
	finished, err := l.rewrite(ctx, names, choose, tell)
	for _, r := range finished {
		done.Records += r.records
		done.Segments++
		done.Events = append(done.Events, r.by)
	}
	if err == nil {
		l.ring.wipe() // slots that are free still hold what was in them
	}
	return err
}

// rewrite writes segments anew, and puts them in place together.
func (l *Log) rewrite(ctx context.Context, names []string, choose choice, tell func(*rewrite) *Event) (done []*rewrite, err error) {
	var forms []*rewrite
	defer func() {
		for _, r := range forms { // of which no event tells
			err = errors.Join(err, os.Remove(r.draft))
		}
	}()
	for _, name := range names {
		r, err := draft(ctx, l.chain.Dir, name, choose)
		if errors.Is(err, fs.ErrNotExist) {
			continue // retention removed it meanwhile
		}
		if err != nil {
			return nil, err
		}
		if r != nil {
			forms = append(forms, r)
		}
	}
	if len(forms) == 0 {
		return nil, nil
	}
	err = l.ask(func(c *chain) (err error) {
		told := forms
		forms = nil
		done, err = c.putInPlace(told, tell)
		return err
	})
	return done, err
}
