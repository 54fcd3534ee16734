//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package audit

import "os"

// reserve makes room on the disk, so that a write into the mapping cannot fail for
// want of it.
func reserve(file *os.File, size int64) error { return writeZeros(file, size) }
