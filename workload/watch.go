package workload

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// watched are files that somebody else renews. It belongs to the goroutine that watches.
type watched struct {
	c        *Certificate
	seen     [3]fs.FileInfo // of chain, key and roots when they were last read; nil: it could not be seen
	fault    string         // of the last look; empty: it went well
	told     string         // the fault that was told last
	lateness string         // that was told last; empty: none
}

// watch reads the certificate from the files.
func (c *Certificate) watch(context.Context) error {
	w := &watched{c: c}
	c.kept, c.keep = c.options.files(nil), w.keep
	w.seen = w.stamps()
	if err := w.read(); err != nil {
		return err
	}
	if _, err := c.kept.Get(); err != nil {
		return fmt.Errorf("%s: %w: whoever renews it has not; look at `pavise cert agent` there, or set Options.Server", c.options.Chain, err)
	}
	return nil
}

func (w *watched) read() error {
	if err := w.c.readRoots(); err != nil {
		return err
	}
	return w.c.kept.Load()
}

// keep reads files that have changed. Chain and key are not replaced in one step: what does
// not fit is told only if it stays so until the next look.
func (w *watched) keep(ctx context.Context) {
	now := w.stamps()
	if w.fault == "" && same(now, w.seen) {
		w.overdue(ctx)
		return
	}
	w.seen = now
	err := w.read()
	if err == nil {
		w.fault, w.told = "", ""
		w.overdue(ctx)
		return
	}
	if err.Error() == w.fault && w.told != w.fault {
		w.c.warn(ctx, fmt.Errorf("%w; the certificate from before stays in use", err))
		w.told = w.fault
	}
	w.fault = err.Error()
}

// overdue tells, once for each certificate, that nobody renews it.
func (w *watched) overdue(ctx context.Context) {
	text := ""
	if err := w.late(); err != nil {
		if text = err.Error(); text != w.lateness {
			w.c.warn(ctx, err)
		}
	}
	w.lateness = text
}

// late is an error in the last tenth of the certificate's life, and after it.
func (w *watched) late() error {
	current, err := w.c.kept.Get()
	if err != nil {
		return err
	}
	ends := current.Leaf.NotAfter
	if life := ends.Sub(current.Leaf.NotBefore); w.c.options.Now().Before(ends.Add(-life / 10)) {
		return nil
	}
	return fmt.Errorf("it ends at %s and was not renewed: look at `pavise cert agent`, or whatever renews it", ends.UTC().Format(time.RFC3339))
}

func (w *watched) stamps() (all [3]fs.FileInfo) {
	for i, name := range []string{w.c.options.Chain, w.c.options.Key, w.c.options.Roots} {
		if info, err := os.Stat(name); err == nil {
			all[i] = info
		}
	}
	return all
}

func same(a, b [3]fs.FileInfo) bool {
	for i := range a {
		switch {
		case a[i] == nil || b[i] == nil:
			if a[i] != b[i] {
				return false
			}
		case !os.SameFile(a[i], b[i]), !a[i].ModTime().Equal(b[i].ModTime()), a[i].Size() != b[i].Size():
			return false
		}
	}
	return true
}
