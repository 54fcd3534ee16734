package quota

import (
	"sync/atomic"

	"pavise.dev/pavise/limit"
)

// Peek implements [limit.QuotaPeeker]: it says what Take would, and counts nothing.
func (f *File) Peek(key string, q limit.Quota, cost int) (state limit.State, err error) {
	if err := q.Check(cost); err != nil {
		return limit.State{}, err
	}
	defer faulted(&err)()
	key = stored(key)
	s := f.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return limit.State{}, ErrClosed
	}
	var tally limit.Tally
	if id, known := s.slots[key]; known {
		tally = limit.Tally(atomic.LoadUint64(&f.space.slot(id)[wordTally]))
	}
	_, state = tally.Take(q, f.options.Now(), cost)
	return state, nil
}
