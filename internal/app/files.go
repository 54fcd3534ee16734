package app

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// files reads the files that settings name, and watches them by their size and
// time of change. It implements shield.Files for one generation of a policy.
type files struct {
	dir string

	mu      sync.Mutex
	watched []*watched
}

type watched struct {
	now     func() stamp
	stamp   stamp
	changed func()
}

type stamp struct {
	size int64
	time time.Time
}

// maxFile is the longest file that settings may name, in bytes.
const maxFile = 16 << 20

// Read implements shield.Files.
func (f *files) Read(name string) ([]byte, error) {
	file, err := os.Open(f.path(name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	return text, err
}

// Watch implements shield.Files.
func (f *files) Watch(name string, changed func()) {
	path := f.path(name)
	f.watch(func() stamp { return stampOf(path) }, changed)
}

// watch calls changed after what now returns has changed.
func (f *files) watch(now func() stamp, changed func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watched = append(f.watched, &watched{now: now, stamp: now(), changed: changed})
}

// look calls everybody whose file has changed since the last look.
func (f *files) look() {
	f.mu.Lock()
	var changed []func()
	for _, w := range f.watched {
		if now := w.now(); now != w.stamp {
			w.stamp = now
			changed = append(changed, w.changed)
		}
	}
	f.mu.Unlock()
	for _, tell := range changed {
		tell()
	}
}

func (f *files) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(f.dir, name)
}

// stampOf is zero for a file that cannot be seen, which counts as a change too.
func stampOf(name string) stamp {
	info, err := os.Stat(name)
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime()}
}
