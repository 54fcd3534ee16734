package flow

import (
	"encoding/binary"
	"errors"

	"pavise.dev/pavise/internal/journal"
)

// Entries of the journal begin with their kind and the name of what they are about:
//
//	claim     print, owner, until
//	done      status
//	answered  status, salt, sealed answer
//	released
//	run       owner, done, running, last, until
//	ended
const (
	kindClaim    = 'c'
	kindDone     = 'd'
	kindAnswered = 'a'
	kindReleased = 'r'
	kindRun      = 's'
	kindEnded    = 'x'
)

// headSize is the length of kind and name.
const headSize = 1 + len(name{})

func entryOf(kind byte, id name) []byte { return append([]byte{kind}, id[:]...) }

func claimEntry(c *claim) []byte {
	entry := append(entryOf(kindClaim, c.id), c.print[:]...)
	return binary.BigEndian.AppendUint64(append(entry, c.owner[:]...), uint64(c.until))
}

func doneEntry(id name, status int) []byte {
	return binary.BigEndian.AppendUint16(entryOf(kindDone, id), uint16(status))
}

func runEntry(r *run) []byte {
	entry := append(entryOf(kindRun, r.id), r.owner[:]...)
	entry = append(entry, byte(r.done), byte(r.running))
	entry = binary.BigEndian.AppendUint64(entry, uint64(r.last))
	return binary.BigEndian.AppendUint64(entry, uint64(r.until))
}

var errEntry = errors.New("it is none of this program's")

// load takes an entry of an earlier process.
func (s *Store) load(at journal.At, entry []byte) error {
	if len(entry) < headSize {
		return errEntry
	}
	id, rest := name(entry[1:headSize]), entry[headSize:]
	switch kind := entry[0]; {
	case kind == kindClaim && len(rest) == 40:
		s.loadClaim(at, id, rest)
	case kind == kindDone && len(rest) == 2, kind == kindAnswered && len(rest) > 2+saltSize:
		s.loadDone(at, id, kind, int(binary.BigEndian.Uint16(rest)))
	case kind == kindReleased && len(rest) == 0:
		if c := s.claims.all[id]; c != nil {
			s.dropClaim(c)
		}
	case kind == kindRun && len(rest) == 34:
		s.loadRun(at, id, rest)
	case kind == kindEnded && len(rest) == 0:
		if r := s.runs.all[id]; r != nil {
			s.dropRun(r)
		}
	default:
		return errEntry
	}
	return nil
}

// loadClaim takes a claim. One that was there already was only moved.
func (s *Store) loadClaim(at journal.At, id name, rest []byte) {
	c := &claim{
		id: id, print: name(rest[:16]), owner: name(rest[16:32]), until: int64(binary.BigEndian.Uint64(rest[32:])),
		state: lost, made: at,
	}
	if have := s.claims.all[id]; have != nil {
		if have.print == c.print && have.until == c.until {
			s.unneed(have.made)
			have.made = at
			s.need(at)
			return
		}
		s.dropClaim(have)
	}
	if c.until <= s.now() {
		return
	}
	s.claims.add(id, c.owner, c)
	s.need(at)
}

func (s *Store) loadDone(at journal.At, id name, kind byte, status int) {
	c := s.claims.all[id]
	if c == nil {
		return // it is over
	}
	s.unneed(c.kept)
	c.kept, c.status, c.state = at, status, done
	if kind == kindAnswered {
		c.state = answered
	}
	s.need(at)
}

// loadRun takes a run. A step that was under way has an unknown outcome, which ends it.
func (s *Store) loadRun(at journal.At, id name, rest []byte) {
	if have := s.runs.all[id]; have != nil {
		s.dropRun(have)
	}
	r := &run{
		id: id, owner: name(rest[:16]), done: int(rest[16]), running: int(rest[17]),
		last: int64(binary.BigEndian.Uint64(rest[18:])), until: int64(binary.BigEndian.Uint64(rest[26:])), made: at,
	}
	if r.until <= s.now() || r.done == 0 {
		return
	}
	s.runs.add(id, r.owner, r)
	s.need(at)
}
