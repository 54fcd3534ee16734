//go:build !unix

package once

import (
	"errors"
	"fmt"
)

// Mapped is not to be had on this system; see [NewMemory].
type Mapped struct{ *Memory }

// Open returns an error: files cannot be mapped here in the way that survives a
// kill.
func Open(Options) (*Mapped, error) {
	return nil, fmt.Errorf("map the file of used claims: %w", errors.ErrUnsupported)
}

// Close does nothing.
func (*Mapped) Close() error { return nil }
