//go:build unix

package certfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// tryLock locks a file, which is made if it is missing. A link is not followed: in a folder
// of somebody else's it could lead anywhere.
func tryLock(name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	if err == nil {
		err = giveToFolder(file)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil // which ends the lock
}

// giveToFolder lets the folder's owner, who may write there too, open a lock that root made.
func giveToFolder(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	folder, err := os.Stat(filepath.Dir(file.Name()))
	if err != nil {
		return err
	}
	owner, ok := ownerOf(folder)
	was, also := ownerOf(info)
	if os.Geteuid() != 0 || !ok || !also || owner == was || !onlyHere(info) {
		return nil
	}
	return file.Chown(int(owner), -1)
}

// onlyHere reports whether a file is a plain one that has no other name: what the folder's
// owner has linked here does not become theirs.
func onlyHere(info fs.FileInfo) bool {
	was, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && was.Nlink == 1
}
