package audit

import (
	"errors"
	"os"
	"syscall"
)

// reserve makes room on the disk, so that a write into the mapping cannot fail for
// want of it.
func reserve(file *os.File, size int64) error {
	err := syscall.Fallocate(int(file.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return writeZeros(file, size)
	}
	return err
}
