package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Report is what [Verify] found.
type Report struct {
	Lines       uint64 // that were checked
	First, Last uint64 // numbers of the first and the last line
	Erased      uint64 // lines of which an erasure took what was personal
	Expired     uint64 // lines of which retention left nothing but their hashes
	Root        Hash   // of the tree of all lines up to Last
	Checkpoints int
	Covered     uint64    // the last line that a signed checkpoint covers; what follows rests on the chain's key alone
	Head        uint64    // how far the ring says the chain went; 0: there is no ring beside it
	Begun       time.Time // when it was begun where a log had been, so that what was recorded before is missing; zero: it was not
	Torn        int       // bytes of an unfinished last line: a process died while it wrote, or is writing
	Fault       *Fault    // nil: the log is whole
}

// Fault is the first thing that is wrong with a log.
type Fault struct {
	File string
	Line int    // in the file, from 1; 0: the file as a whole
	Seq  uint64 // number that was expected; 0: unknown
	Why  string
}

// Error names the place and what is wrong with it.
func (f *Fault) Error() string {
	return fmt.Sprintf("%s:%d: record %d: %s", f.File, f.Line, f.Seq, f.Why)
}

// Verify checks every line of the log in dir against the chain's key, and every
// checkpoint against the public key. The first bad record, after an edit, a
// deletion, an insertion or a reorder, is named in the report, and so is an end
// that is before a checkpoint, or before what the ring beside it knows of; a tree of hashes
// that is not that of the lines; and a line of which something was taken away that no event
// says.
//
// A rewriting by somebody who has the chain's key is found by the checkpoints, or,
// if he removed those too, by one that was kept elsewhere: pass it in known. Whoever
// has all keys, and everything that was kept, can write any log.
//
// It may run while the log is written. The error is for what could not be read.
func Verify(dir string, key []byte, public ed25519.PublicKey, known ...Checkpoint) (Report, error) {
	for try := 0; ; try++ {
		v := &verifier{dir: dir, mac: newLinker(key), points: map[uint64]Checkpoint{}, tombs: newTombs(dir)}
		v.leaves = &leaves{files: hashes{dir: dir}, points: v.points}
		err := v.run(key, public, known)
		v.leaves.files.close()
		if fault := (*Fault)(nil); errors.As(err, &fault) {
			v.report.Fault, err = fault, nil
		}
		if try < 3 && errors.Is(err, errGone) {
			continue // retention removed it meanwhile
		}
		if try < 2 && v.report.Fault != nil && v.unsettled {
			continue
		}
		return v.report, err
	}
}

var errGone = errors.New("a segment was removed while it was read")

type verifier struct {
	dir    string
	mac    *linker
	points map[uint64]Checkpoint
	leaves *leaves
	tombs  *tombs
	last   head
	form   []byte // reused
	report Report

	// A segment may be written anew while it is read. What then looks like a fault is
	// looked at again.
	unsettled bool
}

// run reads what says how far the log goes before the log itself, which may grow
// meanwhile.
func (v *verifier) run(key []byte, public ed25519.PublicKey, known []Checkpoint) error {
	ring, err := v.readHead(key)
	if err != nil {
		return err
	}
	if err := v.readPoints(public, known); err != nil {
		return err
	}
	names, err := segments(v.dir)
	if err != nil {
		return err
	}
	if len(names) == 0 && len(v.points) == 0 && ring.seq == 0 {
		return fmt.Errorf("there is no event log in %s", v.dir)
	}
	for i, name := range names {
		if err := v.segment(name, i == 0, i == len(names)-1); err != nil {
			return err
		}
	}
	v.report.Last = v.last.seq
	if err := v.reaches(names, ring); err != nil {
		return err
	}
	v.report.Root = Hash(v.leaves.edge.root())
	if err := v.leaves.end(v.report.Covered); err != nil {
		return err
	}
	v.report.Erased, v.report.Expired, v.report.Begun = v.tombs.erased, v.tombs.expired, v.tombs.begun
	v.unsettled = true
	return v.tombs.end(v.report.First)
}

// readHead reads what the ring says, from the file: a running log has it mapped.
func (v *verifier) readHead(key []byte) (h head, err error) {
	file, err := os.Open(ringFile(v.dir))
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, fmt.Errorf("read the ring: %w", err)
	}
	defer func() { _ = file.Close() }()
	memory := make([]byte, ringHeader)
	// The writer may be in the middle of both copies in turn, so look again.
	for range 3 {
		if _, err := io.ReadFull(io.NewSectionReader(file, 0, ringHeader), memory); err != nil {
			return h, &Fault{ringName, 0, 0, "it is too short to be a ring"}
		}
		if h, ok := readHead(memory, key); ok {
			v.report.Head = h.seq
			return h, nil
		}
	}
	return h, &Fault{ringName, 0, 0, "what it says of the log does not match the chain's key: it was changed, or the key is another"}
}

