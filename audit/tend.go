package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// How often somebody looks whether segments have ended that want an index, and whether the
// time of a class is over.
const (
	tendEvery   = time.Minute
	expireEvery = time.Hour
)

// tender looks after segments that have ended, in a goroutine of its own: what it does
// takes long and holds nobody up.
type tender struct {
	log     *Log
	indexed map[string]os.FileInfo // segments whose index was made or found whole
	passed  map[string]bool        // segment and class of which nothing is left to take
	expired time.Time
}

func (l *Log) tend() {
	defer close(l.tended)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-l.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	t := &tender{log: l, indexed: map[string]os.FileInfo{}, passed: map[string]bool{}}
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		if err := t.once(ctx); err != nil && ctx.Err() == nil {
			l.warn(fmt.Errorf("event log: %w", err)) // recording goes on
		}
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
	}
}

func (t *tender) once(ctx context.Context) error {
	err := t.index(ctx)
	now := t.log.now()
	if len(t.log.chain.KeepClass) > 0 && (now.Sub(t.expired) >= expireEvery || now.Before(t.expired)) {
		t.expired = now
		err = errors.Join(err, t.log.expire(ctx, t.passed), t.index(ctx))
	}
	return err
}

// index makes the indexes that are missing.
func (t *tender) index(ctx context.Context) error {
	dir := t.log.chain.Dir
	names, err := segments(dir)
	if err != nil || len(names) == 0 {
		return err
	}
	for _, name := range names[:len(names)-1] {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || ctx.Err() != nil {
			continue // retention removed it meanwhile
		}
		if known := t.indexed[name]; known != nil && os.SameFile(known, info) {
			continue
		}
		if err := t.log.index(name); err != nil {
			return err
		}
		t.indexed[name] = info
	}
	maps.DeleteFunc(t.indexed, func(name string, _ os.FileInfo) bool { return !slices.Contains(names, name) })
	return nil
}

// index makes the index of one segment, if it is missing. Nobody writes the segment anew
// meanwhile.
func (l *Log) index(name string) error {
	l.rewriting.Lock()
	defer l.rewriting.Unlock()
	if _, ok := readIndex(l.chain.Dir, name); ok {
		return nil
	}
	var fault *Fault
	err := makeIndex(l.chain.Dir, name)
	if errors.As(err, &fault) || errors.Is(err, fs.ErrNotExist) {
		return nil // Verify is there to name bad lines; searches read all of it
	}
	return err
}

// Index makes indexes for all segments that have ended, which otherwise happens within a
// minute.
func (l *Log) Index(ctx context.Context) error {
	t := &tender{log: l, indexed: map[string]os.FileInfo{}}
	return t.index(ctx)
}

// Expire takes away what is left of classes whose time is over, which otherwise happens
// once an hour.
func (l *Log) Expire(ctx context.Context) error { return l.expire(ctx, map[string]bool{}) }

func (l *Log) expire(ctx context.Context, passed map[string]bool) error {
	dir := l.chain.Dir
	var names []string
	var now time.Time
	err := l.ask(func(c *chain) (err error) {
		c.look()
		if now = c.patience.seen.Last; c.patience.hold() != nil {
			return c.write()
		}
		if c.file != nil && c.due() { // where nothing is written, nothing else ends it
			names, err = c.endSegment()
			if err != nil {
				return err
			}
		}
		names, err = segments(dir)
		return err
	})
	if err != nil || len(names) < 2 {
		return err
	}
	points, _, err := readCheckpoints(dir)
	if err != nil {
		return err
	}
	ends := segmentEnds(points, now)
	for i, name := range names[:len(names)-1] {
		end, anchored := ends[first(names[i+1])-1]
		if !anchored {
			continue
		}
		if err := l.expireIn(ctx, name, now, end, passed); err != nil {
			return fmt.Errorf("take away what is over in %s: %w", name, err)
		}
	}
	return nil
}

// segmentEnds are the times of the checkpoints by what they cover. One of a time that has not come
// yet was made by a clock that was ahead: what it covers was there before the next that is not, and
// must not stay until its time comes.
func segmentEnds(points []Checkpoint, now time.Time) map[uint64]time.Time {
	ends := map[uint64]time.Time{}
	var later time.Time
	for i := len(points) - 1; i >= 0; i-- {
		end := points[i].Time
		if !end.After(now) {
			later = end
		} else if !later.IsZero() {
			end = later
		}
		ends[points[i].Seq] = end
	}
	return ends
}

func (l *Log) expireIn(ctx context.Context, name string, now, end time.Time, passed map[string]bool) error {
	if err := l.index(name); err != nil {
		return err
	}
	l.rewriting.Lock()
	defer l.rewriting.Unlock()
	x, ok := readIndex(l.chain.Dir, name)
	if !ok {
		return nil // a damaged segment stays as it is
	}
	end = x.end(end)
	var over []string
	for class := range x.classes {
		keep := l.chain.keepOf(class)
		if keep > 0 && now.Sub(end) > keep && !passed[name+" "+string(class)] {
			over = append(over, string(class))
		}
	}
	if len(over) == 0 {
		return nil
	}
	slices.Sort(over)
	var needles [][]byte
	for _, class := range over {
		needles = append(needles, field(nil, "class", class, maxWord))
	}
	choose := func(l *line) ([]byte, bool, error) {
		return nil, l.by == "" && contains(l.event, needles) && !kept(l.event), nil
	}
	told := strings.Join(over, ", ")
	_, err := l.rewrite(ctx, []string{name}, choose, func(*rewrite) *Event {
		return &Event{Class: System, Decision: Noted, Code: codeExpired, Detail: "the time of these classes is over: " + told}
	})
	if err == nil {
		for _, class := range over {
			passed[name+" "+class] = true
		}
	}
	return err
}

func contains(event []byte, needles [][]byte) bool {
	for _, needle := range needles {
		if bytes.Contains(event, needle) {
			return true
		}
	}
	return false
}

// kept reports whether an event must stay, because it explains the log itself.
func kept(event []byte) bool {
	if !tells(event) {
		return false
	}
	e, err := ParseJSON(event)
	return err == nil && protected(&e)
}

// keepOf is how long a class is kept; 0: for ever.
func (o *Options) keepOf(class Class) time.Duration {
	if keep, ok := o.KeepClass[class]; ok {
		return keep
	}
	return o.Keep
}

// longest is how long something may be kept at most, and shortest at least; 0: for ever.
func (o *Options) longest() time.Duration {
	longest := o.Keep
	for _, keep := range o.KeepClass {
		longest = max(longest, keep)
	}
	if o.Keep == 0 {
		return 0
	}
	return longest
}

func (o *Options) shortest() time.Duration {
	shortest := o.Keep
	for _, keep := range o.KeepClass {
		if shortest == 0 || keep > 0 && keep < shortest {
			shortest = keep
		}
	}
	return shortest
}

// over reports whether everything in a segment that ended then is over, and may go.
func (c *chain) over(name string, end time.Time) bool {
	if c.patience.hold() != nil {
		return false
	}
	now := c.patience.seen.Last // of the last look, which was not a jump
	age := now.Sub(end)
	if len(c.KeepClass) == 0 {
		return c.Keep > 0 && age > c.Keep
	}
	if longest := c.longest(); longest > 0 && age > longest {
		return true
	}
	if c.shortest() == 0 {
		return false
	}
	x, ok := readIndex(c.Dir, name)
	if !ok {
		return false
	}
	age = now.Sub(x.end(end))
	for class := range x.classes {
		if keep := c.keepOf(class); keep == 0 || age <= keep {
			return false
		}
	}
	return true
}
