package certfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace writes a file in one step that survives the loss of power. One that is there keeps
// its owner, group and mode; a new one has the mode that is given. A link is followed, so
// that it goes on pointing to where it does, unless another user could have made it.
func Replace(name string, text []byte, mode fs.FileMode) error {
	return replace(name, text, mode, 0o777)
}

// Note replaces a file that only we write and that everybody may read. A link of its name is
// replaced itself: whoever may write beside it cannot make it lead elsewhere.
func Note(name string, text []byte) error {
	at, err := place(name)
	if err != nil {
		return err
	}
	next, err := stageAt(at, text, 0o644, 0o777)
	if err != nil {
		return err
	}
	defer next.drop()
	return next.place()
}

func replace(name string, text []byte, mode, most fs.FileMode) error {
	next, err := stage(name, text, mode, most)
	if err != nil {
		return err
	}
	defer next.drop()
	return next.place()
}

// staged is a file that is written whole beside its place.
type staged struct{ name, temporary string }

// stage writes a file beside the place to which its name leads.
func stage(name string, text []byte, mode, most fs.FileMode) (*staged, error) {
	to, err := target(name)
	if err != nil {
		return nil, err
	}
	return stageAt(to, text, mode, most)
}

// stageAt writes a file beside its place. It keeps the mode of the file that is there, unless
// that has more than it may have at most: nobody meant that.
func stageAt(name string, text []byte, mode, most fs.FileMode) (*staged, error) {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	s := &staged{name, file.Name()}
	if before, also := os.Lstat(name); also == nil && before.Mode().IsRegular() {
		if perm := before.Mode().Perm(); perm&^most == 0 {
			mode = perm
		}
		if own(file, before) != nil && most == keyMode {
			mode &^= 0o040 // its group is not the one that was meant
		}
	}
	_, fault := file.Write(text)
	if err = errors.Join(err, fault, file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		s.drop()
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return s, nil
}

// place puts the file in its place.
func (s *staged) place() error {
	if err := os.Rename(s.temporary, s.name); err != nil {
		return fmt.Errorf("write %s: %w", s.name, err)
	}
	s.temporary = ""
	if err := syncFolder(filepath.Dir(s.name)); err != nil {
		return fmt.Errorf("write %s: %w", s.name, err)
	}
	return nil
}

// drop removes what was not put in its place: nobody knows of it.
func (s *staged) drop() {
	if s.temporary != "" {
		_ = os.Remove(s.temporary)
	}
}

func syncFolder(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
