package flow

import (
	"time"

	"pavise.dev/pavise/internal/journal"
	"pavise.dev/pavise/shield"
)

// runName names one run of a sequence, and whose it is.
type runName struct{ id, owner name }

// run is a sequence that was begun.
type run struct {
	id      name
	owner   name
	done    int   // steps
	running int   // the step that is under way, from 1; 0: none
	last    int64 // end of the last step that was done
	until   int64
	made    journal.At
	at      int // in the queue
}

func (r *run) when() int64 { return r.until }
func (r *run) place() *int { return &r.at }

// maxBack is how far the clock may go back before what it says is taken for another time.
const maxBack = time.Minute

// mayOpen reports, as an error, whether there is room for a run that is begun.
func (s *Store) mayOpen(n runName, of *Sequence) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(s.now())
	return s.room(n, of)
}

func (s *Store) room(n runName, of *Sequence) error {
	switch {
	case s.runs.all[n.id] != nil:
		return nil
	case len(s.runs.all) >= s.options.MaxRuns:
		return full("open flows")
	case s.runs.per[n.owner] >= of.Open:
		return later(shield.RateLimited, of.Within, "%d runs of flow %s are open already", of.Open, of.Name)
	}
	return nil
}

// open says that the first step of a run was done. One that was begun before begins anew.
func (s *Store) open(n runName, of *Sequence) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.forget(now)
	r := s.runs.all[n.id]
	if r == nil {
		if err := s.room(n, of); err != nil {
			return err
		}
		r = &run{id: n.id, owner: n.owner, until: now}
		s.runs.add(n.id, n.owner, r)
	}
	r.done = 1
	return s.stepped(r, of, now)
}

// beginStep lets a step pass whose turn it is. Of any number at once, one passes.
func (s *Store) beginStep(n runName, step *Step) (journal.At, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.forget(now)
	r := s.runs.all[n.id]
	if err := r.refuse(step, now); err != nil {
		return journal.At{}, err
	}
	r.running = step.Index + 1
	if err := s.keepRun(r); err != nil {
		r.running = 0
		return journal.At{}, err
	}
	return r.made, nil
}

// refuse says why it is not the step's turn; nil if it is.
func (r *run) refuse(step *Step, now int64) error {
	of := step.Of
	switch {
	case r == nil || r.done == 0 || r.last > now+int64(maxBack):
		return shield.Refuse(shield.OutOfOrder, "step %d of flow %s: the one before was not completed within %s", step.Index+1, of.Name, of.Within)
	case r.running > 0:
		return later(shield.InProgress, soon, "step %d of flow %s is under way", r.running, of.Name)
	case of.Once && r.done != step.Index, r.done < step.Index:
		return shield.Refuse(shield.OutOfOrder, "step %d of flow %s, of which %d are completed", step.Index+1, of.Name, r.done)
	}
	if wait := int64(of.Pace) - max(now-r.last, 0); wait > 0 {
		return later(shield.TooFast, time.Duration(wait), "step %d of flow %s comes sooner than %s after the one before", step.Index+1, of.Name, of.Pace)
	}
	return nil
}

// endStep says what came of a step: it was taken; it was not, and may be tried again; or
// nobody knows, and the run is over.
func (s *Store) endStep(n runName, step *Step, taken, known bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	r := s.runs.all[n.id]
	if r == nil || r.running != step.Index+1 {
		return nil
	}
	r.running = 0
	last := step.Index+1 == step.Of.Steps && step.Of.Once
	switch {
	case !known, taken && last:
		s.dropRun(r)
		return s.mark(entryOf(kindEnded, n.id))
	case !taken:
		return s.keepRun(r)
	}
	r.done = max(r.done, step.Index+1)
	return s.stepped(r, step.Of, now)
}

// stepped keeps a run of which a step was done just now.
func (s *Store) stepped(r *run, of *Sequence, now int64) error {
	r.last, r.until = now, now+int64(of.Within)
	s.runs.due.moved(r)
	return s.keepRun(r)
}

// keepRun writes a run as it is, in the place of what was written before.
func (s *Store) keepRun(r *run) error {
	err := s.writeRun(r)
	s.trim()
	return err
}

func (s *Store) writeRun(r *run) error {
	made, err := s.append(runEntry(r))
	if err != nil {
		return err
	}
	s.unneed(r.made)
	r.made = made
	return nil
}

// endRunning ends the runs of which a step was under way when the process died.
func (s *Store) endRunning() {
	for _, r := range s.runs.all {
		if r.running > 0 {
			s.dropRun(r)
		}
	}
}

func (s *Store) dropRun(r *run) {
	s.runs.remove(r.id, r.owner, r)
	s.unneed(r.made)
}
