package client

import (
	"context"
	"crypto/rand"
	"fmt"
)

// sealedSecret is a secret of the installation's own, such as the event chain's key.
type sealedSecret struct {
	Sealed []byte `json:"sealed"`
}

// Secret returns a secret of the installation's own by its name, made of size
// random bytes when it is first asked for, and kept sealed.
func (r *Registry) Secret(ctx context.Context, name string, size int) ([]byte, error) {
	var plain []byte
	err := r.retry(func() error {
		var kept sealedSecret
		row, err := r.rows.read(ctx, tableSecret, name, &kept)
		if err != nil {
			return err
		}
		keys := r.rows.keys.Load()
		if row.Body != nil {
			if plain, err = keys.Unseal(tableSecret, name, row.Version, kept.Sealed); err == nil && len(plain) != size {
				err = fmt.Errorf("it has %d bytes, want %d: %w", len(plain), size, ErrCorrupt)
			}
			return err
		}
		plain = make([]byte, size)
		_, _ = rand.Read(plain) // never fails (crypto/rand)
		kept.Sealed = keys.Seal(tableSecret, name, row.Version+1, plain)
		return r.rows.write(ctx, entry{tableSecret, name, row.Version, kept})
	})
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	return plain, nil
}
