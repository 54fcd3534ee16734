//go:build unix

package certfile

import (
	"io/fs"
	"os"
	"syscall"
)

// own gives a file the owner and group of the one that it replaces, as far as that is
// permitted: root may, others only for groups of theirs.
func own(file *os.File, before fs.FileInfo) error {
	was, ok := before.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if os.Geteuid() == 0 {
		return file.Chown(int(was.Uid), int(was.Gid))
	}
	if int(was.Gid) == os.Getegid() {
		return nil
	}
	return file.Chown(-1, int(was.Gid))
}
