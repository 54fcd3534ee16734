//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package audit

import (
	"errors"
	"os"
)

// Elsewhere the package compiles, for its Event, Sink and readers; a [Log] cannot
// be opened.
var errNoMapping = errors.New("the event log needs Linux, macOS or a BSD")

func mapFile(*os.File, int) ([]byte, error) { return nil, errNoMapping }
func unmap([]byte) error                    { return nil }
func reserve(*os.File, int64) error         { return errNoMapping }
func lockFolder(string) (*os.File, error)   { return nil, errNoMapping }
func syncFolder(string) error               { return nil }
