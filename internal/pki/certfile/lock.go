package certfile

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// How long a writer waits for another one, which has a few files to write, and how often it
// looks.
const (
	lockTime  = 10 * time.Second
	lockEvery = 5 * time.Millisecond
)

// errLocked says that somebody else has the lock now.
var errLocked = errors.New("another program is writing")

// lock keeps other writers of a key and its chain away until unlock is called. It lies in a
// file beside the key, for the folder's owner alone, which stays: the lock itself ends with
// whoever has it.
func lock(key string) (unlock func(), err error) {
	name := filepath.Join(filepath.Dir(key), "."+filepath.Base(key)+".lock")
	for end := time.Now().Add(lockTime); ; time.Sleep(lockEvery) {
		unlock, err = tryLock(name)
		if err == nil {
			return unlock, nil
		}
		if !errors.Is(err, errLocked) || time.Now().After(end) {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
	}
}
