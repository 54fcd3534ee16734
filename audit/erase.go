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

// Check reports, as an error, what keeps an erasure from being done.
func (e *Erasure) Check() error {
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
	case !e.Dry && e.Names(e.Reason):
		return errors.New("erase: the reason stands in the log for good and must not name whom it is about; refer to the request by a number")
	}
	return nil
}

// Names reports whether a text holds what is to be erased.
func (e *Erasure) Names(text string) bool {
	if e.Address.IsValid() {
		return strings.Contains(text, e.Address.Addr().String())
	}
	name := e.User + e.Subject + e.Client // one of them
	return len(name) > 2 && strings.Contains(strings.ToLower(text), strings.ToLower(name))
}

// Matches reports whether an event holds data of the person.
func (e *Erasure) Matches(v *Event) bool {
	isAbout := v.Class == Admin || v.Class == Grant || v.Class == Detection
	if e.Address.IsValid() {
		return e.from(v, v.Remote.Addr()) || e.from(v, v.Peer.Addr()) || isAbout && e.covers(networkIn(v.Target))
	}
	name := e.User + e.Subject + e.Client // one of them
	is := v.User
	switch name {
	case e.Subject:
		is = v.Subject
	case e.Client:
		is = v.Client
	}
	return isNamed(is, name) || isAbout && isTarget(v.Target, name)
}

// isTarget reports whether a target like "user ann", or without a kind, is a name.
func isTarget(target, name string) bool {
	_, behind, _ := strings.Cut(target, " ")
	return isNamed(target, name) || isNamed(behind, name) || strings.HasSuffix(target, " "+name)
}

// isNamed reports whether a text of an event is a name, which may have been too long for it.
func isNamed(text, name string) bool {
	if begin, isCut := strings.CutSuffix(text, "…"); isCut && len(begin) >= maxName/4 {
		return strings.HasPrefix(name, begin)
	}
	return text == name
}

// from reports whether an event comes from the address. What stands for many refusals has the
// network of its callers.
func (e *Erasure) from(v *Event, addr netip.Addr) bool {
	if v.Note == noteCounted && addr.Unmap().Is6() {
		return e.covers(networkOf(addr))
	}
	return e.Address.Contains(addr.Unmap())
}

// covers reports whether a network is within the address, or is the network by which it is
// counted: of IPv6 a /64 belongs to one person.
func (e *Erasure) covers(network netip.Prefix) bool {
	return network.IsValid() && network.Overlaps(e.Address) && (network.Bits() >= e.Address.Bits() || network.Addr().Is6() && network.Bits() >= 64)
}

// networkIn is the address or network at the end of a target like "network 2001:db8::/64".
func networkIn(target string) netip.Prefix {
	word := target[strings.LastIndexByte(target, ' ')+1:]
	if addr, err := netip.ParseAddr(word); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	p, err := netip.ParsePrefix(word)
	if err != nil {
		return netip.Prefix{}
	}
	return p.Masked()
}

// needle is what every line that matches contains; nil: look at every line.
func (e *Erasure) needle() []byte {
	if e.Address.IsValid() {
		if e.Address.IsSingleIP() && e.Address.Addr().Is4() {
			return []byte(e.Address.Addr().String())
		}
		return nil
	}
	name := appendEscaped(nil, e.User+e.Subject+e.Client, maxName)
	return name[:min(len(name), maxName/4)] // more of it need not have had room
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
	if err := e.Check(); err != nil {
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
