package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A segment that has ended gets an index, so that a search reads only where something can
// be. It says of each block of lines where it begins, between which times its events are, and
// what they may hold: a Bloom filter of the fields that are searched for. A search that
// finds no index, or one that is damaged, older or of another form of the segment, reads
// everything. What an index says is compared with the lines by [Verify].
//
// The file:
//
//	"PAVISEX2", size of the segment, lines
//	number of classes; for each: length of its name, name, lines with an event of it
//	number of blocks; for each: offset, first and last time (Unix, µs), length of its filter
//	the filters
//	CRC-32C of all that
//
// Numbers are little endian of 8 bytes; lengths of names of one byte.

const (
	indexMagic  = "PAVISEX2"
	indexSuffix = ".index"
	blockLines  = 256
	filterBits  = 10 // for each value: one block in a hundred is read for nothing
	filterTries = 7
	maxIndex    = 1 << 30
)

// index is what is known of a segment.
type index struct {
	size    int64
	lines   uint64
	classes map[Class]uint64 // lines of which an event is there
	blocks  []block
}

type block struct {
	offset   int64
	min, max int64 // microseconds
	filter   []byte
}

func indexName(segment string) string {
	return strings.TrimSuffix(segment, segmentSuffix) + indexSuffix
}

// end is when the last event of the segment was: before it was sealed, which may be long
// after where little happens.
func (x *index) end(sealed time.Time) time.Time {
	end := int64(math.MinInt64)
	for _, b := range x.blocks {
		end = max(end, b.max)
	}
	if at := time.UnixMicro(end); end > math.MinInt64 && at.Before(sealed) {
		return at
	}
	return sealed
}

// indexer makes an index, line by line.
type indexer struct {
	index
	values []uint64 // of the block, hashed
	inside int      // lines in the block
}

func newIndexer() *indexer { return &indexer{index: index{classes: map[Class]uint64{}}} }

// add takes the line that begins at an offset.
func (x *indexer) add(offset int64, l *line) {
	if x.inside == 0 {
		x.blocks = append(x.blocks, block{offset: offset, min: math.MaxInt64, max: math.MinInt64})
	}
	b := &x.blocks[len(x.blocks)-1]
	eachField(l.event, func(name, field []byte) {
		switch string(name) {
		case "time":
			if at, err := time.Parse(timeForm, string(valueOf(name, field))); err == nil {
				b.min, b.max = min(b.min, at.UnixMicro()), max(b.max, at.UnixMicro())
			} else {
				b.min, b.max = math.MinInt64, math.MaxInt64
			}
			return
		case "remote":
			x.network(valueOf(name, field))
			return
		case "class":
			x.classes[Class(valueOf(name, field))]++
		case "id", "trace", "client", "user", "subject", "tenant", "credential", "endpoint", "api", "code", "decision":
		default:
			return
		}
		x.values = append(x.values, hashOf(field))
	})
	x.lines++
	x.size = offset + int64(len(l.text)) + 1
	if x.inside++; x.inside == blockLines {
		x.close()
	}
}

func (x *indexer) network(value []byte) {
	at, err := parseAddress(string(value))
	if err != nil {
		return
	}
	for _, bits := range networkSizes(at.Addr()) {
		if p, err := at.Addr().Unmap().Prefix(bits); err == nil {
			x.values = append(x.values, hashOf(networkField(p)))
		}
	}
}

// networkSizes are the networks of an address that can be looked up, the smallest first.
func networkSizes(addr netip.Addr) []int {
	if addr.Unmap().Is4() {
		return []int{32, 24, 16}
	}
	return []int{128, 64, 48}
}

func networkField(p netip.Prefix) []byte { return p.AppendTo([]byte("network ")) }

// close ends a block.
func (x *indexer) close() {
	if x.inside == 0 {
		return
	}
	slices.Sort(x.values)
	x.values = slices.Compact(x.values)
	filter := make([]byte, (len(x.values)*filterBits+7)/8+1)
	for _, value := range x.values {
		for _, bit := range bitsOf(value, len(filter)) {
			filter[bit/8] |= 1 << (bit % 8)
		}
	}
	x.blocks[len(x.blocks)-1].filter = filter
	x.values, x.inside = x.values[:0], 0
}

