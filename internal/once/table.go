package once

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"

	"pavise.dev/pavise/shield"
)

// table is the mapped file as words. The caller holds the lock of the stripe
// that he works on.
type table struct {
	header
	words []uint64
}

// print is the fingerprint of a claim: 128 bits of a hash that is keyed with a
// secret of the file, so that nobody can aim at a bucket or at another's claim.
type print struct{ low, high uint64 }

// Where the words of the first slot of a bucket are; the next slot's follow each.
// What a search reads stands together. A slot whose end is zero is empty, whatever
// else it holds.
const (
	until = slotsPer * iota
	low
	high
	check
)

func (t *table) print(c *shield.Once) print {
	var buffer [256]byte
	b := append(buffer[:0], t.key[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(c.Space)))
	b = append(b, c.Space...)
	b = append(b, c.Digest[:]...)
	sum := sha256.Sum256(b)
	return print{binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])}
}

func (t *table) stripe(p print) int { return int(p.low >> 32 & uint64(t.stripes-1)) }

// slots returns the words of the two buckets where p may stand: two different
// ones of one page.
func (t *table) slots(p print) [2][]uint64 {
	page, _ := bits.Mul64(p.high, uint64(t.pages))
	page += uint64(t.stripe(p)) * uint64(t.pages)
	first := p.low % bucketsPer
	second := first ^ (1 + p.low/bucketsPer%(bucketsPer-1))
	return [2][]uint64{t.bucket(page*bucketsPer + first), t.bucket(page*bucketsPer + second)}
}

func (t *table) bucket(i uint64) []uint64 {
	const words = slotsPer * slotWords
	at := dataOffset/8 + i*words
	return t.words[at : at+words : at+words]
}

// place is what find found.
type place struct {
	used   bool
	bucket []uint64 // nil: there is none
	slot   int      // where the claim stands or, if not used, may stand
	free   int      // how many slots of the bucket are
}

// find looks for p in both of its buckets. A slot whose claim is over counts as
// free; if p is not there, the place is in the emptier bucket. Which slots are
// free is as random as a coin, so the loop does not branch on it.
func (t *table) find(p print, now int64) place {
	most := 0
	var found place
	for _, bucket := range t.slots(p) {
		b := (*[slotsPer * slotWords]uint64)(bucket)
		free := uint64(0) // a bit for each slot
		for i := range slotsPer {
			over := uint64(int64(b[until+i])-now-1) >> 63
			free |= over << i
			if b[low+i] == p.low && b[high+i] == p.high && over == 0 {
				return place{true, bucket, i, 0}
			}
		}
		if n := bits.OnesCount64(free); n > most {
			most, found = n, place{false, bucket, bits.TrailingZeros64(free), n}
		}
	}
	return found
}

// put writes a claim into a place that find found, under the same lock. A process
// that is killed in between leaves an empty slot: the end of the old claim is
// taken away first, and that of the new one is set last.
func (t *table) put(p print, end int64, at place) {
	b, i := at.bucket, at.slot
	if old := b[until+i]; old != 0 {
		if mark := t.forgotten(p); old > *mark {
			atomic.StoreUint64(mark, old)
		}
		atomic.StoreUint64(&b[until+i], 0)
	}
	atomic.StoreUint64(&b[low+i], p.low)
	atomic.StoreUint64(&b[high+i], p.high)
	atomic.StoreUint64(&b[check+i], t.check(p, end))
	atomic.StoreUint64(&b[until+i], uint64(end))
}

// take takes back a claim that was put by a call that fails.
func (t *table) take(at place) { atomic.StoreUint64(&at.bucket[until+at.slot], 0) }

// forgotten is the latest end of any claim of p's stripe whose slot was taken by
// another.
func (t *table) forgotten(p print) *uint64 {
	return &t.words[pageSize/8+t.stripe(p)*lineWords]
}

// wasForgotten reports whether a claim that ends then may have been used and
// forgotten. That can be so only if the clock was set back.
func (t *table) wasForgotten(p print, end int64) bool {
	return uint64(end) <= *t.forgotten(p)
}

