package client

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pavise.dev/pavise/internal/seal"
)

// total is a sum of fingerprints modulo 2^256. It does not depend on their order.
// Who does not know the fingerprints (they are keyed, and stand nowhere) cannot
// find other rows with the same sum.
type total [32]byte

func (t *total) add(part [32]byte) {
	carry := 0
	for i := range t {
		n := int(t[i]) + int(part[i]) + carry
		t[i], carry = byte(n), n>>8
	}
}

func (t *total) remove(part [32]byte) {
	borrow := 0
	for i := range t {
		n := int(t[i]) - int(part[i]) - borrow
		t[i], borrow = byte(n), (n>>8)&1
	}
}

// mark is the file, outside the store, that remembers the state of the store: the
// sum of its rows, and the sum that it may have if a commit was under way. Both
// stand there as keyed hashes, so that nobody else can write one.
type mark struct {
	file      string
	keys      *seal.Keys
	confirmed total
	announced total
	restored  bool // the store was accepted in a state that the file did not know
}

type markText struct {
	Note      string `json:"note"`
	Confirmed string `json:"confirmed"`
	Announced string `json:"announced,omitempty"`
}

const (
	markNote = "Pavise: the state in which the store was left. If it is lost or older than the store, a start needs to be told."
	maxMark  = 4096 // bytes
)

// markLeave says which states are accepted that the mark does not know.
type markLeave struct {
	first    bool // nothing was kept in the store yet: there may be no mark
	restored bool // the operator vouches for it
}

// openMark compares the file with the store's sum, and refuses a state in which
// the store was not left.
func openMark(file string, keys *seal.Keys, sum total, leave markLeave) (*mark, error) {
	m := &mark{file: file, keys: keys}
	kept, err := readMark(file)
	missing := errors.Is(err, fs.ErrNotExist)
	known := err == nil && (kept.Confirmed == m.text(sum) || kept.Announced == m.text(sum))
	switch {
	case known, missing && leave.first:
	case leave.restored:
		m.restored = true
	case missing:
		return nil, fmt.Errorf("%w: %s is missing, which says how it was left. %s", ErrRolledBack, file, restoredHint)
	case err != nil:
		return nil, fmt.Errorf("read the store's mark: %w", err)
	default:
		return nil, fmt.Errorf("%w: rows or all of it were put back or removed by somebody else (mark %s). %s", ErrRolledBack, file, restoredHint)
	}
	return m, m.confirm(sum)
}

const restoredHint = "If you restored a backup on purpose, start once with leave to accept it: " +
	"what was revoked or disabled since then is in force again and must be revoked again"

func readMark(file string) (markText, error) {
	var kept markText
	info, err := os.Stat(file)
	if err != nil {
		return kept, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxMark {
		return kept, fmt.Errorf("%s is no mark: it is no regular file of at most %d bytes", file, maxMark)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return kept, err
	}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&kept); err != nil || kept.Confirmed == "" {
		return kept, fmt.Errorf("%s: %w; %s", file, ErrCorrupt, restoredHint)
	}
	return kept, nil
}

// text is what the file says of a sum.
func (m *mark) text(sum total) string {
	hashed := m.keys.Fingerprint("mark", "", 0, sum[:])
	return hex.EncodeToString(hashed[:])
}

func (m *mark) announce(next total) error {
	m.announced = next
	return m.keep(markText{Note: markNote, Confirmed: m.text(m.confirmed), Announced: m.text(next)})
}

func (m *mark) confirm(sum total) error {
	m.confirmed, m.announced = sum, sum
	return m.keep(markText{Note: markNote, Confirmed: m.text(sum)})
}

// keep replaces the file in one step that survives the loss of power.
func (m *mark) keep(text markText) error {
	encoded, err := json.MarshalIndent(text, "", " ")
	if err != nil {
		return fmt.Errorf("keep the store's mark: %w", err)
	}
	if err := replaceFile(m.file, append(encoded, '\n')); err != nil {
		return fmt.Errorf("%w: keep the store's mark: %w; make its folder writable, and see that the disk is not full", ErrUnavailable, err)
	}
	return nil
}

func replaceFile(name string, text []byte) error {
	folder := filepath.Dir(name)
	temporary, err := os.CreateTemp(folder, ".mark-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), name)
	}
	if err != nil {
		_ = os.Remove(temporary.Name()) // it holds nothing that is needed
		return err
	}
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