// hashOf is FNV-1a of 64 bits.
func hashOf(text []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range text {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h ^ h>>29
}

func bitsOf(value uint64, size int) (all [filterTries]uint32) {
	a, b := uint32(value), uint32(value>>32)|1
	for i := range all {
		all[i] = a % (uint32(size) * 8)
		a += b
	}
	return all
}

// may reports whether a block can hold a value.
func (b *block) may(value uint64) bool {
	for _, bit := range bitsOf(value, len(b.filter)) {
		if b.filter[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}

// encode is the index as its file holds it.
func (x *indexer) encode() []byte {
	x.close()
	put := binary.LittleEndian.AppendUint64
	text := put(put([]byte(indexMagic), uint64(x.size)), x.lines)
	text = put(text, uint64(len(x.classes)))
	var names []string
	for class := range x.classes {
		names = append(names, string(class))
	}
	slices.Sort(names)
	for _, name := range names {
		text = append(append(text, byte(len(name))), name...) // a class has at most 64 bytes
		text = put(text, x.classes[Class(name)])
	}
	text = put(text, uint64(len(x.blocks)))
	for _, b := range x.blocks {
		text = put(put(put(put(text, uint64(b.offset)), uint64(b.min)), uint64(b.max)), uint64(len(b.filter)))
	}
	for _, b := range x.blocks {
		text = append(text, b.filter...)
	}
	return binary.LittleEndian.AppendUint32(text, crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)))
}

var errNoIndex = errors.New("it is no index")

// parseIndex reads what encode wrote. The filters point into text.
func parseIndex(text []byte) (x index, err error) {
	n := len(text) - 4
	if n < len(indexMagic) || string(text[:len(indexMagic)]) != indexMagic ||
		binary.LittleEndian.Uint32(text[n:]) != crc32.Checksum(text[:n], crc32.MakeTable(crc32.Castagnoli)) {
		return x, errNoIndex
	}
	r := indexReader{rest: text[len(indexMagic):n]}
	x.size, x.lines = int64(r.number()), r.number()
	x.classes = map[Class]uint64{}
	for range r.count(9) {
		name := r.bytes(uint64(r.byte()))
		x.classes[Class(name)] = r.number()
	}
	lengths := []uint64{}
	for range r.count(32) {
		x.blocks = append(x.blocks, block{offset: int64(r.number()), min: int64(r.number()), max: int64(r.number())})
		lengths = append(lengths, r.number())
	}
	for i, length := range lengths {
		x.blocks[i].filter = r.bytes(length)
		b := &x.blocks[i]
		if length == 0 || length > math.MaxUint32/8 || b.offset < 0 || b.offset >= x.size || i == 0 && b.offset != 0 || i > 0 && b.offset <= x.blocks[i-1].offset {
			return x, errNoIndex
		}
	}
	if r.short || len(r.rest) > 0 {
		return x, errNoIndex
	}
	return x, nil
}

// indexReader reads numbers and texts; behind the end it gives zeros.
type indexReader struct {
	rest  []byte
	short bool
}

func (r *indexReader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return nil
	}
	text := r.rest[:n:n]
	r.rest = r.rest[n:]
	return text
}

func (r *indexReader) number() uint64 {
	if text := r.bytes(8); text != nil {
		return binary.LittleEndian.Uint64(text)
	}
	return 0
}

func (r *indexReader) byte() byte {
	if text := r.bytes(1); text != nil {
		return text[0]
	}
	return 0
}

// count is a number of entries of at least so many bytes each.
func (r *indexReader) count(each int) uint64 {
	n := r.number()
	if n > uint64(len(r.rest)/each) {
		r.short, r.rest = true, nil
		return 0
	}
	return n
}

// readIndex returns the index of a segment; ok is false if there is none that fits.
func readIndex(dir, segment string) (x index, ok bool) {
	text, err := readBounded(filepath.Join(dir, indexName(segment)), maxIndex)
	if err != nil {
		return x, false
	}
	info, err := os.Stat(filepath.Join(dir, segment))
	if err != nil {
		return x, false
	}
	x, err = parseIndex(text)
	return x, err == nil && x.size == info.Size()
}

func readBounded(name string, most int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil || info.Size() > most {
		return nil, errors.Join(err, errNoIndex)
	}
	text := make([]byte, info.Size())
	_, err = io.ReadFull(file, text)
	return text, err
}

// makeIndex writes the index of a segment that has ended.
func makeIndex(dir, segment string) error {
	x := newIndexer()
	file, err := os.Open(filepath.Join(dir, segment))
	if err != nil {
		return fmt.Errorf("index a segment: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	lines := newLineReader(segment, file)
	for {
		offset := lines.offset
		l, err := lines.next()
		if errors.Is(err, io.EOF) && len(lines.torn) == 0 {
			break
		}
		if err != nil {
			return fmt.Errorf("index a segment: %w", err) // then every search reads it
		}
		x.add(offset, &l)
	}
	if x.lines == 0 {
		return nil
	}
	if err := replaceFile(filepath.Join(dir, indexName(segment)), x.encode()); err != nil {
		return fmt.Errorf("index a segment: %w", err)
	}
	return nil
}

// checkIndex compares an index with the lines that were read.
func checkIndex(dir, segment string, x *indexer) error {
	text, err := readBounded(filepath.Join(dir, indexName(segment)), maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, fault := parseIndex(text); err != nil || fault != nil {
		return nil // it is damaged, so that no search looks at it
	}
	if !bytes.Equal(text, x.encode()) {
		return &Fault{indexName(segment), 0, 0, "it is not the index of the segment: it was changed, and searches do not find what it hides. Keep it as evidence, and remove it: it is made anew"}
	}
	return nil
}

// eachField calls f for every field of an event as [AppendJSON] writes it: with its name, and the
// text of name and value. It is much faster than reading the event; what it cannot read
// ends it.
func eachField(event []byte, f func(name, field []byte)) {
	for at := 1; at < len(event) && event[at] == '"'; {
		begin := at
		end := bytes.IndexByte(event[at+1:], '"')
		if end < 0 {
			return
		}
		name := event[at+1 : at+1+end]
		at += end + 3 // the quotes and the colon
		if at >= len(event) {
			return
		}
		if event[at] == '"' {
			at++
			for {
				quote := bytes.IndexByte(event[at:], '"')
				if quote < 0 {
					return
				}
				slashes := 0
				for i := at + quote - 1; event[i] == '\\'; i-- {
					slashes++
				}
				at += quote + 1
				if slashes%2 == 0 {
					break
				}
			}
		} else {
			for at < len(event) && event[at] != ',' && event[at] != '}' {
				at++
			}
		}
		f(name, event[begin:at])
		at++ // the comma
	}
}

// valueOf is the text of a field's value, without its quotes; escapes stay.
func valueOf(name, field []byte) []byte {
	return bytes.Trim(field[len(name)+3:], `"`)
}
