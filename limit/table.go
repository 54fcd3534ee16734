package limit

// table is a map of bounded size whose values end by themselves: a value that
// is over may be forgotten, and no other ever is. It is not safe for concurrent
// use.
//
// A heap knows the values by the end that each had when it was last looked at.
// Ends only move away, so the first of the heap that is really over is found
// without a look at the rest, and a value that is used often costs nothing
// until then.
type table[K comparable, V ending] struct {
	limit int
	index map[K]int32
	slots []slot[K, V]
	free  []int32
	heap  []due
}

// ending is a value with a time, in nanoseconds, from which it means no more
// than no value at all.
type ending interface{ over() int64 }

type slot[K comparable, V ending] struct {
	key   K
	value V
}

// due is a slot and the end that it had once: the true end is not before it.
type due struct {
	end  int64
	slot int32
}

func newTable[K comparable, V ending](limit int) *table[K, V] {
	return &table[K, V]{limit: limit, index: map[K]int32{}}
}

// get returns the value of key, or nil. The pointer is good until the next add.
func (t *table[K, V]) get(key K) *V {
	i, ok := t.index[key]
	if !ok {
		return nil
	}
	return &t.slots[i].value
}

// add stores a value for a key that has none, after forgetting some that are
// over. False: the table is full of values that are not.
func (t *table[K, V]) add(key K, value V, now int64) bool {
	t.expire(now, 2)
	if len(t.index) >= t.limit && !t.expire(now, 1) {
		return false
	}
	i := t.place()
	t.slots[i] = slot[K, V]{key, value}
	t.index[key] = i
	t.push(due{value.over(), i})
	return true
}

func (t *table[K, V]) place() int32 {
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i
	}
	t.slots = append(t.slots, slot[K, V]{})
	return int32(len(t.slots) - 1)
}

// expire forgets up to most values that are over and reports whether it forgot
// any.
func (t *table[K, V]) expire(now int64, most int) bool {
	forgot := false
	for most > 0 && len(t.heap) > 0 && t.heap[0].end <= now {
		first := t.heap[0]
		if end := t.slots[first.slot].value.over(); end > now {
			t.heap[0].end = end
			t.down(0)
			continue
		}
		t.forget(first.slot)
		forgot = true
		most--
	}
	return forgot
}

// forget removes the slot at the head of the heap.
func (t *table[K, V]) forget(i int32) {
	delete(t.index, t.slots[i].key)
	t.slots[i] = slot[K, V]{}
	t.free = append(t.free, i)
	last := len(t.heap) - 1
	t.heap[0] = t.heap[last]
	t.heap = t.heap[:last]
	t.down(0)
}

func (t *table[K, V]) push(d due) {
	t.heap = append(t.heap, d)
	i := len(t.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if t.heap[parent].end <= t.heap[i].end {
			return
		}
		t.heap[parent], t.heap[i] = t.heap[i], t.heap[parent]
		i = parent
	}
}

func (t *table[K, V]) down(i int) {
	for {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < len(t.heap) && t.heap[child].end < t.heap[least].end {
				least = child
			}
		}
		if least == i {
			return
		}
		t.heap[least], t.heap[i] = t.heap[i], t.heap[least]
		i = least
	}
}
