package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A segment is a file of lines. Each line is
//
//	{"seq":17,"ref":21,"event":{…},"mac":"…"}
//
// where mac is the HMAC-SHA-256, under the chain's key, of the line before's mac
// and of this line up to `,"mac"`. A segment's name holds the number of its first
// line, so that the segments of a log have one order.

const (
	macSize        = sha256.Size
	defaultSegment = 64 << 20
	checkpointsTo  = "checkpoints.jsonl"
	checkpointAge  = 10 * time.Second
	checkpointEach = 1000 // lines
)

type chain struct {
	dir, node   string
	mac         hash.Hash
	sign        ed25519.PrivateKey
	now         func() time.Time
	ring        *ring
	segmentSize int64
	keep        time.Duration
	maxSize     int64

	file    *os.File
	size    int64
	last    head // of the last line that was written
	pending []byte
	ahead   head // of the last line that is pending
	text    []byte
	torn    int // bytes of a torn line that were cut off

	checked   uint64 // the last line that a checkpoint covers
	checkedAt time.Time
}

// openChain finds the end of the log and checks that it is not before the place
// that the ring remembers: then lines were cut off.
func openChain(o Options, r *ring) (*chain, error) {
	c := &chain{
		dir: o.Dir, node: o.Node, mac: hmac.New(sha256.New, o.Key), sign: o.Sign, now: o.Now, ring: r,
		segmentSize: o.SegmentSize, keep: o.Keep, maxSize: o.MaxSize, checkedAt: o.Now(),
	}
	if c.segmentSize == 0 {
		c.segmentSize = defaultSegment
	}
	names, err := segments(o.Dir)
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		if err := c.resume(filepath.Join(o.Dir, names[len(names)-1])); err != nil {
			return nil, err
		}
	}
	if kept := r.readHead(); kept.seq > c.last.seq && c.headTag(kept) == kept.tag {
		return nil, fmt.Errorf("event log %s: it ends at line %d, but %d were written: lines were cut off. Keep the folder as evidence, and start with an empty one", o.Dir, c.last.seq, kept.seq)
	}
	c.ahead, c.checked = c.last, c.last.seq
	return c, nil
}

// resume reads the last segment to its last whole line, and cuts off a torn one.
func (c *chain) resume(name string) error {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return errors.Join(fmt.Errorf("event log: %w", err), file.Close())
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	c.torn = len(text) - whole
	if c.torn > 0 {
		if err := file.Truncate(int64(whole)); err != nil {
			return errors.Join(fmt.Errorf("cut off a torn line: %w", err), file.Close())
		}
	}
	c.file, c.size = file, int64(whole)
	if whole == 0 {
		c.last = head{seq: firstLine(name) - 1}
		return c.resumeMac(name)
	}
	lines := bytes.Split(bytes.TrimSuffix(text[:whole], []byte("\n")), []byte("\n"))
	last, err := parseLine(lines[len(lines)-1])
	if err != nil {
		return errors.Join(fmt.Errorf("%s: the last line: %w", filepath.Base(name), err), file.Close())
	}
	c.last = head{seq: last.Seq, mac: last.mac}
	if _, err := file.Seek(int64(whole), io.SeekStart); err != nil {
		return errors.Join(fmt.Errorf("event log: %w", err), file.Close())
	}
	return nil
}

// resumeMac finds the mac before a segment that has no line yet.
func (c *chain) resumeMac(name string) error {
	names, err := segments(c.dir)
	if err != nil || len(names) < 2 {
		return err
	}
	previous := names[slices.Index(names, filepath.Base(name))-1]
	text, err := os.ReadFile(filepath.Join(c.dir, previous))
	if err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	last, err := parseLine(lines[len(lines)-1])
	if err != nil {
		return fmt.Errorf("%s: the last line: %w", previous, err)
	}
	c.last.mac = last.mac
	return nil
}

