package main

import (
	"fmt"
	"io"
	"os"
)

// readPrivate reads a file of secrets, which only its owner may read and which has most bytes at
// most. Errors quote nothing of it; what says what it is.
func readPrivate(what, name string, most int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the %s: %w", what, err)
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the %s: %w", what, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s %s can be read by others (mode %o); run: chmod 600 %s", what, name, mode, name)
	}
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil || int64(len(text)) > most {
		return nil, fmt.Errorf("read the %s: %s cannot be read, or has more than %d bytes", what, name, most)
	}
	return text, nil
}
