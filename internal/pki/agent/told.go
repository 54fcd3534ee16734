package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pavise.dev/pavise/internal/pki/certfile"
)

// kept is a certificate in files, with what they hold now.
type kept struct {
	*certfile.Kept
	seen   stamp
	digest string // of the chain's file
}

// stamp tells whether a file has changed.
type stamp struct {
	at   time.Time
	size int64
}

// look reads the files again if somebody has replaced them.
func (k *kept) look() error {
	info, err := os.Stat(k.Files.Chain)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	now := stamp{info.ModTime(), info.Size()}
	if now == k.seen {
		return nil
	}
	text, err := os.ReadFile(k.Files.Chain)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	if err := k.Load(); err != nil {
		return err // perhaps they are just being replaced: the next look reads them again
	}
	digest := sha256.Sum256(text)
	k.seen, k.digest = now, hex.EncodeToString(digest[:])
	return nil
}

// told is the file that says of which chain the program was told last.
func (k *kept) told() string {
	return filepath.Join(filepath.Dir(k.Files.Chain), "."+filepath.Base(k.Files.Chain)+".told")
}

// begin notes the chain that is there, if there is no note yet: whoever put the first one
// there starts the program with it.
func (k *kept) begin() error {
	if _, err := os.Lstat(k.told()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return k.setTold()
}

// isTold reports whether the program was told of the chain that is there. What is no note of
// ours says nothing.
func (k *kept) isTold() (bool, error) {
	info, err := os.Lstat(k.told())
	if errors.Is(err, fs.ErrNotExist) { // the folder is away, or somebody has tidied up
		return true, k.setTold()
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > 2*sha256.BlockSize) {
		return false, nil
	}
	text, err := os.ReadFile(k.told())
	if err != nil {
		return false, fmt.Errorf("read of what the program was told: %w", err)
	}
	return strings.TrimSpace(string(text)) == k.digest, nil
}

func (k *kept) setTold() error {
	return certfile.Note(k.told(), []byte(k.digest+"\n"))
}
