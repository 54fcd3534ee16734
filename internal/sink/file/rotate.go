package file

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// stampForm is the time in the name of a file that was put aside, so that names sort.
const stampForm = "20060102T150405.000000Z"

var asideForm = regexp.MustCompile(`^\.([0-9]{8}T[0-9]{6}\.[0-9]{6}Z)(-[0-9]{3})?(\.gz)?$`)

// asideName is a name that is not taken.
func asideName(path string, now time.Time) (string, error) {
	name := path + "." + now.UTC().Format(stampForm)
	for n := range 1000 {
		try := name
		if n > 0 {
			try = fmt.Sprintf("%s-%03d", name, n)
		}
		if isFree(try) && isFree(try+".gz") {
			return try, nil
		}
	}
	return "", fmt.Errorf("a thousand files %s were put aside at this moment", name)
}

func isFree(name string) bool {
	_, err := os.Lstat(name)
	return errors.Is(err, fs.ErrNotExist)
}

// aside looks after files that were put aside. One goroutine compresses and removes them.
type aside struct {
	s       Settings
	bell    chan struct{}
	end     chan struct{}
	running sync.WaitGroup
}

func startAside(s Settings) *aside {
	a := &aside{s: s, bell: make(chan struct{}, 1), end: make(chan struct{})}
	a.running.Go(a.run)
	a.wake() // for what an earlier process has left
	return a
}

func (a *aside) wake() {
	select {
	case a.bell <- struct{}{}:
	default: // it is awake
	}
}

func (a *aside) stop() {
	close(a.end)
	a.running.Wait()
}

func (a *aside) run() {
	for {
		select {
		case <-a.end:
			return
		case <-a.bell:
			if err := a.tend(); err != nil {
				a.s.Warn(fmt.Errorf("files beside %s: %w", a.s.Path, err))
			}
		}
	}
}

// tend compresses what is not, and removes what is too old or too many.
func (a *aside) tend() error {
	names, err := a.names()
	if err != nil {
		return err
	}
	var faults []error
	for i, name := range names {
		switch {
		case a.isOver(name, len(names)-i):
			faults = append(faults, os.Remove(name))
		case a.s.Compress && !strings.HasSuffix(name, ".gz"):
			faults = append(faults, a.compress(name))
		}
	}
	return errors.Join(faults...)
}

// names are the files that were put aside, oldest first.
func (a *aside) names() (names []string, err error) {
	dir, base := filepath.Split(a.s.Path)
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), base); ok && asideForm.MatchString(rest) && e.Type().IsRegular() {
			names = append(names, dir+e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// isOver reports whether a file is not to be kept: left says how many there are from it on.
func (a *aside) isOver(name string, left int) bool {
	if a.s.Files > 0 && left > a.s.Files {
		return true
	}
	stamp := asideForm.FindStringSubmatch(strings.TrimPrefix(name, a.s.Path))
	at, err := time.Parse(stampForm, stamp[1])
	return a.s.Keep > 0 && err == nil && a.s.Now().Sub(at) > a.s.Keep && !a.s.Held()
}

// compress replaces a file by its gzip, which is whole before the file goes.
func (a *aside) compress(name string) (err error) {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	half := name + ".gz.new"
	out, err := os.OpenFile(half, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(half))
		}
	}()
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, stoppable{in, a.end})
	if err = errors.Join(err, z.Close(), out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(half, name+".gz"); err != nil {
		return err
	}
	return errors.Join(os.Remove(name), syncFolder(filepath.Dir(name)))
}

// stoppable ends when the destination is closed: the next start compresses the file.
type stoppable struct {
	io.Reader
	end <-chan struct{}
}

func (s stoppable) Read(p []byte) (int, error) {
	select {
	case <-s.end:
		return 0, errors.New("the gateway ends; it is compressed at the next start")
	default:
		return s.Reader.Read(p)
	}
}
