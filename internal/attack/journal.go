package attack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"pavise.dev/pavise/internal/finding"
)

// Journal remembers which cases of a run are done, in a file that it has to itself: one JSON
// object a line, the first of which names the target. Secrets are not in it: findings are
// masked before they are written.
type Journal struct {
	file *os.File
	past map[string]entry
}

// entry is a case that was tried.
type entry struct {
	ID       string            `json:"case"`
	Outcome  Outcome           `json:"outcome"`
	Findings []finding.Finding `json:"findings,omitempty"`
	Why      string            `json:"why,omitempty"`
	Unjudged bool              `json:"unjudged,omitempty"` // what it looks for may be there
}

type journalHead struct {
	Target string `json:"target"`
}

// maxJournalLine bounds a line, in bytes.
const maxJournalLine = 16 << 20

// OpenJournal goes on with a file, or begins one. A journal of another target is refused; a
// last line that is not whole is written again.
func OpenJournal(name, target string) (*Journal, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal of the run: %w", err)
	}
	if err := private(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	j := &Journal{file: file, past: map[string]entry{}}
	if err := j.read(name, target); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

// private takes away from others what they may do with a file that was there before: it tells where a
// target is weak.
func private(file *os.File) error {
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("open the journal of the run: %s: %w", file.Name(), errNoJournal)
	}
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = file.Chmod(info.Mode().Perm() &^ 0o077)
	}
	if err != nil {
		return fmt.Errorf("keep the journal of the run from others: %w", err)
	}
	return nil
}

func (j *Journal) read(name, target string) error {
	lines := bufio.NewReaderSize(j.file, 64<<10)
	whole := int64(0)
	for number := 1; ; number++ {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			if number == 1 && !beginsJournal(line) {
				return fmt.Errorf("%s: %w", name, errNoJournal)
			}
			break
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if err := j.take(number, line, target); err != nil {
			return fmt.Errorf("%s, line %d: %w", name, number, err)
		}
		whole += int64(len(line))
	}
	if err := j.file.Truncate(whole); err != nil {
		return fmt.Errorf("go on with %s: %w", name, err)
	}
	if _, err := j.file.Seek(whole, io.SeekStart); err != nil {
		return fmt.Errorf("go on with %s: %w", name, err)
	}
	if whole == 0 {
		return j.write(journalHead{target})
	}
	return nil
}

var errNoJournal = errors.New("this is no journal of an attack: name another file")

// beginsJournal reports whether a file without a whole line is a journal that was just begun: whatever
// else somebody names by mistake is not written over.
func beginsJournal(text []byte) bool {
	const begin = `{"target":`
	return bytes.HasPrefix(text, []byte(begin)) || strings.HasPrefix(begin, string(text))
}

// readLine returns a whole line; [io.EOF] also stands for one that is not whole.
func readLine(lines *bufio.Reader) (line []byte, err error) {
	for {
		part, err := lines.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxJournalLine {
			return nil, errors.New("a line is too long: this is no journal of an attack")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

func (j *Journal) take(number int, line []byte, target string) error {
	if number == 1 {
		var head journalHead
		if err := json.Unmarshal(line, &head); err != nil || head.Target == "" {
			return errNoJournal
		}
		if head.Target != target {
			return fmt.Errorf("it is the journal of %s: name another file for %s", head.Target, target)
		}
		return nil
	}
	var e entry
	if err := json.Unmarshal(line, &e); err != nil || e.ID == "" {
		return errors.New("this is no case: remove the file to begin anew")
	}
	j.past[e.ID] = e
	return nil
}

func (j *Journal) done(id string) (entry, bool) {
	if j == nil {
		return entry{}, false
	}
	e, ok := j.past[id]
	return e, ok
}

func (j *Journal) note(e entry) error {
	if j == nil {
		return nil
	}
	return j.write(e)
}

func (j *Journal) write(value any) error {
	line, err := json.Marshal(value)
	if len(line) >= maxJournalLine {
		return nil // it is tried again
	}
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the journal of the run: %w", err)
	}
	return nil
}

// Close closes the file.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	return j.file.Close()
}
