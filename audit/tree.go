package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
)

// The lines of a log are the leaves of a Merkle tree (RFC 9162, section 2.1), so that
// two signed checkpoints can be shown to be of one log that only grew, and one line to
// be under a checkpoint, without showing any other line.
//
// The hashes are kept in files of one level each, below the folder "tree". Level 0 has
// the hash of every line; an entry of level n is the root of 256 entries of level n-1.
// Entries have 32 bytes and are appended only, so that entry i is at 32*i. What lies
// between the levels is computed when a proof needs it.
//
// They stay when retention removes segments: 32 bytes for each line are what it takes to
// prove things about lines that are gone.

const (
	hashSize   = sha256.Size
	treeFolder = "tree"
	tileHeight = 8 // levels of the tree from one file to the next
	tileFiles  = 8 // 256^8 lines
)

type hashValue = [hashSize]byte

// leafHash is the hash of a line's form, which at most formSize bytes long.
func leafHash(form []byte) hashValue {
	var text [1 + formSize]byte
	return sha256.Sum256(append(text[:1], form...)) // text[0] is 0: a leaf
}

// nodeHash is the hash of two subtrees.
func nodeHash(left, right hashValue) hashValue {
	var text [1 + 2*hashSize]byte
	text[0] = 1
	copy(text[1:], left[:])
	copy(text[1+hashSize:], right[:])
	return sha256.Sum256(text[:])
}

// frontier is the right edge of a tree: the roots of the complete subtrees that its size
// is made of. It is all that is needed to go on.
type frontier struct {
	size  uint64
	roots [64]hashValue // roots[h] counts if bit h of size is set
}

// add puts a leaf behind the others. whole is called with each entry of the files.
func (f *frontier) add(leaf hashValue, whole func(level int, h hashValue)) {
	h := leaf
	whole(0, h)
	for height := 0; ; height++ {
		if f.size>>height&1 == 0 {
			f.roots[height] = h
			break
		}
		h = nodeHash(f.roots[height], h)
		if (height+1)%tileHeight == 0 {
			whole((height+1)/tileHeight, h)
		}
	}
	f.size++
}

// addTree puts a complete subtree of 2^height leaves behind the others.
func (f *frontier) addTree(height int, h hashValue) {
	f.size += 1 << height
	for size := f.size - 1<<height; size>>height&1 == 1; height++ {
		h = nodeHash(f.roots[height], h)
	}
	f.roots[height] = h
}

// next is the height of the largest complete subtree that can come next in a tree of n leaves.
func (f *frontier) next(n uint64) int {
	return min(bits.TrailingZeros64(f.size), bits.Len64(n-f.size)-1)
}

// root is the root of the whole tree (RFC 9162, section 2.1.1).
func (f *frontier) root() hashValue {
	if f.size == 0 {
		return sha256.Sum256(nil)
	}
	height := bits.TrailingZeros64(f.size)
	h := f.roots[height]
	for height++; height < len(f.roots); height++ {
		if f.size>>height&1 == 1 {
			h = nodeHash(f.roots[height], h)
		}
	}
	return h
}

// tree appends to the files. It belongs to the drain of one log.
type tree struct {
	dir     string
	ahead   frontier // of all lines, those that are pending too
	settled frontier // of the lines that are written
	files   [tileFiles]*os.File
	pending [tileFiles][]byte
	next    [tileFiles]uint64 // entries that are in the files
	keep    func(level int, h hashValue)
}

func treeFile(dir string, level int) string {
	return filepath.Join(dir, treeFolder, fmt.Sprintf("level-%d", level))
}

// newTree goes on behind a frontier.
func newTree(dir string, from frontier) *tree {
	t := &tree{dir: dir, ahead: from, settled: from}
	for level := range t.next {
		t.next[level] = from.size >> (tileHeight * level)
	}
	t.keep = func(level int, h hashValue) { t.pending[level] = append(t.pending[level], h[:]...) }
	return t
}

func (t *tree) add(form []byte) { t.ahead.add(leafHash(form), t.keep) }

