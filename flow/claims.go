package flow

import (
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/journal"
	"pavise.dev/pavise/shield"
)

// state is what is known of a key's first request.
type state byte

const (
	running  state = iota + 1
	lost           // nobody knows whether the service did it
	done           // the service answered, and the answer is not there
	answered       // the answer is kept
)

// claim is a key that was used.
type claim struct {
	id     name
	print  name // of the request
	owner  name
	until  int64
	state  state
	status int
	made   journal.At
	kept   journal.At // the answer
	at     int        // in the queue
}

func (c *claim) when() int64 { return c.until }
func (c *claim) place() *int { return &c.at }

// claim gives a key to a request, or returns what is known of its earlier one: a claim with a
// status has an answer. Of any number of requests at once, one gets it.
func (s *Store) claim(id, print, owner name, keep time.Duration) (claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.forget(now)
	if c := s.claims.all[id]; c != nil {
		return *c, c.refuse(print)
	}
	if len(s.claims.all) >= s.options.MaxKeys {
		return claim{}, full("idempotency keys")
	}
	if reserved := max(s.options.MaxKeys/share, 1); len(s.claims.all) >= s.options.MaxKeys-reserved && s.claims.per[owner] >= reserved {
		return claim{}, later(shield.RateLimited, time.Minute, "little room is left for idempotency keys, and the identity has %d or more", reserved)
	}
	c := &claim{id: id, print: print, owner: owner, until: now + int64(keep), state: running}
	made, err := s.append(claimEntry(c))
	if err != nil {
		return claim{}, err
	}
	c.made = made
	s.claims.add(id, owner, c)
	return *c, nil
}

// refuse says why a request with a key that was used before gets no answer of it; nil if it
// does.
func (c *claim) refuse(print name) error {
	switch {
	case c.print != print:
		return shield.Refuse(shield.KeyReused, "the key was used for another request: method, path, query or payload differ")
	case c.state == running:
		return later(shield.InProgress, soon, "the first request with the key is under way")
	case c.state == lost:
		return shield.Refuse(shield.OutcomeUnknown, "the first request with the key reached the service, and what came of it is not known")
	case c.state == done:
		return shield.Refuse(shield.AnswerNotKept, "the first request with the key was answered with %d, and the answer was not kept", c.status)
	}
	return nil
}

// answer reads the answer of an earlier request.
func (s *Store) answer(id name, c claim) (*pavise.Answer, error) {
	entry, err := s.log.Read(c.kept)
	if err != nil {
		return nil, err
	}
	answer, err := s.openAnswer(id, entry)
	if err != nil {
		return nil, err
	}
	answer.Header.Set(ReplayedHeader, "true")
	return answer, nil
}

// release gives a key free.
func (s *Store) release(id name) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims.all[id]
	if c == nil || c.state != running {
		return nil
	}
	s.dropClaim(c)
	return s.mark(entryOf(kindReleased, id))
}

// lose says that nobody knows what came of a request. It is what a start makes of one that
// was under way, so that nothing has to be written.
func (s *Store) lose(id name) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.claims.all[id]; c != nil && c.state == running {
		c.state = lost
	}
	return nil
}

// finish keeps what came of a request; answer is nil if it is not kept.
func (s *Store) finish(id name, status int, answer *pavise.Answer) error {
	entry := doneEntry(id, status)
	if answer != nil {
		var err error
		if entry, err = s.sealAnswer(id, answer); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims.all[id]
	if c == nil || c.state != running {
		return nil
	}
	if answer != nil && s.live+int64(len(entry)) > s.options.MaxBytes {
		entry, answer = doneEntry(id, status), nil
	}
	kept, err := s.append(entry)
	if err != nil {
		return err
	}
	c.kept, c.status, c.state = kept, status, done
	if answer != nil {
		c.state = answered
	}
	return nil
}

func (s *Store) dropClaim(c *claim) {
	s.claims.remove(c.id, c.owner, c)
	s.unneed(c.made)
	s.unneed(c.kept)
}

// moveClaim writes a claim, and what is known of it, at the journal's end.
func (s *Store) moveClaim(c *claim) error {
	var answer []byte
	if c.kept.File != 0 {
		entry, err := s.log.Read(c.kept)
		if err != nil {
			return err
		}
		answer = entry
	}
	made, err := s.append(claimEntry(c))
	if err != nil {
		return err
	}
	s.unneed(c.made)
	c.made = made
	if answer == nil {
		return nil
	}
	kept, err := s.append(answer)
	if err != nil {
		return err
	}
	s.unneed(c.kept)
	c.kept = kept
	return nil
}