func (v *verifier) readPoints(public ed25519.PublicKey, known []Checkpoint) error {
	points, _, err := readCheckpoints(v.dir)
	if err != nil {
		return err
	}
	v.report.Checkpoints = len(points)
	for i, point := range append(points, known...) {
		file, number := checkpointsName, i+1
		if i >= len(points) {
			file, number = "a checkpoint kept elsewhere", 0
		}
		if !point.Signed(public) {
			return &Fault{file, number, point.Seq, "the signature of the checkpoint does not match"}
		}
		if other, ok := v.points[point.Seq]; ok && (other.Mac != point.Mac || other.Root != point.Root) {
			return &Fault{file, number, point.Seq, "two checkpoints of one record differ: the log was rewritten"}
		}
		v.points[point.Seq] = point
		v.report.Covered = max(v.report.Covered, point.Seq)
	}
	return nil
}

// reaches checks the end, and that a missing beginning was removed by retention.
func (v *verifier) reaches(names []string, ring head) error {
	end := "the folder"
	if len(names) > 0 {
		end = names[len(names)-1]
	}
	switch next := v.last.seq + 1; {
	case v.report.Covered > v.last.seq:
		return &Fault{end, 0, next, fmt.Sprintf("the log ends before it, but a checkpoint covers record %d: the end was cut off", v.report.Covered)}
	case ring.seq > v.last.seq && ring.boot == bootID():
		return &Fault{end, 0, next, fmt.Sprintf("the log ends before it, but the ring knows of record %d: the end was cut off", ring.seq)}
	case ring.seq > v.last.seq:
		return &Fault{end, 0, next, fmt.Sprintf("the log ends before it, but the ring knows of record %d: the end was cut off, or lost when the machine stopped", ring.seq)}
	case ring.seq == v.last.seq && ring.seq > 0 && ring.mac != v.last.mac:
		return &Fault{end, 0, ring.seq, "the ring knows another last record: the log was rewritten"}
	case v.last.seq > 0 && len(v.points) == 0:
		return &Fault{checkpointsName, 0, 0, "every log has a checkpoint, this has none: they were removed"}
	case v.report.First > 1 && v.tombs.removed+1 < v.report.First:
		return &Fault{names[0], 0, v.tombs.removed + 1, "the log begins behind it, and no event says that retention removed what was before"}
	}
	return nil
}

func (v *verifier) segment(name string, isFirst, isLast bool) error {
	file, err := os.Open(filepath.Join(v.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	if err != nil {
		return fmt.Errorf("read a segment: %w", err)
	}
	defer func() { _ = file.Close() }()
	if isFirst {
		if err := v.anchor(name); err != nil {
			return err
		}
	}
	lines, index := newLineReader(name, file), newIndexer()
	for {
		offset := lines.offset
		l, err := lines.next()
		if errors.Is(err, io.EOF) {
			if err := v.end(lines, isLast); err != nil || isLast {
				return err
			}
			v.unsettled = true
			if err := checkIndex(v.dir, name, index); err != nil {
				return err
			}
			v.unsettled = false
			return nil
		}
		if fault := (*Fault)(nil); errors.As(err, &fault) {
			fault.Seq = v.last.seq + 1
		}
		if err != nil {
			return err
		}
		if why := v.line(l); why != "" {
			return &Fault{name, lines.number, v.last.seq + 1, why}
		}
		index.add(offset, &l)
	}
}

// anchor begins at the first line of all, or, where older segments were removed
// by retention, at a checkpoint.
func (v *verifier) anchor(name string) error {
	v.report.First = first(name)
	if v.report.First == 1 {
		return nil
	}
	point, ok := v.points[v.report.First-1]
	if !ok {
		return &Fault{name, 0, v.report.First, fmt.Sprintf("earlier segments are missing, and no checkpoint covers record %d", v.report.First-1)}
	}
	v.last = head{seq: point.Seq, mac: point.Mac}
	return v.leaves.before(point.Seq)
}

func (v *verifier) line(l line) (why string) {
	if l.seq != v.last.seq+1 {
		return fmt.Sprintf("number %d stands here: records were removed, inserted or put in another order", l.seq)
	}
	v.form = v.mac.appendFormOf(v.form[:0], &l)
	if mac := v.mac.link(v.last.mac, v.form); !equalMacs(mac[:], l.mac[:]) {
		return "its mac does not match: it was changed, or the key is another"
	}
	if point, ok := v.points[l.seq]; ok && point.Mac != Hash(l.mac) {
		return "a signed checkpoint says otherwise: the log was rewritten"
	}
	if why := v.leaves.line(l.seq, leafHash(v.form)); why != "" {
		return why
	}
	v.last = head{seq: l.seq, mac: l.mac}
	v.report.Lines++
	return v.tombs.line(&l)
}

// end looks at what stands behind the last line break. The death of a process
// tears only the last segment, and only in the middle of the next line.
func (v *verifier) end(lines *lineReader, isLast bool) error {
	if len(lines.torn) == 0 {
		return nil
	}
	next := append(strconv.AppendUint([]byte(`{"seq":`), v.last.seq+1, 10), ',')
	common := min(len(next), len(lines.torn))
	if !isLast || len(lines.torn) > maxLine || !bytes.Equal(next[:common], lines.torn[:common]) {
		return &Fault{lines.name, lines.number + 1, v.last.seq + 1, "it is not finished, and no dying process leaves it so: it was cut or changed"}
	}
	v.report.Torn = len(lines.torn)
	return nil
}
