package certfile

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"pavise.dev/pavise/internal/pki/renewed"
)

// Kept is a certificate that lies in files and renews itself. What cannot be written is
// held in memory, used from there, and written later. Its methods are called by one
// goroutine; its certificate may be had by many.
type Kept struct {
	*renewed.Certificate
	Files Files

	now     func() time.Time
	unsaved bool          // the newest could not be written yet
	tries   renewed.Pause // of writing
}

// NewKept returns a certificate for files that may not be there yet: call [Kept.Load] or
// [Kept.Keep].
func NewKept(f Files, o renewed.Options) *Kept {
	return &Kept{Certificate: renewed.New(o), Files: f, now: o.Now}
}

// Load takes the certificate that the files hold.
func (k *Kept) Load() error {
	current, err := k.Files.Load()
	if err != nil {
		return err
	}
	k.Use(current)
	return nil
}

// Keep renews the certificate if it is due, and reports whether the files hold a new one.
// After a failure it does nothing until the next try is due.
func (k *Kept) Keep(ctx context.Context) (saved bool, err error) {
	changed, err := k.Certificate.Keep(ctx)
	if err != nil {
		return false, err
	}
	k.unsaved = k.unsaved || changed
	now := k.now()
	if !k.unsaved || !k.tries.IsOver(now) {
		return false, nil
	}
	if err := k.save(); err != nil {
		return false, fmt.Errorf("%w; it is tried again in %s", err, k.tries.Failed(now))
	}
	return true, nil
}

// Renew renews the certificate at once, due or not, and writes it.
func (k *Kept) Renew(ctx context.Context) error {
	if err := k.Certificate.Renew(ctx); err != nil {
		return err
	}
	k.unsaved = true
	return k.save()
}

// save writes the newest certificate.
func (k *Kept) save() error {
	next, err := k.Get()
	if err != nil {
		return err
	}
	if err := k.write(next); err != nil {
		return err
	}
	k.unsaved, k.tries = false, renewed.Pause{}
	return nil
}

func (k *Kept) write(next *tls.Certificate) error {
	key, ok := next.PrivateKey.(crypto.Signer)
	if !ok {
		return fmt.Errorf("a %T cannot be saved", next.PrivateKey)
	}
	var chain []*x509.Certificate
	for _, der := range next.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		chain = append(chain, c)
	}
	return k.Files.Save(chain, key)
}

// Writable returns why the files could not be written, so that it is known before a token
// is spent on what they are to hold.
func (f Files) Writable() error {
	var faults []error
	for _, folder := range []string{filepath.Dir(f.Key), filepath.Dir(f.Chain)} {
		probe, err := os.CreateTemp(folder, ".writable-*")
		if err != nil {
			return fmt.Errorf("the certificate could not be kept in %s: %w", folder, err)
		}
		faults = append(faults, probe.Close(), os.Remove(probe.Name()))
	}
	return errors.Join(faults...)
}
