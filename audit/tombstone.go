package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What stands in events about tombstones. An erasure is an act of somebody, [Admin]; that
// a class is over is said by the log itself, [System]. Both name the segment as their
// target, and in their change how many of its records it is, with a digest of the tombstones,
// so that nobody can make another one or change what was left.
const (
	actionErase = "log.erase"
	codeExpired = "records_expired"
)

// noteErased stands in what is left of an erased event.
const noteErased = "erased"

// remains is what is not personal of an event: when it was, what was asked for in general,
// how it was decided. The id is random and names nobody.
func remains(e *Event) Event {
	left := Event{
		ID: e.ID, Time: e.Time, Class: e.Class, TLS: e.TLS, Proto: e.Proto, Method: e.Method, API: e.API, Endpoint: e.Endpoint,
		Shield: e.Shield, Proved: e.Proved, Exposed: e.Exposed, Warning: e.Warning, Action: e.Action, Step: e.Step,
		Decision: e.Decision, Code: e.Code, Status: e.Status, UpstreamStatus: e.UpstreamStatus, Duration: e.Duration,
		UpstreamDuration: e.UpstreamDuration, Took: e.Took, Count: e.Count, Note: noteErased,
	}
	if e.Class == Admin {
		left.Actor = e.Actor // who acted for the installation stays answerable
	}
	if e.Note != "" {
		left.Note = e.Note + " " + noteErased
	}
	return left
}

// protected reports whether an event is needed to explain the log itself.
func protected(e *Event) bool {
	switch e.Class {
	case Admin:
		return e.Action == actionErase
	case System:
		return e.Code == codeExpired || e.Code == codeRemoved || e.Code == codeBegun
	}
	return false
}

// taken is what an event says of tombstones in a segment.
type taken struct {
	by          string // the id of the event
	segment     string
	records     uint64
	first, last uint64
	digest      [sha256.Size]byte
}

// String is the change of the event; [parseTaken] reads it.
func (t *taken) String() string {
	return fmt.Sprintf("%d of records %d to %d, digest %s", t.records, t.first, t.last, base64.RawURLEncoding.EncodeToString(t.digest[:]))
}

// parseTaken reads what an event says of tombstones; ok is false if it says nothing.
func parseTaken(e *Event) (t taken, ok bool) {
	if e.Class != Admin || e.Action != actionErase || e.Decision != Accepted {
		if e.Class != System || e.Code != codeExpired {
			return t, false
		}
	}
	change, _, _ := strings.Cut(e.Change, ";")
	n, rest, _ := strings.Cut(change, " of records ")
	first, rest, _ := strings.Cut(rest, " to ")
	last, digest, _ := strings.Cut(rest, ", digest ")
	var faults [3]error
	t.records, faults[0] = strconv.ParseUint(n, 10, 64)
	t.first, faults[1] = strconv.ParseUint(first, 10, 64)
	t.last, faults[2] = strconv.ParseUint(last, 10, 64)
	t.by, t.segment = e.ID, e.Target
	_, named := segmentFirst(e.Target)
	return t, errors.Join(faults[:]...) == nil && named && isMark([]byte(e.ID)) && decodeMark(t.digest[:], []byte(digest))
}

// tombs looks whether each tombstone is covered by an event, and each such event by its
// tombstones.
type tombs struct {
	dir     string
	made    map[string]*made // by id of the event
	taken   []taken
	removed uint64 // the last line that retention says it removed
	erased  uint64
	expired uint64
	begun   time.Time // when it was begun where one had been; zero: it was not
}

// made are the tombstones of one event.
type made struct {
	digest  hash.Hash
	records uint64
	first   uint64
}

func newTombs(dir string) *tombs { return &tombs{dir: dir, made: map[string]*made{}} }

// line looks at a line whose mac and place are right.
func (t *tombs) line(l *line) (why string) {
	if l.by != "" {
		m := t.made[l.by]
		if m == nil {
			m = &made{digest: sha256.New(), first: l.seq}
			t.made[l.by] = m
		}
		m.records++
		m.digest.Write(l.text)
		m.digest.Write([]byte{'\n'})
		if l.event == nil {
			t.expired++
		} else {
			t.erased++
		}
		return ""
	}
	if !tells(l.event) {
		return ""
	}
	e, err := ParseJSON(l.event)
	if err != nil {
		return "" // not an event of ours; its bytes are what was recorded
	}
	if e.Class == System && e.Code == codeRemoved {
		if kept, ok := segmentFirst(e.Target); ok {
			t.removed = max(t.removed, kept-1)
		}
	}
	if e.Class == System && e.Code == codeBegun {
		t.begun = e.Time
	}
	if what, ok := parseTaken(&e); ok {
		t.taken = append(t.taken, what)
	}
	return ""
}

// tells reports whether an event may be one about the log itself.
func tells(event []byte) bool {
	return bytes.Contains(event, []byte(`"code":"`+codeRemoved+`"`)) || bytes.Contains(event, []byte(`"code":"`+codeExpired+`"`)) ||
		bytes.Contains(event, []byte(`"code":"`+codeBegun+`"`)) ||
		bytes.Contains(event, []byte(`"action":"`+actionErase+`"`))
}

// end compares both sides. The log begins at the line first.
func (t *tombs) end(begin uint64) error {
	for _, what := range t.taken {
		if first(what.segment) < begin {
			continue // retention removed it since
		}
		m := t.made[what.by]
		delete(t.made, what.by)
		switch {
		case m == nil && t.pending(&what):
		case m == nil:
			return &Fault{what.segment, 0, what.first, fmt.Sprintf("event %s says that something was erased here, and it is still, or again, there: an older copy was put back", what.by)}
		case m.records != what.records || [sha256.Size]byte(m.digest.Sum(nil)) != what.digest:
			return &Fault{what.segment, 0, m.first, fmt.Sprintf("what event %s erased is not what it says: records were made to tombstones, or what was left of them was changed", what.by)}
		}
	}
	var orphan *made
	for _, m := range t.made {
		if orphan == nil || m.first < orphan.first {
			orphan = m
		}
	}
	if orphan != nil {
		return &Fault{segmentOf(t.dir, orphan.first), 0, orphan.first, "something was taken away from it, and no event says by whom and why"}
	}
	return nil
}

// pending reports whether a process died between the event and what it says: the next start
// does it.
func (t *tombs) pending(what *taken) bool {
	_, err := os.Stat(draftName(filepath.Join(t.dir, what.segment), what.by))
	return !errors.Is(err, fs.ErrNotExist)
}

// draftName is where the new form of a segment is written.
func draftName(segment, by string) string { return segment + "." + by }

// segmentOf is the name of the segment that has a line, as far as there is one.
func segmentOf(dir string, seq uint64) string {
	names, _ := segments(dir) // without them the number must do
	name := "the log"
	for _, n := range names {
		if first(n) <= seq {
			name = n
		}
	}
	return name
}