// copyClaims takes over what is live in old, which has the same key, and what
// it knows of the time before.
func (t *table) copyClaims(old *table, now int64) error {
	mark := uint64(0)
	for i := range old.stripes {
		mark = max(mark, old.words[pageSize/8+i*lineWords])
	}
	for i := range t.stripes {
		t.words[pageSize/8+i*lineWords] = mark
	}
	return old.each(func(p print, end int64) error {
		if end <= now {
			return nil
		}
		at := t.find(p, now)
		if at.bucket == nil {
			return fmt.Errorf("the new capacity has no room for the claims that are still live: %w (hint: keep the old one until they are over)", ErrFull)
		}
		t.put(p, end, at)
		return nil
	})
}

// clear forgets all claims, and that any were forgotten.
func (t *table) clear() {
	for n := range uint64(t.stripes) * uint64(t.pages) * bucketsPer {
		b := t.bucket(n)
		for i := range slotsPer {
			atomic.StoreUint64(&b[until+i], 0)
		}
	}
	for i := range t.stripes {
		atomic.StoreUint64(&t.words[pageSize/8+i*lineWords], 0)
	}
}

// Where the two copies of what is known of the clock stand in the header page; the newer one that is
// whole counts, so that the death of the process in the middle of one costs nothing. Each is a turn,
// two numbers of spans, the spans, and a checksum.
const (
	wordSpans  = 64
	spansWords = 3 + 2*2*mostSpans + 1
)

func (t *table) spansCopy(i uint64) []uint64 {
	at := wordSpans + i*spansWords
	return t.words[at : at+spansWords : at+spansWords]
}

// spans are what is known of the clock; none in a file of a version that did not know.
func (t *table) spans() (seen, lost []span) {
	w := t.newestSpans()
	if w == nil {
		return nil, nil
	}
	all := make([]span, 0, 2*mostSpans)
	for i := range w[1] + w[2] {
		all = append(all, span{int64(w[3+2*i]), int64(w[4+2*i])})
	}
	return all[:w[1]:w[1]], all[w[1]:]
}

func (t *table) newestSpans() (newest []uint64) {
	for i := range uint64(2) {
		w := t.spansCopy(i)
		if w[0] > 0 && w[1] <= mostSpans && w[2] <= mostSpans && w[spansWords-1] == checksum(w[:spansWords-1]) && (newest == nil || w[0] > newest[0]) {
			newest = w
		}
	}
	return newest
}

func (t *table) putSpans(seen, lost []span) {
	turn := uint64(1)
	if newest := t.newestSpans(); newest != nil {
		turn = newest[0] + 1
	}
	w := t.spansCopy(turn % 2)
	w[0], w[1], w[2] = turn, uint64(len(seen)), uint64(len(lost))
	for i, s := range append(seen[:len(seen):len(seen)], lost...) {
		w[3+2*i], w[4+2*i] = uint64(s.from), uint64(s.to)
	}
	w[spansWords-1] = checksum(w[:spansWords-1])
}

// setState writes the words that say that the file is open, by this run of the
// machine.
func (t *table) setState(cold int64, boot uint64) {
	t.words[wordColdCheck] = ^uint64(cold)
	t.words[wordCold] = uint64(cold)
	t.words[wordBoot] = boot
	t.words[wordState] = dirty
}

// check is what makes a damaged slot visible. It is no protection against
// somebody who can write the file.
func (t *table) check(p print, end int64) uint64 {
	high, low := bits.Mul64(p.low^binary.NativeEndian.Uint64(t.key[:]), p.high^uint64(end)|1)
	return high ^ low ^ bits.RotateLeft64(uint64(end)*0x9e3779b97f4a7c15, 29)
}

// each calls f for every slot that holds something; an error ends it.
func (t *table) each(f func(p print, end int64) error) error {
	for n := range uint64(t.stripes) * uint64(t.pages) * bucketsPer {
		b := t.bucket(n)
		for i := range slotsPer {
			if b[until+i] == 0 {
				continue
			}
			p, end := print{b[low+i], b[high+i]}, int64(b[until+i])
			if end < 0 || b[check+i] != t.check(p, end) {
				return damaged("claim %d of bucket %d does not match its check", i, n)
			}
			if err := f(p, end); err != nil {
				return err
			}
		}
	}
	return nil
}