// add puts an event behind the pending lines.
func (c *chain) add(event []byte, ref uint64) {
	from := len(c.pending)
	c.ahead.seq++
	c.pending = append(c.pending, `{"seq":`...)
	c.pending = strconv.AppendUint(c.pending, c.ahead.seq, 10)
	c.pending = append(c.pending, `,"ref":`...)
	c.pending = strconv.AppendUint(c.pending, ref, 10)
	c.pending = append(c.pending, `,"event":`...)
	c.pending = append(c.pending, event...)
	c.ahead.mac = c.link(c.ahead.mac, c.pending[from:])
	c.pending = append(c.pending, `,"mac":"`...)
	c.pending = base64.RawURLEncoding.AppendEncode(c.pending, c.ahead.mac[:])
	c.pending = append(c.pending, '"', '}', '\n')
}

// link is the mac of a line behind another.
func (c *chain) link(before [macSize]byte, line []byte) (mac [macSize]byte) {
	c.mac.Reset()
	c.mac.Write(before[:])
	c.mac.Write(line)
	c.mac.Sum(mac[:0])
	return mac
}

// headTag authenticates what the ring remembers of the chain.
func (c *chain) headTag(h head) (tag [macSize]byte) {
	c.mac.Reset()
	_, _ = fmt.Fprintf(c.mac, "head %d ", h.seq) // a hash takes everything
	c.mac.Write(h.mac[:])
	c.mac.Sum(tag[:0])
	return tag
}

// write appends the pending lines to the segment in one step. If only a part of
// them could be written the file is cut back, so that nothing is there twice.
func (c *chain) write() error {
	if len(c.pending) == 0 {
		return nil
	}
	if c.file == nil || c.size >= c.segmentSize {
		if err := c.rotate(); err != nil {
			return err
		}
	}
	if _, err := c.file.WriteAt(c.pending, c.size); err != nil {
		return errors.Join(err, c.file.Truncate(c.size))
	}
	c.size += int64(len(c.pending))
	c.pending = c.pending[:0]
	c.last = c.ahead
	c.last.tag = c.headTag(c.last)
	c.ring.writeHead(c.last)
	return nil
}

// rotate closes the segment with a checkpoint and begins the next.
func (c *chain) rotate() error {
	if c.file != nil {
		if err := c.checkpoint(); err != nil {
			return err
		}
	}
	name := filepath.Join(c.dir, fmt.Sprintf("events-%020d.jsonl", c.last.seq+1))
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		file, err = os.OpenFile(name, os.O_RDWR, 0)
	}
	if err != nil {
		return fmt.Errorf("begin a segment: %w", err)
	}
	if c.file != nil {
		if err := c.file.Close(); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	c.file, c.size = file, 0
	return nil
}

// upkeep writes a checkpoint when one is due, and removes segments that are no
// longer kept.
func (c *chain) upkeep() error {
	if err := c.write(); err != nil {
		return err
	}
	due := c.last.seq-c.checked >= checkpointEach || c.now().Sub(c.checkedAt) >= checkpointAge
	if c.last.seq > c.checked && due {
		if err := c.checkpoint(); err != nil {
			return err
		}
	}
	return c.retain()
}

// Checkpoint is a signed statement of how far the chain had come.
type Checkpoint struct {
	Node string    `json:"node"`
	Seq  uint64    `json:"seq"`
	Mac  []byte    `json:"mac"`
	Time time.Time `json:"time"`
	Sig  []byte    `json:"sig"` // Ed25519 over [Checkpoint.Text]
}

// Text is what is signed: five lines.
func (c *Checkpoint) Text() []byte {
	return fmt.Appendf(nil, "pavise-checkpoint-v1\n%s\n%d\n%s\n%s\n", c.Node, c.Seq,
		base64.RawURLEncoding.EncodeToString(c.Mac), c.Time.UTC().Format(time.RFC3339))
}

