package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// checkpointsName is the file of checkpoints: signed notes, one behind the other, of
// seven lines each.
const (
	checkpointsName = "checkpoints.txt"
	noteLines       = 7
)

// Checkpoints returns the checkpoints of a log, oldest first, to keep them
// elsewhere. A last one that is not finished is left out; anything else that is no
// checkpoint is a [Fault]. Signatures are not looked at.
func Checkpoints(dir string) ([]Checkpoint, error) {
	points, _, err := readCheckpoints(dir)
	return points, err
}

// readCheckpoints also returns how long the whole ones are.
func readCheckpoints(dir string) (points []Checkpoint, size int64, err error) {
	text, err := os.ReadFile(filepath.Join(dir, checkpointsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the checkpoints: %w", err)
	}
	for rest, number := text, 1; ; number += noteLines {
		note, behind, whole := cutNote(rest)
		if !whole {
			if len(note) > maxNote {
				return nil, 0, &Fault{checkpointsName, number, 0, "it is no checkpoint"}
			}
			return points, size, nil
		}
		var point Checkpoint
		if err := point.UnmarshalText(note); err != nil {
			return nil, 0, &Fault{checkpointsName, number, 0, "it is no checkpoint: " + err.Error()}
		}
		points, size, rest = append(points, point), size+int64(len(note)), behind
	}
}

// cutNote cuts seven lines off the front of a text.
func cutNote(text []byte) (note, rest []byte, whole bool) {
	at := 0
	for range noteLines {
		n := bytes.IndexByte(text[at:], '\n')
		if n < 0 {
			return text, nil, false
		}
		at += n + 1
	}
	return text[:at:at], text[at:], true
}

// AppendCheckpoint makes a checkpoint durable behind those of a folder, of a log or
// of another place where its checkpoints are kept. One writer at a time.
func AppendCheckpoint(dir string, point Checkpoint) error {
	text, err := point.MarshalText()
	if err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, checkpointsName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	at, err := wholeEnd(file)
	if err == nil {
		if _, err = file.WriteAt(text, at); err != nil {
			err = errors.Join(err, file.Truncate(at)) // half a checkpoint would spoil the next
		}
	}
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	return nil
}

// wholeEnd is where the last whole checkpoint ends. What a process that died left of one
// behind it is cut off.
func wholeEnd(file *os.File) (int64, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return 0, err
	}
	from := max(0, size-2*maxNote)
	text, err := io.ReadAll(io.NewSectionReader(file, from, size-from))
	if err != nil {
		return 0, err
	}
	mark := bytes.LastIndex(text, []byte("\n"+signatureMark))
	if mark >= 0 && bytes.IndexByte(text[mark+1:], '\n') < 0 { // a signature that is not finished
		mark = bytes.LastIndex(text[:mark], []byte("\n"+signatureMark))
	}
	end := from
	if mark >= 0 {
		end += int64(mark + 1 + bytes.IndexByte(text[mark+1:], '\n') + 1)
	} else if from > 0 {
		return 0, errors.New("what is there are no checkpoints; move it away")
	}
	if end < size {
		err = file.Truncate(end)
	}
	return end, err
}

// keepCheckpoints replaces the file by some of its checkpoints, in one step.
func keepCheckpoints(dir string, points []Checkpoint) error {
	var text []byte
	for _, point := range points {
		note, err := point.MarshalText()
		if err != nil {
			return fmt.Errorf("thin out the checkpoints: %w", err)
		}
		text = append(text, note...)
	}
	name := filepath.Join(dir, checkpointsName)
	if err := replaceFile(name, text); err != nil {
		return fmt.Errorf("thin out the checkpoints: %w", err)
	}
	return nil
}

// replaceFile puts a text in the place of a file, durably and in one step.
func replaceFile(name string, text []byte) error {
	if err := writeFile(name+".new", text); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// writeFile writes a file durably, in the place of what is there.
func writeFile(name string, text []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}
