//go:build unix

package once

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"pavise.dev/pavise/shield"
)

// Mapped is a [Store] in a mapped file. What was consumed is in the page cache
// before Consume returns: it survives the death of the process, however sudden.
// If the machine itself dies before the file was closed, the next start is a cold
// one.
type Mapped struct {
	options Options
	file    *file
	cold    int64 // nanoseconds since 1970; 0: never. Guarded by all locks together
	times   *times
	lock    *os.File
	shares  *shares
	locks   [maxStripes]stripeLock
	closed  bool // guarded by all locks together
}

type stripeLock struct {
	sync.Mutex
	_ [56]byte // its own cache line
}

// Open opens the file, or makes it. While it is open no other process can open
// it. A file that cannot be trusted is set aside, with a word to Options.Warn, and
// a new one is made: a cold start. An error means that there is no store.
func Open(o Options) (*Mapped, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(o.Path + ".lock")
	if err != nil {
		return nil, err
	}
	m := &Mapped{options: o, lock: lock, shares: newShares(o.Capacity)}
	if err := m.open(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return m, nil
}

func (m *Mapped) open() error {
	wanted := newHeader(m.options.Capacity)
	kept, s, err := openFile(m.options.Path)
	switch {
	case errors.Is(err, os.ErrNotExist) && m.options.First:
		return m.create(wanted, nil, 0)
	case errors.Is(err, os.ErrNotExist):
		m.warn("there is no file of used claims yet")
		return m.create(wanted, nil, m.coldStart())
	case errors.Is(err, errDamaged):
		return m.replaceDamaged(wanted, err)
	case err != nil:
		return err
	}
	cold := m.judge(s)
	if kept.stripes == wanted.stripes && kept.pages == wanted.pages {
		return m.begin(kept, cold)
	}
	wanted.key = kept.key
	return errors.Join(m.create(wanted, kept, cold), kept.unmap())
}

// replaceDamaged sets a file aside that cannot be trusted. It may hold live
// claims that nobody can read any more, so the start is cold.
func (m *Mapped) replaceDamaged(wanted header, fault error) error {
	aside := m.options.Path + ".damaged"
	m.warn("%w; it was set aside as %s", fault, aside)
	if err := os.Rename(m.options.Path, aside); err != nil {
		return fmt.Errorf("set the damaged file of used claims aside: %w", err)
	}
	return m.create(wanted, nil, m.coldStart())
}

// judge finds out whether an undamaged file holds all that was ever used: it is
// the very file that was written last, by a process of this run of the machine or
// by one that closed it in order. It returns the moment of the last cold start.
func (m *Mapped) judge(s state) (cold int64) {
	boot := bootID()
	switch {
	case s.copied:
		m.warn("it is a copy, perhaps out of a backup, and what was used since is not in it")
	case !s.clean && (boot == 0 || s.boot != boot):
		m.warn("the machine stopped before it was closed, and its last claims may be lost")
	default:
		return s.cold
	}
	return max(s.cold, m.coldStart())
}

func (m *Mapped) coldStart() int64 {
	return m.options.Now().Add(m.options.Skew).UnixNano()
}

func (m *Mapped) warn(format string, args ...any) {
	m.options.Warn(fmt.Errorf("used claims in %s: %w; requests signed before now are refused as stale",
		m.options.Path, fmt.Errorf(format, args...)))
}

// create makes a new file with the live claims of old, if there is one.
func (m *Mapped) create(h header, old *file, cold int64) error {
	h.created = m.options.Now().UnixNano()
	made, err := createFile(m.options.Path, h)
	if err != nil {
		return err
	}
	if old != nil {
		err = made.copyClaims(&old.table, m.options.Now().UnixNano())
		made.putSpans(old.spans())
	}
	made.setState(cold, bootID())
	if err == nil {
		err = made.publish(m.options.Path)
	}
	if err != nil {
		return errors.Join(err, made.unmap())
	}
	return m.begin(made, cold)
}

// begin takes the file into use. That it is open must be on the disk before
// the first claim is.
func (m *Mapped) begin(f *file, cold int64) error {
	f.setState(cold, bootID())
	if err := f.syncFirst(pageSize); err != nil {
		return errors.Join(err, f.unmap())
	}
	m.file = f
	m.cold = cold
	seen, lost := f.spans()
	m.times = newTimes(m.options.Skew, seen, lost, f.putSpans)
	if now := m.options.Now(); m.times.see(now.UnixNano()) {
		return m.turnBack(now)
	}
	return nil
}

// turnBack begins anew after the clock was put back: nothing that was used before can be used again,
// so that nothing of it needs its place.
func (m *Mapped) turnBack(now time.Time) (err error) {
	m.acquire(allStripes)
	defer m.release(allStripes)
	if m.closed {
		return ErrClosed
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = asError(fault)
		}
	}()
	if !m.times.turnBack(now.UnixNano(), m.cold) {
		return nil
	}
	cold := now.Add(m.options.Skew).UnixNano()
	m.cold = cold
	m.file.setState(cold, bootID())
	m.file.clear()
	m.options.Warn(fmt.Errorf("used claims in %s: %w", m.options.Path, errSetBack))
	return m.file.syncFirst(pageSize)
}

