package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Files that are open can be written after somebody has removed them, and nobody finds what is
// written then. So the log looks every ten seconds whether its files are still where they were, and
// refuses where they are not: what cannot be found again is not recorded. Put back, it goes on;
// otherwise the next start begins a log, and says so in its first event.

// lookAfterFiles is how often it is looked whether the files of the log are still there.
const lookAfterFiles = 10 * time.Second

// codeBegun is the code of the event of a log that was begun where one had been.
const codeBegun = "log_begun_anew"

// present reports, as an error, that files that are written are no longer where they were.
func (c *chain) present() error {
	now := c.Now()
	if since := now.Sub(c.sighted); since >= 0 && since < lookAfterFiles {
		return nil
	}
	err := isStill(ringFile(c.Dir), c.ring.file)
	if c.file != nil && err == nil {
		var info os.FileInfo
		if info, err = c.file.Stat(); err == nil {
			err = isStill(filepath.Join(c.Dir, segmentName(c.first)), info)
		}
	}
	if err == nil {
		c.sighted = now
	}
	return err
}

// isStill reports, as an error, that a file is no longer the one that was opened.
func isStill(name string, opened os.FileInfo) error {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(info, opened) {
		return fmt.Errorf("%s was taken away while it is written; put it back, or start anew: the log begins again then, and says so", name)
	}
	return err
}

// begun is the event of a log that was begun where one had been; nil: there is nothing to say.
func (c *chain) begun(e end) *Event {
	if !e.empty || !c.Known {
		return nil
	}
	return &Event{Code: codeBegun, Target: c.Dir, Detail: "there was a log here, or elsewhere under this installation, and nothing is left of it: what was recorded before is missing. If the folder was not moved on purpose, somebody has taken it away"}
}
