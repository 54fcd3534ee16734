// Package replace puts a text in the place of a file, so that the file holds the old or the new
// text whole, after a crash and after a power cut. A rename alone does not promise that: some
// file systems write the name down before the bytes, and the file is empty then.
package replace

import (
	"errors"
	"os"
	"path/filepath"
)

// File replaces a file, or makes it with its folder, for the owner's eyes alone. One writer of a
// path at a time.
func File(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	next := path + ".new"
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(next, path)
}
