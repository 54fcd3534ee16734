package audit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// openChain finds the end of the log, cuts off a torn last line, maps the ring, and
// checks that the log goes as far as its last checkpoint and the ring's head say.
// What it found is told in events, which are pending.
func openChain(o Options) (*chain, error) {
	c := &chain{Options: o, mac: newLinker(o.Key), boot: bootID(), started: o.Now(), checkedAt: o.Now()}
	end, err := findEnd(o.Dir)
	if err != nil {
		return nil, err
	}
	c.last, c.ahead = end.last, end.last
	points, size, err := readCheckpoints(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("event log %s: %w; run `pavise log verify`", o.Dir, err)
	}
	if err := c.reaches(points); err != nil {
		return nil, err
	}
	if err := c.openClock(points); err != nil {
		return nil, err
	}
	var found []*Event
	if found, err = c.openRing(end); err != nil {
		return nil, err
	}
	if e := c.begun(end); e != nil {
		found = append(found, e)
	}
	rebuilt, err := c.openTree(points)
	if err != nil {
		return nil, err
	}
	if rebuilt {
		found = append(found, &Event{Code: "tree_rebuilt", Detail: "the tree of hashes was not whole, and was made anew from the records; it is the one that the checkpoints say"})
	}
	if err := c.repair(end, size); err != nil {
		return nil, err
	}
	if end.torn > 0 {
		found = append(found, &Event{
			Code: "log_repaired", Target: end.name,
			Detail: fmt.Sprintf("the last line was torn after %d bytes and was cut off; its event follows", end.torn),
		})
	}
	for _, e := range found {
		c.tell(e)
	}
	c.look()
	return c, nil
}

// end is where a log ends.
type end struct {
	name  string // of the last segment; "": none
	size  int64  // of its whole lines
	torn  int    // bytes behind them
	last  head
	empty bool // no line at all was ever written here
}

// findEnd reads the last line of the log.
func findEnd(dir string) (e end, err error) {
	names, err := segments(dir)
	if err != nil {
		return e, err
	}
	if len(names) == 0 {
		return end{empty: true}, nil
	}
	e.name = names[len(names)-1]
	l, size, torn, err := lastLine(dir, e.name)
	if err != nil {
		return e, err
	}
	e.size, e.torn = size, torn
	if size > 0 {
		e.last = head{seq: l.seq, mac: l.mac}
		return e, nil
	}
	// The last segment was begun, and nothing was written into it.
	if len(names) == 1 {
		if first(e.name) != 1 {
			return e, fmt.Errorf("event log %s: only %s is left, and it is empty: segments are missing. Keep the folder as evidence, and start with an empty one", dir, e.name)
		}
		return e, nil
	}
	l, size, torn, err = lastLine(dir, names[len(names)-2])
	if err == nil && (size == 0 || torn > 0) {
		err = fmt.Errorf("event log: the end of %s is missing; run `pavise log verify`", names[len(names)-2])
	}
	e.last = head{seq: l.seq, mac: l.mac}
	return e, err
}

