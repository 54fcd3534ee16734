package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"
)

// Evidence shows that one record is in the log: with the public key, and nothing else,
// [Evidence.Check] proves it.
type Evidence struct {
	Checkpoint Checkpoint `json:"checkpoint"`
	Record     string     `json:"record"` // the line of the log, as it stands there
	Proof      Proof      `json:"proof"`  // of its inclusion: RFC 9162, section 2.1.3
}

// ErrNoEvent says that the log has no such event.
var ErrNoEvent = errors.New("the log has no such event, or has it no longer")

// Prove returns the evidence for the event of an id, under a checkpoint of the log that
// covers it.
func Prove(ctx context.Context, dir, id string, point Checkpoint) (Evidence, error) {
	e := Evidence{Checkpoint: point}
	var seq uint64
	needle := field(nil, "id", id, maxWord)[1:]
	names, err := segments(dir)
	if err != nil {
		return e, err
	}
	for _, name := range names {
		err := eachLine(dir, name, func(l line) error {
			if bytes.HasPrefix(l.event, append([]byte("{"), needle...)) {
				seq, e.Record = l.seq, string(l.text)
			}
			return ctx.Err()
		})
		if err := keepGoing(err, new(error)); err != nil {
			return e, err
		}
	}
	switch {
	case seq == 0:
		return e, fmt.Errorf("event %.80q: %w", id, ErrNoEvent)
	case seq > point.Seq:
		return e, fmt.Errorf("event %.80q: no checkpoint covers it yet", id)
	}
	files := &hashes{dir: dir}
	defer files.close()
	if e.Proof, err = files.inclusion(seq-1, point.Seq); err != nil {
		return e, fmt.Errorf("prove event %.80q: %w", id, err)
	}
	return e, nil
}

// Check proves that the record was in the log when the checkpoint was signed, and returns
// it. Of a tombstone, it proves that a record stood there; its event, with the note "erased", is
// then only what the tombstone says.
func (e *Evidence) Check(public ed25519.PublicKey) (Found, error) {
	if !e.Checkpoint.Signed(public) {
		return Found{}, errors.New("the checkpoint was not signed with this key")
	}
	l, err := parseLine([]byte(e.Record))
	if err != nil {
		return Found{}, fmt.Errorf("the record: %w", err)
	}
	leaf := leafHash(newLinker(nil).appendFormOf(nil, &l))
	if l.seq == 0 || CheckInclusion(e.Proof, Hash(leaf), l.seq-1, e.Checkpoint.Seq, e.Checkpoint.Root) != nil {
		return Found{}, fmt.Errorf("record %d is not the one in the log of the checkpoint: it was changed, or the proof is of another", l.seq)
	}
	return found(&l)
}

// found is the event of a line.
func found(l *line) (f Found, err error) {
	f = Found{Seq: l.seq, JSON: bytes.Clone(l.event)}
	if l.event != nil {
		f.Event, err = ParseJSON(l.event)
	}
	return f, err
}

// Growth shows that a log only grew between two of its checkpoints: with the public key,
// and nothing else, [Growth.Check] proves it.
type Growth struct {
	Before Checkpoint `json:"before"`
	After  Checkpoint `json:"after"`
	Proof  Proof      `json:"proof"` // of consistency: RFC 9162, section 2.1.4
}

// Extend returns what shows that the log of a checkpoint is the one that an earlier
// checkpoint was made of. If it is not, that is a [Fault].
func Extend(dir string, before, after Checkpoint) (Growth, error) {
	g := Growth{Before: before, After: after}
	if before.Seq > after.Seq {
		return g, &Fault{"the log", 0, after.Seq + 1, fmt.Sprintf("the log ends before it, but the checkpoint covers record %d: the end was cut off, or the log is another", before.Seq)}
	}
	files := &hashes{dir: dir}
	defer files.close()
	proof, err := files.consistency(before.Seq, after.Seq)
	if err != nil {
		return g, fmt.Errorf("prove that the log grew: %w", err)
	}
	g.Proof = proof
	if CheckConsistency(proof, before.Seq, after.Seq, before.Root, after.Root) != nil {
		return g, &Fault{"the log", 0, 0, fmt.Sprintf("the first %d records are not those that the checkpoint was made of: the log was rewritten", before.Seq)}
	}
	return g, nil
}