// Consume implements [Store].
func (m *Mapped) Consume(ctx context.Context, claims []shield.Once) error {
	if err := admissible(ctx, claims); err != nil {
		return err
	}
	back, err := m.consumeAt(claims, m.options.Now())
	if !back {
		return err
	}
	if err := m.turnBack(m.options.Now()); err != nil { // once more: what took long on its way here is no step
		return err
	}
	return refuse(ErrCold, shield.StaleRequest, "the clock was set back: sign it anew")
}

// consumeAt consumes claims, unless the clock was put back.
func (m *Mapped) consumeAt(claims []shield.Once, now time.Time) (back bool, err error) {
	if len(claims) == 0 {
		return false, nil
	}
	var prints [maxClaims]print
	stripes := uint64(0)
	for i := range claims {
		prints[i] = m.file.print(&claims[i])
		stripes |= 1 << m.file.stripe(prints[i])
	}
	m.acquire(stripes)
	defer m.release(stripes)
	if m.closed {
		return false, ErrClosed
	}
	// A page that cannot be read or written (the disk failed, somebody cut the
	// file) is an error of this request, not the end of the process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = asError(fault)
		}
	}()
	if m.times.see(now.UnixNano()) {
		return true, nil
	}
	t := terms{moment(m.cold), now, m.options.MaxAhead, m.times}
	for i := range claims {
		if err := t.check(&claims[i]); err != nil {
			return false, err
		}
		for _, before := range prints[:i] {
			if before == prints[i] {
				return false, used(&claims[i])
			}
		}
	}
	return false, m.consume(claims, prints[:len(claims)], now.UnixNano())
}

// consume works under the locks of the stripes of all prints.
func (m *Mapped) consume(claims []shield.Once, prints []print, now int64) error {
	var places [maxClaims]place
	for i, p := range prints {
		places[i] = m.file.find(p, now)
		if places[i].used {
			return used(&claims[i])
		}
		if m.file.wasForgotten(p, claims[i].Until.UnixNano()) {
			return forgotten(&claims[i])
		}
	}
	for i, p := range prints {
		if i > 0 { // a claim before this one may have taken the place
			places[i] = m.file.find(p, now)
		}
		if err := m.room(&claims[i], places[i], now); err != nil {
			for _, taken := range places[:i] {
				m.file.take(taken)
			}
			return err
		}
		m.file.put(p, claims[i].Until.UnixNano(), places[i])
	}
	return nil
}

// room refuses a claim for which there is no place, or none that is its space's.
// The emptier of two buckets is about as full as the table, so that it tells
// when little is left without anybody counting the whole. A claim that is taken back stays
// counted: the sender pays for it.
func (m *Mapped) room(c *shield.Once, at place, now int64) error {
	if at.bucket == nil {
		return ErrFull
	}
	if !m.shares.add(c, now, at.free > reserved) {
		return overShare(c)
	}
	return nil
}

// acquire locks the stripes of a set in rising order, so that no two callers
// wait for each other.
func (m *Mapped) acquire(stripes uint64) {
	for ; stripes != 0; stripes &= stripes - 1 {
		m.locks[bits.TrailingZeros64(stripes)].Lock()
	}
}

func (m *Mapped) release(stripes uint64) {
	for ; stripes != 0; stripes &= stripes - 1 {
		m.locks[bits.TrailingZeros64(stripes)].Unlock()
	}
}

// reserved is how many slots of a bucket are left for spaces within their share.
// A page holds 64 claims when the capacity is used up; chance seldom brings one to
// the 104 at which its buckets get there.
const reserved = 3

const allStripes = ^uint64(0)

// asError turns a fault of the mapping into an error. Any other panic goes on.
func asError(fault any) error {
	at, ok := fault.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		panic(fault)
	}
	return fmt.Errorf("the file of used claims cannot be read or written: %w", at)
}

// Live returns how many claims are kept that are not over. It reads the whole
// file under lock and is meant for tests and for people who ask.
func (m *Mapped) Live() (int, error) {
	m.acquire(allStripes)
	defer m.release(allStripes)
	if m.closed {
		return 0, ErrClosed
	}
	now, n := m.options.Now().UnixNano(), 0
	err := m.file.each(func(_ print, end int64) error {
		if end > now {
			n++
		}
		return nil
	})
	return n, err
}

// Close writes everything to the disk and gives the file free. Calls that come
// later get [ErrClosed].
func (m *Mapped) Close() error {
	m.acquire(allStripes)
	defer m.release(allStripes)
	if m.closed {
		return nil
	}
	m.closed = true
	err := m.file.sync()
	if err == nil {
		m.file.words[wordState] = clean
		err = m.file.syncFirst(pageSize)
	}
	return errors.Join(err, m.file.unmap(), m.lock.Close())
}
