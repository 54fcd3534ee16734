package app

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/tlsconf"
	"pavise.dev/pavise/shield"
)

// Check finds what a configuration that was read would be refused for at the start:
// conditions that do not compile, shields that cannot be told apart, endpoints that
// the guard does not take, certificates that are over. Nothing is opened, listened to,
// fetched or written.
func Check(f *config.File) error {
	a, policy, err := unopened(f)
	if err == nil {
		_, err = pavise.New(policy)
	}
	_, planned := a.planOf(f)
	return errors.Join(err, planned, checkCertificates(f, a.now()))
}

// unopened is an installation of which nothing is opened, with the policy that it would
// have.
func unopened(f *config.File) (a *App, p pavise.Policy, err error) { return unopenedAt(f, time.Now) }

// unopenedAt is unopened with another clock.
func unopenedAt(f *config.File, now clock) (a *App, p pavise.Policy, err error) {
	a = &App{now: now, rand: rand.Reader, library: true, sink: &audit.Memory{}, lookup: nobody{}, revoked: nobody{}, once: nobody{}}
	if err = a.openLimits(f); err != nil {
		return a, p, err
	}
	g := &generation{file: f, files: &files{dir: f.Dir}, trusts: named{func() *config.File { return f }}, now: now}
	p, err = a.policy(f, g)
	return a, p, err
}

func checkCertificates(f *config.File, now time.Time) error {
	var faults []error
	for name, host := range f.Hosts {
		if c := host.Certificate; c.Source == "files" {
			if _, err := tlsconf.OpenPair(f.Abs(c.Cert), f.Abs(c.Key), now); err != nil {
				faults = append(faults, fmt.Errorf("host %s: %w", name, err))
			}
		}
	}
	return errors.Join(faults...)
}

// nobody knows no credential, no token, no key, and no claim that was used.
type nobody struct{}

func (nobody) Credential(string, string) (*shield.Record, error) { return nil, shield.ErrUnknown }

func (nobody) Holder(string, []byte) (*shield.Record, error) { return nil, shield.ErrUnknown }

func (nobody) Token(string, string, string, time.Time) (bool, error) { return false, nil }

func (nobody) Generation() uint64 { return 0 }

func (nobody) Consume(context.Context, []shield.Once) error { return nil }

func (nobody) Introspect(context.Context, string) (map[string]any, error) {
	return nil, shield.ErrInactive
}

func (nobody) Key(context.Context, string, string) (crypto.PublicKey, error) {
	return nil, shield.Refuse(shield.InvalidCredential, "nobody's keys are known here")
}

// WantsAuthority reports whether a configuration needs the certificate authority: the start
// is refused until there is one.
func WantsAuthority(f *config.File) bool {
	for _, host := range f.Hosts {
		if host.Certificate.Source == "own" {
			return true
		}
	}
	a, _, err := unopened(f)
	return err == nil && a.asked || wantsOwn(f, "")
}

// asked is the authority of an installation of which nothing is opened. It notes that a
// shield trusts it.
type asked struct {
	nobody
	app *App
}

// Issuers implements shield.Authority.
func (a asked) Issuers() ([]byte, error) {
	a.app.asked = true
	return nil, nil
}

// IsNew reports whether nothing was kept yet by a configuration's installation: then there
// is no certificate authority either.
func IsNew(f *config.File) bool {
	_, err := os.Stat(filepath.Join(f.State.Folder, storeFile))
	return errors.Is(err, fs.ErrNotExist)
}