// checkpoint makes the segment durable and signs how far it goes.
func (c *chain) checkpoint() error {
	if c.file == nil || c.last.seq == c.checked {
		return nil
	}
	if err := c.file.Sync(); err != nil {
		return fmt.Errorf("make the event log durable: %w", err)
	}
	point := Checkpoint{Node: c.node, Seq: c.last.seq, Mac: slices.Clone(c.last.mac[:]), Time: c.now().UTC().Truncate(time.Second)}
	point.Sig = ed25519.Sign(c.sign, point.Text())
	line, err := json.Marshal(point)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(c.dir, checkpointsTo), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	_, err = file.Write(append(line, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	c.checked, c.checkedAt = c.last.seq, c.now()
	return nil
}

// retain removes the oldest segments beyond age and size, and says so.
func (c *chain) retain() error {
	if c.keep == 0 && c.maxSize == 0 {
		return nil
	}
	names, err := segments(c.dir)
	if err != nil {
		return err
	}
	var total int64
	for i := len(names) - 1; i >= 0; i-- {
		info, err := os.Stat(filepath.Join(c.dir, names[i]))
		if err != nil {
			return fmt.Errorf("look at a segment: %w", err)
		}
		total += info.Size()
		old := c.keep > 0 && c.now().Sub(info.ModTime()) > c.keep
		if i == len(names)-1 || !(old || c.maxSize > 0 && total > c.maxSize) {
			continue
		}
		if err := os.Remove(filepath.Join(c.dir, names[i])); err != nil {
			return fmt.Errorf("remove an old segment: %w", err)
		}
		c.add(AppendJSON(nil, &Event{
			ID: "retention", Time: c.now(), Class: System, Decision: Noted, Code: "segment_removed", Target: names[i],
		}), c.ring.reference().Add(1))
	}
	return nil
}

// lastReferences returns the references of the last n lines.
func (c *chain) lastReferences(n int) (map[uint64]bool, error) {
	refs := map[uint64]bool{}
	names, err := segments(c.dir)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Backward(names) {
		err := eachLine(filepath.Join(c.dir, name), func(l line) error {
			if l.Seq+uint64(2*n) > c.last.seq {
				refs[l.Ref] = true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if firstLine(name)+uint64(2*n) < c.last.seq {
			break
		}
	}
	return refs, nil
}

func (c *chain) close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

// segments returns the names of the segments, oldest first.
func segments(dir string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "events-*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("list the segments: %w", err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	slices.Sort(found)
	return found, nil
}

// firstLine is the number in a segment's name.
func firstLine(name string) uint64 {
	digits := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "events-"), ".jsonl")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 1
	}
	return n
}

// line is one line of a segment.
type line struct {
	Seq   uint64
	Ref   uint64
	Event []byte
	body  []byte // what the mac covers
	mac   [macSize]byte
}

// maxLine bounds what is read as one line, in bytes.
const maxLine = maxEvent + maxTail + 512

// parseLine reads a line strictly.
func parseLine(text []byte) (line, error) {
	var l line
	at := bytes.LastIndex(text, []byte(`,"mac":"`))
	if at < 0 || !bytes.HasSuffix(text, []byte(`"}`)) || len(text) > maxLine {
		return l, fmt.Errorf("no line of an event log")
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(string(text[at+8 : len(text)-2]))
	if err != nil || len(mac) != macSize {
		return l, fmt.Errorf("its mac is no mac")
	}
	l.mac, l.body = [macSize]byte(mac), text[:at]
	rest, ok := bytes.CutPrefix(l.body, []byte(`{"seq":`))
	if !ok {
		return l, fmt.Errorf("it has no number")
	}
	seq, rest, ok := bytes.Cut(rest, []byte(`,"ref":`))
	if !ok {
		return l, fmt.Errorf("it has no reference")
	}
	ref, event, ok := bytes.Cut(rest, []byte(`,"event":`))
	if !ok {
		return l, fmt.Errorf("it has no event")
	}
	if l.Seq, err = strconv.ParseUint(string(seq), 10, 64); err != nil {
		return l, fmt.Errorf("its number: %w", err)
	}
	if l.Ref, err = strconv.ParseUint(string(ref), 10, 64); err != nil {
		return l, fmt.Errorf("its reference: %w", err)
	}
	l.Event = event
	return l, nil
}

// eachLine calls f for every whole line of a segment; a torn last line is left out.
func eachLine(name string, f func(line) error) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read a segment: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewReaderSize(file, 64<<10)
	for number := 1; ; number++ {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s:%d: read a line: %w", filepath.Base(name), number, err)
		}
		l, err := parseLine(bytes.TrimSuffix(text, []byte("\n")))
		if err != nil {
			return fmt.Errorf("%s:%d: %w", filepath.Base(name), number, err)
		}
		if err := f(l); err != nil {
			return err
		}
	}
}
