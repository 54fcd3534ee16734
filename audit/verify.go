package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Report is what [Verify] found.
type Report struct {
	Lines       uint64 // that were checked
	First, Last uint64 // numbers of the first and the last line
	Checkpoints int
	Torn        int    // bytes of an unfinished last line: a process died while it wrote
	Fault       *Fault // nil: the log is whole
}

// Fault is the first thing that is wrong with a log.
type Fault struct {
	File string
	Line int    // in the file, from 1; 0: the file as a whole
	Seq  uint64 // number that was expected
	Why  string
}

// Error names the place and what is wrong with it.
func (f *Fault) Error() string {
	return fmt.Sprintf("%s:%d: record %d: %s", f.File, f.Line, f.Seq, f.Why)
}

// Verify checks every line of the log in dir against the chain's key, and every
// checkpoint against the public key. The first bad record, after an edit, a
// deletion, an insertion or a reorder, is named in the report, and so is an end
// that is before a checkpoint. A rewriting by somebody who has the chain's key is
// found by the checkpoints, or, if he rewrote those too, by a checkpoint that was
// kept elsewhere: pass it in known. The error is for what could not be read.
func Verify(dir string, key []byte, public ed25519.PublicKey, known ...Checkpoint) (Report, error) {
	points, err := readCheckpoints(dir)
	if err != nil {
		return Report{}, err
	}
	v := verifier{dir: dir, chain: chain{mac: hmac.New(sha256.New, key)}, points: map[uint64]Checkpoint{}}
	v.report.Checkpoints = len(points)
	for _, point := range append(points, known...) {
		if len(point.Sig) != ed25519.SignatureSize || !ed25519.Verify(public, point.Text(), point.Sig) {
			v.report.Fault = &Fault{checkpointsTo, 0, point.Seq, "the signature of a checkpoint does not match"}
			return v.report, nil
		}
		if other, ok := v.points[point.Seq]; ok && !bytes.Equal(other.Mac, point.Mac) {
			v.report.Fault = &Fault{checkpointsTo, 0, point.Seq, "two checkpoints of one record differ: the log was rewritten"}
			return v.report, nil
		}
		v.points[point.Seq] = point
	}
	return v.report, v.run()
}

type verifier struct {
	dir    string
	chain  chain
	points map[uint64]Checkpoint
	last   head
	report Report
}

func (v *verifier) run() error {
	names, err := segments(v.dir)
	if err != nil {
		return err
	}
	for i, name := range names {
		if err := v.segment(name, i == 0, i == len(names)-1); err != nil || v.report.Fault != nil {
			return err
		}
	}
	for seq := range v.points {
		if seq > v.last.seq {
			v.report.Fault = &Fault{lastOf(names), 0, v.last.seq + 1, fmt.Sprintf("the log ends here, but a checkpoint covers record %d: the end was cut off", seq)}
			return nil
		}
	}
	v.report.Last = v.last.seq
	return nil
}

func lastOf(names []string) string {
	if len(names) == 0 {
		return "events"
	}
	return names[len(names)-1]
}

func (v *verifier) segment(name string, first, last bool) error {
	file, err := os.Open(filepath.Join(v.dir, name))
	if err != nil {
		return fmt.Errorf("read a segment: %w", err)
	}
	defer func() { _ = file.Close() }()
	if first {
		if err := v.anchor(name); err != nil {
			v.report.Fault = &Fault{name, 0, firstLine(name), err.Error()}
			return nil
		}
	}
	lines := bufio.NewReaderSize(file, maxLine+1)
	for number := 1; ; number++ {
		text, err := lines.ReadSlice('\n')
		if err != nil && len(text) == 0 {
			return nil
		}
		whole := err == nil
		if !whole && last {
			v.report.Torn = len(text)
			return nil
		}
		if why := v.line(bytes.TrimSuffix(text, []byte("\n"))); why != "" || !whole {
			v.report.Fault = &Fault{name, number, v.last.seq + 1, why}
			return nil
		}
	}
}

// anchor begins at the first line of all, or, where older segments were removed
// by retention, at a checkpoint.
func (v *verifier) anchor(name string) error {
	first := firstLine(name)
	v.report.First = first
	if first == 1 {
		return nil
	}
	point, ok := v.points[first-1]
	if !ok {
		return fmt.Errorf("earlier segments are missing, and no checkpoint covers record %d", first-1)
	}
	v.last = head{seq: first - 1}
	copy(v.last.mac[:], point.Mac)
	return nil
}

func (v *verifier) line(text []byte) (why string) {
	l, err := parseLine(text)
	if err != nil {
		return err.Error()
	}
	if l.Seq != v.last.seq+1 {
		return fmt.Sprintf("its number is %d: records were removed, inserted or put in another order", l.Seq)
	}
	if mac := v.chain.link(v.last.mac, l.body); !hmac.Equal(mac[:], l.mac[:]) {
		return "its mac does not match: it, or a record before it, was changed"
	}
	if point, ok := v.points[l.Seq]; ok && !bytes.Equal(point.Mac, l.mac[:]) {
		return "a signed checkpoint says otherwise: the log was rewritten"
	}
	v.last = head{seq: l.Seq, mac: l.mac}
	v.report.Lines++
	return ""
}

func readCheckpoints(dir string) ([]Checkpoint, error) {
	file, err := os.Open(filepath.Join(dir, checkpointsTo))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the checkpoints: %w", err)
	}
	defer func() { _ = file.Close() }()
	var points []Checkpoint
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var point Checkpoint
		if err := json.Unmarshal(lines.Bytes(), &point); err != nil {
			return nil, fmt.Errorf("read the checkpoints: line %d: %w", len(points)+1, err)
		}
		points = append(points, point)
	}
	return points, lines.Err()
}