// Check proves that the log of the later checkpoint begins with that of the earlier.
func (g *Growth) Check(public ed25519.PublicKey) error {
	if !g.Before.Signed(public) || !g.After.Signed(public) {
		return errors.New("a checkpoint was not signed with this key")
	}
	if CheckConsistency(g.Proof, g.Before.Seq, g.After.Seq, g.Before.Root, g.After.Root) != nil {
		return errors.New("the later log does not begin with the earlier: it was rewritten")
	}
	return nil
}

// Exported is the first line of an export. The lines behind it are the records First to
// Last as they stand in the log; those that were not asked for have their forms alone.
// Together with the hashes of what is before and behind they lead to the root that the
// checkpoint signs, so that whoever receives the export sees that nothing in it was changed,
// left out or put in.
type Exported struct {
	Version    int        `json:"pavise_export"` // 1
	Key        string     `json:"key"`           // of the checkpoint, as [VerifierKey] writes it
	Checkpoint Checkpoint `json:"checkpoint"`
	First      uint64     `json:"first"`
	Last       uint64     `json:"last"`
	Records    uint64     `json:"records"` // that are disclosed
	Before     Proof      `json:"before"`  // roots of the complete subtrees before First, the largest first
	Behind     Proof      `json:"behind"`  // of those behind Last, in order
	Format     string     `json:"format,omitempty"`
	Node       string     `json:"node,omitempty"`    // that the other format names
	Release    string     `json:"release,omitempty"` // of the program that the other format names
	At         time.Time  `json:"exported"`
}

const maxHeader = 64 << 10

// Export writes the records that a query selects, with what proves them, under a
// checkpoint that covers the log. Its limit is not looked at. What it fills in of the first
// line are First, Last, Records, Before and Behind.
func Export(ctx context.Context, w io.Writer, dir string, q Query, head Exported) (Exported, error) {
	head.Version = 1
	q.Limit = 0
	chosen := map[uint64]bool{}
	err := Each(ctx, dir, q, func(f Found) error {
		if f.Seq <= head.Checkpoint.Seq {
			head.First, head.Last = cmp.Or(head.First, f.Seq), f.Seq
			chosen[f.Seq] = true
		}
		return nil
	})
	if err != nil {
		return head, fmt.Errorf("export: %w", err)
	}
	if head.Records = uint64(len(chosen)); head.Records == 0 {
		return head, errors.New("export: nothing was found that could be exported")
	}
	if err := head.surround(dir); err != nil {
		return head, fmt.Errorf("export: %w", err)
	}
	first, err := json.Marshal(head)
	if err != nil {
		return head, fmt.Errorf("export: %w", err)
	}
	out := bufio.NewWriterSize(w, 1<<18)
	if _, err := out.Write(append(first, '\n')); err != nil {
		return head, fmt.Errorf("export: %w", err)
	}
	if err := head.write(ctx, out, dir, chosen); err != nil {
		return head, fmt.Errorf("export: %w", err)
	}
	if err := out.Flush(); err != nil {
		return head, fmt.Errorf("export: %w", err)
	}
	return head, nil
}

// surround takes the hashes of what is before and behind.
func (h *Exported) surround(dir string) error {
	files := &hashes{dir: dir}
	defer files.close()
	edge, err := files.frontier(h.First - 1)
	if err != nil {
		return err
	}
	for height := 63; height >= 0; height-- {
		if edge.size>>height&1 == 1 {
			h.Before = append(h.Before, Hash(edge.roots[height]))
		}
	}
	for at := (frontier{size: h.Last}); at.size < h.Checkpoint.Seq; {
		height := at.next(h.Checkpoint.Seq)
		root, err := files.subtree(height, at.size>>height)
		if err != nil {
			return err
		}
		h.Behind = append(h.Behind, Hash(root))
		at.size += 1 << height
	}
	return nil
}

