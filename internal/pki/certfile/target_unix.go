//go:build unix

package certfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many links one name may lead through (Linux follows as many).
const maxLinks = 40

// link is one that was followed.
type link struct {
	name  string
	owner uint32
}

// target is where a name leads, which need not be there yet. A link is followed if it is
// root's, or of whoever runs this, or of the owner of the folder to which it all leads:
// a user who may write beside a file cannot have another user's files replaced by a link.
//
// The name is looked at before it is used: a folder whose parents others may rename
// meanwhile is not guarded by this.
func target(name string) (string, error) { return resolve(name, true) }

// place is where a name lies, whether or not it is a link itself.
func place(name string) (string, error) { return resolve(name, false) }

func resolve(name string, last bool) (string, error) {
	to, links, err := walk(name, last)
	if err != nil {
		return "", err
	}
	if len(links) == 0 {
		return to, nil
	}
	folder, err := os.Stat(filepath.Dir(to))
	if err != nil {
		return "", err
	}
	owner, known := ownerOf(folder)
	for _, l := range links {
		if l.owner != 0 && l.owner != uint32(os.Geteuid()) && (!known || l.owner != owner) {
			return "", fmt.Errorf("write %s: the link %s belongs to user %d and leads into another user's folder, %s; name the file itself", name, l.name, l.owner, filepath.Dir(to))
		}
	}
	return to, nil
}

// walk follows a name step by step, at the last one too if it is asked to, and tells which
// links it came through.
func walk(name string, last bool) (to string, links []link, err error) {
	if to, err = filepath.Abs(name); err != nil {
		return "", nil, err
	}
	rest := strings.Split(to[1:], "/")
	for to = "/"; len(rest) > 0; {
		next := filepath.Join(to, rest[0]) // ".." of a link too: what is left is without links
		if rest = rest[1:]; len(rest) == 0 && !last {
			return next, links, nil
		}
		info, err := os.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return filepath.Join(append([]string{next}, rest...)...), links, nil
		case err != nil:
			return "", nil, err
		case info.Mode().Type() != fs.ModeSymlink:
			to = next
			continue
		}
		owner, ok := ownerOf(info)
		if links = append(links, link{next, owner}); !ok || len(links) > maxLinks {
			return "", nil, fmt.Errorf("follow %s: %w", name, syscall.ELOOP)
		}
		where, err := os.Readlink(next)
		if err != nil {
			return "", nil, err
		}
		if filepath.IsAbs(where) {
			to = "/"
		}
		rest = append(strings.Split(where, "/"), rest...)
	}
	return to, links, nil
}

func ownerOf(info fs.FileInfo) (uid uint32, ok bool) {
	was, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return was.Uid, true
}
