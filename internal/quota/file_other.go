//go:build !unix

package quota

import (
	"errors"
	"fmt"

	"pavise.dev/pavise/limit"
)

// File is not to be had on this system; see [limit.NewMemoryQuotas].
type File struct{ *limit.MemoryQuotas }

// Open returns an error: files cannot be mapped here in the way that survives a kill.
func Open(Options) (*File, error) {
	return nil, fmt.Errorf("map the file of quotas: %w", errors.ErrUnsupported)
}

// List returns nothing.
func (*File) List() ([]Use, error) { return nil, nil }

// Reset does nothing.
func (*File) Reset(func(string) bool) (int, error) { return 0, nil }

// Close does nothing.
func (*File) Close() error { return nil }
