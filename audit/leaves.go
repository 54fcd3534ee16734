package audit

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// leaves compares the lines with the tree of hashes that is kept beside them, and the tree
// with the roots that checkpoints name.
type leaves struct {
	files  hashes
	points map[uint64]Checkpoint
	edge   frontier
	kept   []byte // entries of level 0 from edge.size on, read ahead
	short  bool   // the files end before the lines
	above  *Fault // the first entry of a higher level that is not what those below it say
}

// readAhead is how many entries are read at once.
const readAhead = 4096

// before reads the hashes of lines that retention removed.
func (v *leaves) before(seq uint64) error {
	for v.edge.size < seq {
		leaf, ok, err := v.next(seq - v.edge.size)
		if err != nil {
			return err
		}
		if !ok {
			return &Fault{treeFolder, 0, v.edge.size + 1, "the hashes of records that were removed are missing"}
		}
		if why := v.add(leaf); why != "" {
			return &Fault{treeFolder, 0, v.edge.size, why}
		}
	}
	return nil
}

// line takes the hash of the next line.
func (v *leaves) line(seq uint64, leaf hashValue) (why string) {
	kept, ok, err := v.next(readAhead)
	switch {
	case err != nil:
		return err.Error()
	case ok && kept != leaf:
		return "the tree of hashes has another record here: one of them was changed"
	case !ok:
		v.short = true
	}
	return v.add(leaf)
}

func (v *leaves) add(leaf hashValue) (why string) {
	v.edge.add(leaf, v.check)
	if point, ok := v.points[v.edge.size]; ok && Hash(v.edge.root()) != point.Root {
		return "a signed checkpoint names another root of the tree: the log was rewritten"
	}
	return ""
}

// check compares entries of higher levels with what the lines say.
func (v *leaves) check(level int, h hashValue) {
	if level == 0 || v.short || v.above != nil {
		return
	}
	i := v.edge.size >> (tileHeight * level)
	text, err := v.files.entries(level, i, 1)
	if err == nil && !bytes.Equal(text, h[:]) {
		v.above = &Fault{treeFile("", level), 0, v.edge.size + 1, fmt.Sprintf("entry %d of level %d is not the hash of those below it: it was changed", i, level)}
	}
}

// next is the next entry of level 0; most bounds what is read ahead.
func (v *leaves) next(most uint64) (leaf hashValue, ok bool, err error) {
	if v.short {
		return leaf, false, nil
	}
	if len(v.kept) == 0 {
		if v.kept, err = v.readSome(min(most, readAhead)); err != nil || len(v.kept) == 0 {
			return leaf, false, err
		}
	}
	leaf = hashValue(v.kept)
	v.kept = v.kept[hashSize:]
	return leaf, true, nil
}

// readSome reads entries of level 0, as many as there are up to n.
func (v *leaves) readSome(n uint64) ([]byte, error) {
	for ; n > 0; n /= 2 {
		text, err := v.files.entries(0, v.edge.size, n)
		if err == nil {
			return text, nil
		}
		if !errors.Is(err, errNoHashes) {
			return nil, err
		}
	}
	return nil, nil
}

// end looks whether the files reach as far as the checkpoints do: those are made after
// them, while lines come before.
func (v *leaves) end(covered uint64) error {
	if v.above != nil {
		return v.above
	}
	if covered > 0 && covered <= v.edge.size {
		edge, err := v.files.frontier(covered)
		if err != nil || Hash(edge.root()) != v.points[covered].Root {
			return &Fault{treeFolder, 0, 0, fmt.Sprintf("the tree of hashes does not lead to the root that the checkpoint of record %d names: it is not whole", covered)}
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(v.points)) {
		if seq > v.edge.size {
			return &Fault{treeFolder, 0, seq, "a checkpoint covers more than the tree has"}
		}
	}
	return nil
}