func (h *Exported) write(ctx context.Context, out *bufio.Writer, dir string, chosen map[uint64]bool) error {
	names, err := segments(dir)
	if err != nil {
		return err
	}
	k, next := newLinker(nil), h.First
	var text []byte
	for i, name := range names {
		if first(name) > h.Last || i+1 < len(names) && first(names[i+1]) <= h.First {
			continue
		}
		err := eachLine(dir, name, func(l line) error {
			if l.seq < h.First || l.seq > h.Last {
				return ctx.Err()
			}
			if l.seq != next {
				return fmt.Errorf("record %d is missing", next)
			}
			next++
			text = append(text[:0], l.text...)
			if !chosen[l.seq] {
				text = k.appendFormOf(text[:0], &l)
			}
			_, err := out.Write(append(text, '\n'))
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if next != h.Last+1 {
		return fmt.Errorf("record %d is missing", next)
	}
	return nil
}

// ReadExport verifies an export, and calls f for each record that it discloses. Nothing that
// f was given counts before ReadExport has returned without an error: only the last record
// shows that all of them are right. It needs the key from elsewhere: the one in the export may be
// anybody's. A nil key takes that one, to show what it would prove.
func ReadExport(r io.Reader, public ed25519.PublicKey, f func(Found) error) (Exported, error) {
	var head Exported
	lines := bufio.NewReaderSize(r, maxHeader)
	text, err := lines.ReadSlice('\n')
	if err != nil {
		return head, errors.New("it is no export: its first line is missing or too long")
	}
	fields := json.NewDecoder(bytes.NewReader(text))
	fields.DisallowUnknownFields()
	if err := fields.Decode(&head); err != nil || head.Version != 1 {
		return head, errors.New("it is no export of this version")
	}
	if public == nil {
		if _, public, err = ParseVerifierKey(head.Key); err != nil {
			return head, err
		}
	}
	if !head.Checkpoint.Signed(public) {
		return head, errors.New("its checkpoint was not signed with this key")
	}
	edge, err := head.left()
	if err != nil {
		return head, err
	}
	if err := head.read(lines, &edge, f); err != nil {
		return head, err
	}
	return head, head.right(&edge)
}

// left is the edge before the first record.
func (h *Exported) left() (edge frontier, err error) {
	if h.First == 0 || h.First > h.Last || h.Last > h.Checkpoint.Seq {
		return edge, errors.New("its first line names no records of its checkpoint")
	}
	edge.size = h.First - 1
	rest := h.Before
	for height := 63; height >= 0; height-- {
		if edge.size>>height&1 == 0 {
			continue
		}
		if len(rest) == 0 {
			return edge, errors.New("its first line has too few hashes of what is before")
		}
		edge.roots[height], rest = hashValue(rest[0]), rest[1:]
	}
	if len(rest) > 0 {
		return edge, errors.New("its first line has too many hashes of what is before")
	}
	return edge, nil
}

func (h *Exported) read(lines *bufio.Reader, edge *frontier, f func(Found) error) error {
	k, disclosed := newLinker(nil), uint64(0)
	var form []byte
	for seq := h.First; seq <= h.Last; seq++ {
		text, err := lines.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("it ends before record %d", seq)
		}
		l, err := parseExported(text[:len(text)-1])
		if err != nil || l.seq != seq {
			return fmt.Errorf("what stands where record %d should is another or none", seq)
		}
		form = k.appendFormOf(form[:0], &l)
		edge.add(leafHash(form), func(int, hashValue) {})
		if l.withheld {
			continue
		}
		disclosed++
		one, err := found(&l)
		if err != nil {
			return fmt.Errorf("record %d: %w", seq, err)
		}
		if err := f(one); err != nil {
			return err
		}
	}
	if _, err := lines.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind its last record")
	}
	if disclosed != h.Records {
		return fmt.Errorf("it has %d records, but its first line names %d", disclosed, h.Records)
	}
	return nil
}

// right goes on to the root.
func (h *Exported) right(edge *frontier) error {
	for _, root := range h.Behind {
		if edge.size >= h.Checkpoint.Seq {
			return errors.New("its first line has too many hashes of what is behind")
		}
		edge.addTree(edge.next(h.Checkpoint.Seq), hashValue(root))
	}
	if edge.size != h.Checkpoint.Seq || Hash(edge.root()) != h.Checkpoint.Root {
		return errors.New("its records do not lead to the root that was signed: something was changed, left out or put in")
	}
	return nil
}

// parseExported reads a line of the log, or a form alone.
func parseExported(text []byte) (l line, err error) {
	at := len(text) - hashField - 1
	if at < 0 || text[len(text)-1] != '}' || !bytes.HasPrefix(text[at:], []byte(`,"hash":"`)) {
		return parseLine(text)
	}
	rest, ok := bytes.CutPrefix(text[:at], []byte(`{"seq":`))
	if ok {
		l.seq, rest, ok = cutNumber(rest, `,"ref":`)
	}
	if !ok || !decodeMark(l.hash[:], text[at+9:len(text)-2]) || text[len(text)-2] != '"' {
		return l, errNoLine
	}
	if l.ref, err = strconv.ParseUint(string(rest), 10, 64); err != nil {
		return l, errNoLine
	}
	l.withheld = true
	if !bytes.Equal(appendForm(nil, l.seq, l.ref, l.hash), text) {
		return l, errNoLine
	}
	return l, nil
}