// write puts what is pending into the files. It may be called again after an error.
func (t *tree) write() error {
	for level := range t.pending {
		if len(t.pending[level]) == 0 {
			continue
		}
		file, err := t.file(level)
		if err == nil {
			_, err = file.WriteAt(t.pending[level], int64(t.next[level])*hashSize)
		}
		if err != nil {
			return fmt.Errorf("write the tree of hashes: %w", err)
		}
		t.next[level] += uint64(len(t.pending[level]) / hashSize)
		t.pending[level] = t.pending[level][:0]
	}
	t.settled = t.ahead
	return nil
}

func (t *tree) file(level int) (*os.File, error) {
	if t.files[level] != nil {
		return t.files[level], nil
	}
	if err := os.MkdirAll(filepath.Join(t.dir, treeFolder), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(treeFile(t.dir, level), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(syncFolder(filepath.Join(t.dir, treeFolder)), syncFolder(t.dir)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	t.files[level] = file
	return file, nil
}

// cut shortens the files to what is known of them.
func (t *tree) cut() error {
	for level := range t.files {
		if err := cutFile(treeFile(t.dir, level), int64(t.next[level])*hashSize); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) close() error {
	var faults []error
	for _, file := range t.files {
		if file != nil {
			faults = append(faults, file.Close())
		}
	}
	return errors.Join(faults...)
}

// syncFiles makes files durable; those that are nil are passed over.
func syncFiles(files []*os.File) error {
	for _, file := range files {
		if file == nil {
			continue
		}
		if err := file.Sync(); err != nil {
			return fmt.Errorf("make the tree of hashes durable: %w", err)
		}
	}
	return nil
}

// hashes reads the files of a tree.
type hashes struct {
	dir   string
	files [tileFiles]*os.File
}

func (t *hashes) close() {
	for _, file := range t.files {
		if file != nil {
			_ = file.Close() // it was only read
		}
	}
}

var errNoHashes = errors.New("the tree of hashes is not whole")

// entries reads n entries of a level, from entry i.
func (t *hashes) entries(level int, i, n uint64) ([]byte, error) {
	if t.files[level] == nil {
		file, err := os.Open(treeFile(t.dir, level))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errNoHashes
		}
		if err != nil {
			return nil, fmt.Errorf("read the tree of hashes: %w", err)
		}
		t.files[level] = file
	}
	text := make([]byte, n*hashSize)
	_, err := t.files[level].ReadAt(text, int64(i*hashSize))
	if errors.Is(err, io.EOF) {
		return nil, errNoHashes
	}
	if err != nil {
		return nil, fmt.Errorf("read the tree of hashes: %w", err)
	}
	return text, nil
}

// subtree is the root of the complete subtree of 2^height lines from line i<<height.
func (t *hashes) subtree(height int, i uint64) (hashValue, error) {
	above := height % tileHeight // of the file below it
	text, err := t.entries(height/tileHeight, i<<above, 1<<above)
	if err != nil {
		return hashValue{}, err
	}
	for len(text) > hashSize {
		half := text[:0]
		for at := 0; at < len(text); at += 2 * hashSize {
			h := nodeHash(hashValue(text[at:]), hashValue(text[at+hashSize:]))
			half = append(half, h[:]...)
		}
		text = half
	}
	return hashValue(text), nil
}

// frontier is the right edge of the tree of the first size lines.
func (t *hashes) frontier(size uint64) (f frontier, err error) {
	f.size = size
	for height := range f.roots {
		if size>>height&1 == 0 {
			continue
		}
		if f.roots[height], err = t.subtree(height, size>>height-1); err != nil {
			return f, err
		}
	}
	return f, nil
}

// within is the root of the lines from (counted from 0) up to to, as RFC 9162 divides them.
func (t *hashes) within(from, to uint64) (hashValue, error) {
	n := to - from
	if n&(n-1) == 0 {
		height := bits.TrailingZeros64(n)
		return t.subtree(height, from>>height)
	}
	k := split(n)
	left, err := t.within(from, from+k)
	if err != nil {
		return left, err
	}
	right, err := t.within(from+k, to)
	return nodeHash(left, right), err
}

// split is the largest power of two below n, which is above one.
func split(n uint64) uint64 { return 1 << (bits.Len64(n-1) - 1) }
