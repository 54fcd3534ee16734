package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"pavise.dev/pavise/internal/replace"
)

// cursor is what a feed remembers.
type cursor struct {
	Delivered uint64 `json:"delivered"`
	Lost      uint64 `json:"lost"`
	Rejected  uint64 `json:"rejected"`
	Mark      string `json:"mark,omitempty"` // of the event Delivered, to see whether the log is still the one that was read
}

// cursorSize is what a cursor takes in its file, with blanks behind it: less than a sector.
const cursorSize = 256

// readCursor reads the file; ok is false where there is none.
func readCursor(path string) (c cursor, ok bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("read how far events were delivered: %w", err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, false, fmt.Errorf("read how far events were delivered: %s holds no position; remove it to begin with the newest event: %w", path, err)
	}
	return c, true, nil
}

// write writes over the file in place. It is not synced: after a power cut some events are sent
// again, which they may be. What it holds then is this position or one before, and never nothing,
// as of a file that took another's place.
func (c cursor) write(path string) error {
	if err := c.writeOver(path); err != nil {
		return fmt.Errorf("remember how far events were delivered: %w", err)
	}
	return nil
}

func (c cursor) writeOver(path string) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	text = fmt.Appendf(nil, "%-*s\n", cursorSize-1, text)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return replace.File(path, text)
	}
	if err != nil {
		return err
	}
	_, err = file.WriteAt(text, 0)
	return errors.Join(err, file.Close())
}
