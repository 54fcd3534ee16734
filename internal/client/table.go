package client

import (
	"maps"
	"sync/atomic"
)

// parts is how many parts a table has. A change copies one of them.
const parts = 256

// table is a map for many readers, who take no lock, and one writer. part spreads
// the keys.
type table[K comparable, V any] struct {
	part  func(K) uint8
	parts [parts]atomic.Pointer[map[K]V]
}

func newTable[K comparable, V any](part func(K) uint8) *table[K, V] {
	t := &table[K, V]{part: part}
	for i := range t.parts {
		t.parts[i].Store(&map[K]V{})
	}
	return t
}

// get is safe for concurrent use.
func (t *table[K, V]) get(k K) (V, bool) {
	v, ok := (*t.parts[t.part(k)].Load())[k]
	return v, ok
}

// empty reports whether there is nothing in it.
func (t *table[K, V]) empty() bool {
	for i := range t.parts {
		if len(*t.parts[i].Load()) > 0 {
			return false
		}
	}
	return true
}

// size is how many pairs there are.
func (t *table[K, V]) size() (n int) {
	for i := range t.parts {
		n += len(*t.parts[i].Load())
	}
	return n
}

// each calls f with every pair.
func (t *table[K, V]) each(f func(K, V)) {
	for i := range t.parts {
		for k, v := range *t.parts[i].Load() {
			f(k, v)
		}
	}
}

// edit collects changes of a table, which readers see after publish. Each part
// that changes is copied once.
type edit[K comparable, V any] struct {
	table *table[K, V]
	parts map[uint8]map[K]V
}

func (t *table[K, V]) edit() *edit[K, V] { return &edit[K, V]{t, map[uint8]map[K]V{}} }

// get sees what was put before publish too.
func (e *edit[K, V]) get(k K) (V, bool) {
	if m, ok := e.parts[e.table.part(k)]; ok {
		v, ok := m[k]
		return v, ok
	}
	return e.table.get(k)
}

func (e *edit[K, V]) put(k K, v V) { e.open(k)[k] = v }

func (e *edit[K, V]) remove(k K) { delete(e.open(k), k) }

func (e *edit[K, V]) open(k K) map[K]V {
	n := e.table.part(k)
	if e.parts[n] == nil {
		e.parts[n] = maps.Clone(*e.table.parts[n].Load())
	}
	return e.parts[n]
}

func (e *edit[K, V]) publish() {
	for n, m := range e.parts {
		e.table.parts[n].Store(&m)
	}
}
