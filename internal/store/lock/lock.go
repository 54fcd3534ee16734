// Package lock makes sure that one process at a time uses a data folder.
//
// The lock belongs to the open file: the kernel gives it back when the process
// ends, however it ends, so that a kill -9 leaves nothing to clean up. The file
// holds the number of the process, for the message to the second one.
package lock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrLocked says that another process uses the folder.
var ErrLocked = errors.New("another process uses it")

// Lock is held until [Lock.Close].
type Lock struct{ file *os.File }

// FileName is that of the lock within its folder.
const FileName = "lock"

// Take locks a folder, which it makes with mode 0700 if it is missing, without
// waiting.
func Take(folder string) (*Lock, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w; name another folder, or make it for the user that Pavise runs as", err)
	}
	file, err := os.OpenFile(filepath.Join(folder, FileName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w; see that the user that Pavise runs as may write into it", err)
	}
	if err := flock(file); err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %s: %w (%s); stop it, or use its socket", folder, err, owner(file)), file.Close())
	}
	if err := sign(file); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the data folder: %w", err), file.Close())
	}
	return &Lock{file}, nil
}

// owner says which process wrote the file.
func owner(file *os.File) string {
	text, err := io.ReadAll(io.LimitReader(file, 32))
	pid, convErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || convErr != nil {
		return "its number is not known yet"
	}
	return fmt.Sprintf("pid %d", pid)
}

func sign(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	return err
}

// Close gives the folder free.
func (l *Lock) Close() error { return l.file.Close() }