// lastLine reads the last whole line of a segment; size is where it ends.
func lastLine(dir, name string) (l line, size int64, torn int, err error) {
	file, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return l, 0, 0, fmt.Errorf("event log: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return l, 0, 0, fmt.Errorf("event log: %w", err)
	}
	from := max(0, info.Size()-2*(maxLine+1)) // a torn line, and a whole one before it
	text, err := io.ReadAll(io.NewSectionReader(file, from, info.Size()-from))
	if err != nil {
		return l, 0, 0, fmt.Errorf("event log: %w", err)
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	torn = len(text) - whole
	if torn > maxLine || whole == 0 && from > 0 {
		return l, 0, 0, fmt.Errorf("event log: the end of %s is no line; run `pavise log verify`, keep the folder as evidence, and start with an empty one", name)
	}
	if whole == 0 {
		return l, 0, torn, nil
	}
	text = text[:whole-1]
	l, err = parseLine(text[bytes.LastIndexByte(text, '\n')+1:])
	if err != nil {
		return l, 0, 0, fmt.Errorf("event log: the last line of %s: %w; run `pavise log verify`", name, err)
	}
	return l, from + int64(whole), torn, nil
}

// reaches checks the end against the newest checkpoint: what it covers was durable.
func (c *chain) reaches(points []Checkpoint) error {
	if len(points) == 0 {
		return nil
	}
	newest := slices.MaxFunc(points, func(a, b Checkpoint) int { return cmp.Compare(a.Seq, b.Seq) })
	switch {
	case newest.Seq > c.last.seq:
		return c.cutOff(newest.Seq, "a checkpoint covers")
	case newest.Seq == c.last.seq && !equalMacs(newest.Mac[:], c.last.mac[:]):
		return fmt.Errorf("event log %s: its last line is not the one that a checkpoint covers: it was changed. Keep the folder as evidence, and start with an empty one", c.Dir)
	}
	c.checked = newest.Seq
	return nil
}

func (c *chain) cutOff(seq uint64, who string) error {
	return fmt.Errorf("event log %s: it ends at record %d, but %s record %d: the end was cut off. Keep the folder as evidence, and start with an empty one", c.Dir, c.last.seq, who, seq)
}

// openRing maps the ring and compares its head with the end of the log. A log
// without a ring gets a new one, and an event.
func (c *chain) openRing(e end) (found []*Event, err error) {
	if _, err := os.Stat(ringFile(c.Dir)); errors.Is(err, os.ErrNotExist) {
		h := c.last
		h.boot = c.boot
		if err := createRing(c.Dir, uint32(c.Slots), h, c.Key, 0); err != nil {
			return nil, err
		}
		if !e.empty {
			found = append(found, &Event{Code: "ring_missing", Detail: "the ring was gone, and with it whatever was under way, and the note of how far the log went"})
		}
	}
	if c.ring, err = openRing(c.Dir); err != nil {
		return nil, err
	}
	kept, ok := readHead(c.ring.memory, c.Key)
	switch {
	case !ok:
		return nil, fmt.Errorf("event log %s: the ring says nothing that the chain's key confirms: it was changed, or the key is another. Give the right key; or keep the folder as evidence, and start with an empty one", c.Dir)
	case kept.seq == c.last.seq && kept.mac != c.last.mac:
		return nil, fmt.Errorf("event log %s: its last line is not the one that was written: it was changed. Keep the folder as evidence, and start with an empty one", c.Dir)
	case kept.seq <= c.last.seq:
		return found, nil
	case kept.boot == c.boot:
		return nil, c.cutOff(kept.seq, "the ring knows of")
	}
	// The machine was started anew since. What was not durable may be lost.
	return append(found, &Event{
		Code: codeTailLost, Change: tailLost(c.last.seq+1, kept.seq),
		Detail: "they were written, but not yet durable, when the machine stopped; the last checkpoint is whole",
	}), nil
}

// codeTailLost is the code of the event for records that were lost when the machine stopped.
const codeTailLost = "log_tail_lost"

func tailLost(from, to uint64) string { return fmt.Sprintf("records %d to %d", from, to) }

// parseTailLost reads which records an event says were lost.
func parseTailLost(e *Event) (from, to uint64, ok bool) {
	_, err := fmt.Sscanf(e.Change, "records %d to %d", &from, &to)
	return from, to, err == nil && from > 0 && tailLost(from, to) == e.Change
}

// openTree goes on with the tree of hashes from the newest checkpoint, and adds the lines
// behind it. Files that are not whole are made anew where every line is still there.
func (c *chain) openTree(points []Checkpoint) (rebuilt bool, err error) {
	files := &hashes{dir: c.Dir}
	defer files.close()
	newest := newestOf(points)
	from, err := files.frontier(newest.Seq)
	if err == nil && newest.Seq > 0 && from.root() != hashValue(newest.Root) {
		err = fmt.Errorf("%w: its root at record %d is not the one that a checkpoint names", errNoHashes, newest.Seq)
	}
	if errors.Is(err, errNoHashes) {
		if fault := c.growTree(frontier{}, newest); fault != nil {
			return false, fmt.Errorf("event log %s: %w, and it cannot be made anew: %w", c.Dir, err, fault)
		}
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("event log %s: %w", c.Dir, err)
	}
	return false, c.growTree(from, newest)
}

// newestOf is the checkpoint that covers most; the zero one if there is none.
func newestOf(points []Checkpoint) (newest Checkpoint) {
	for _, point := range points {
		if point.Seq >= newest.Seq {
			newest = point
		}
	}
	return newest
}

// growTree adds the lines behind a frontier, and looks whether they lead to what a
// checkpoint says.
func (c *chain) growTree(from frontier, point Checkpoint) error {
	c.tree = newTree(c.Dir, from)
	names, err := segments(c.Dir)
	if err != nil {
		return err
	}
	for i, name := range names {
		if i+1 < len(names) && first(names[i+1]) <= from.size+1 {
			continue
		}
		if err := eachLine(c.Dir, name, func(l line) error { return c.growLine(l, point) }); err != nil {
			return fmt.Errorf("event log %s: %w; run `pavise log verify`", c.Dir, err)
		}
	}
	if c.tree.ahead.size != c.last.seq {
		return fmt.Errorf("event log %s: records behind %d are missing; run `pavise log verify`, keep the folder as evidence, and start with an empty one", c.Dir, c.tree.ahead.size)
	}
	return nil
}

func (c *chain) growLine(l line, point Checkpoint) error {
	if l.seq <= c.tree.ahead.size {
		return nil
	}
	if l.seq != c.tree.ahead.size+1 {
		return fmt.Errorf("record %d stands where %d should", l.seq, c.tree.ahead.size+1)
	}
	c.form = c.mac.appendFormOf(c.form[:0], &l)
	c.tree.add(c.form)
	if l.seq == point.Seq && c.tree.ahead.root() != hashValue(point.Root) {
		return fmt.Errorf("records up to %d are not those that a checkpoint covers: they were changed. Keep the folder as evidence, and start with an empty one", l.seq)
	}
	return nil
}

// repair cuts off what is torn, and opens the last segment for appending.
func (c *chain) repair(e end, checkpoints int64) error {
	if err := cutFile(filepath.Join(c.Dir, checkpointsName), checkpoints); err != nil {
		return err
	}
	if err := errors.Join(c.tree.cut(), c.tree.write()); err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	if e.name == "" {
		return nil
	}
	name := filepath.Join(c.Dir, e.name)
	if err := cutFile(name, e.size); err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	c.file, c.size, c.first = file, e.size, first(e.name)
	return nil
}

// cutFile shortens a file that is longer than size.
func cutFile(name string, size int64) error {
	info, err := os.Stat(name)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() <= size {
		return nil
	}
	if err == nil {
		err = os.Truncate(name, size)
	}
	if err != nil {
		return fmt.Errorf("cut off a torn line: %w", err)
	}
	return nil
}

// recover writes what an earlier process left in the ring and had not written yet,
// in the order in which it was begun, and only then frees the slots: whoever kills
// this process too loses nothing.
func (c *chain) recover() error {
	written, highest, err := c.lastReferences(2*uint64(c.ring.slots) + 64)
	if err != nil {
		return err
	}
	if reference := c.ring.reference(); reference.Load() < highest {
		reference.Store(highest) // the ring is younger than the log
	}
	held := c.ring.held()
	slices.SortFunc(held, c.ring.byReference)
	for _, i := range held {
		if !written[c.ring.ref(i)] {
			c.addHeld(i)
		}
	}
	if err := c.write(); err != nil {
		return fmt.Errorf("event log %s: write what an earlier process left: %w", c.Dir, err)
	}
	for _, i := range held {
		c.ring.release(i)
	}
	if c.ring.slots != uint32(c.Slots) {
		if err := c.resize(); err != nil {
			return err
		}
	}
	c.noteHead()
	c.noteHead() // both copies: nothing older is left
	return c.checkpoint()
}

// addHeld adds the event of a slot, with the note "interrupted" if it was not
// completed, or with its count.
func (c *chain) addHeld(i uint32) {
	text := c.ring.appendEvent(nil, i)
	ref, state := c.ring.ref(i), c.ring.state(i).Load()
	e, err := ParseJSON(text)
	switch {
	case err != nil:
		c.tell(&Event{Code: "slot_damaged", Detail: fmt.Sprintf("slot %d of the ring held no event: %v", i, err)})
		return
	case state == stateComplete:
	case e.Note == noteCounted:
		e.Count = max(1, int(c.ring.count(i).Load()))
	case e.Note == "":
		e.Note = noteInterrupted
	default:
		e.Note += " " + noteInterrupted
	}
	c.add(AppendJSON(nil, &e), ref)
}

// resize makes an empty ring of another size.
func (c *chain) resize() error {
	h := c.last
	h.boot = c.boot
	if err := createRing(c.Dir, uint32(c.Slots), h, c.Key, c.ring.reference().Load()); err != nil {
		return err
	}
	larger, err := openRing(c.Dir)
	if err != nil {
		return err
	}
	c.ring = larger
	return nil
}
