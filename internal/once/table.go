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

// Words of a slot. A slot whose end is zero is empty, whatever else it holds.
const (
	slotLow = iota
	slotHigh
	slotCheck
	slotUntil
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

// slots returns the words of the two buckets where p may stand; they may be the
// same one.
func (t *table) slots(p print) [2][]uint64 {
	n := uint64(t.buckets)
	base := uint64(t.stripe(p)) * n
	first, _ := bits.Mul64(p.high, n)
	second, _ := bits.Mul64(p.low<<32|p.high&0xffffffff, n)
	return [2][]uint64{t.bucket(base + first), t.bucket(base + second)}
}

func (t *table) bucket(i uint64) []uint64 {
	const words = slotsPer * slotWords
	at := dataOffset/8 + i*words
	return t.words[at : at+words : at+words]
}

// place is what find found.
type place struct {
	used bool
	at   []uint64 // the slot where the claim stands or, if not used, may stand; nil: there is none
}

// find looks for p in both of its buckets. A slot whose claim is over counts as
// free; if p is not there, the place is in the emptier bucket.
func (t *table) find(p print, now int64) place {
	best := 0
	var found place
	for _, bucket := range t.slots(p) {
		free := 0
		var candidate []uint64
		for at := 0; at < len(bucket); at += slotWords {
			s := bucket[at : at+slotWords : at+slotWords]
			if int64(s[slotUntil]) <= now {
				free++
				candidate = s
			} else if s[slotLow] == p.low && s[slotHigh] == p.high {
				return place{true, s}
			}
		}
		if free > best {
			best, found.at = free, candidate
		}
	}
	return found
}

// put writes a claim that is not used; false if there is no room for it. A
// process that is killed in between leaves an empty slot: the end of the old
// claim is taken away first, and that of the new one is set last.
func (t *table) put(p print, until, now int64) bool {
	slot := t.find(p, now).at
	if slot == nil {
		return false
	}
	if old := slot[slotUntil]; old != 0 {
		if mark := t.forgotten(p); old > *mark {
			atomic.StoreUint64(mark, old)
		}
		atomic.StoreUint64(&slot[slotUntil], 0)
	}
	atomic.StoreUint64(&slot[slotLow], p.low)
	atomic.StoreUint64(&slot[slotHigh], p.high)
	atomic.StoreUint64(&slot[slotCheck], t.check(p, until))
	atomic.StoreUint64(&slot[slotUntil], uint64(until))
	return true
}

// take takes back a claim that was put by a call that fails.
func (t *table) take(p print, now int64) {
	if found := t.find(p, now); found.used {
		atomic.StoreUint64(&found.at[slotUntil], 0)
	}
}

// forgotten is the latest end of any claim of p's stripe whose slot was taken by
// another.
func (t *table) forgotten(p print) *uint64 {
	return &t.words[pageSize/8+t.stripe(p)*lineWords]
}

// wasForgotten reports whether a claim that ends then may have been used and
// forgotten. That can be so only if the clock was set back.
func (t *table) wasForgotten(p print, until int64) bool {
	return uint64(until) <= *t.forgotten(p)
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
	return old.each(func(p print, until int64) error {
		if until > now && !t.put(p, until, now) {
			return fmt.Errorf("the new capacity has no room for the claims that are still live: %w (hint: keep the old one until they are over)", ErrFull)
		}
		return nil
	})
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
func (t *table) check(p print, until int64) uint64 {
	high, low := bits.Mul64(p.low^binary.NativeEndian.Uint64(t.key[:]), p.high^uint64(until)|1)
	return high ^ low ^ bits.RotateLeft64(uint64(until)*0x9e3779b97f4a7c15, 29)
}

// each calls f for every slot that holds something; an error ends it.
func (t *table) each(f func(p print, until int64) error) error {
	for at := dataOffset / 8; at < len(t.words); at += slotWords {
		s := t.words[at : at+slotWords]
		if s[slotUntil] == 0 {
			continue
		}
		p, until := print{s[slotLow], s[slotHigh]}, int64(s[slotUntil])
		if until < 0 || s[slotCheck] != t.check(p, until) {
			return damaged("the claim at byte %d does not match its check", at*8)
		}
		if err := f(p, until); err != nil {
			return err
		}
	}
	return nil
}
