package leaks

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Bounds of a walk.
const (
	MaxFile  = 10 << 20  // bytes of a file; a larger one is not looked at
	maxFiles = 1_000_000 // files
	maxLeaks = 10_000
)

// Found is what a walk found.
type Found struct {
	Leaks   []Leak   `json:"leaks"`
	Files   int      `json:"files"`             // that were looked at
	Bytes   int64    `json:"bytes"`             // of these
	Skipped []string `json:"skipped,omitempty"` // that were not: too large, or not to be read; 100 at most
	More    bool     `json:"more,omitempty"`    // the walk ended before the folder did
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// Walk looks through every file below a folder, or one file: hidden, ignored and binary ones
// too. Links are not followed; what is no regular file is left alone.
func Walk(root string) (*Found, error) {
	info, err := os.Lstat(root)
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", root, err)
	}
	if info.Mode()&fs.ModeSymlink != 0 { // the folder itself may be named by a link
		if root, err = filepath.EvalSymlinks(root); err != nil {
			return nil, fmt.Errorf("look into %s: %w", root, err)
		}
	}
	found := &Found{Leaks: []Leak{}}
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			found.skip(name, err.Error())
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return nil
		case !entry.Type().IsRegular():
			return nil
		case found.Files >= maxFiles || len(found.Leaks) >= maxLeaks:
			found.More = true
			return errEnough
		}
		return found.look(name)
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("look into %s: %w", root, err)
	}
	return found, nil
}

// look scans one file.
func (f *Found) look(name string) error {
	text, err := read(name)
	if err != nil {
		f.skip(name, err.Error())
		return nil
	}
	f.Files++
	f.Bytes += int64(len(text))
	for _, l := range Scan(text) {
		l.File = name
		f.Leaks = append(f.Leaks, l)
	}
	return nil
}

var errLarge = fmt.Errorf("larger than %d MiB", MaxFile>>20)

// read reads a regular file of bounded length. What the name stands for may have changed since
// it was listed: a link or a pipe is not opened.
func read(name string) (text []byte, err error) {
	before, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, errors.New("no regular file")
	}
	if before.Size() > MaxFile {
		return nil, errLarge
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if now, err := file.Stat(); err != nil || !os.SameFile(before, now) {
		return nil, errors.New("it changed while it was looked at")
	}
	text, err = io.ReadAll(io.LimitReader(file, MaxFile+1))
	if len(text) > MaxFile {
		return nil, errLarge
	}
	return text, err
}

const maxSkipped = 100

func (f *Found) skip(name, why string) {
	if len(f.Skipped) < maxSkipped {
		f.Skipped = append(f.Skipped, name+": "+why)
	}
}
