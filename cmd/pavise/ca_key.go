package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/secret"
)

// readRootKey reads the key of a root that is kept elsewhere. One that others can read is
// refused, as everywhere: whoever has it is the authority.
func readRootKey(name string) (key admin.PrivateKey, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return key, fmt.Errorf("read the root's key: %w", err)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return key, &usageError{
			fmt.Sprintf("the root's key %s can be read or written by others (mode %04o)", name, info.Mode().Perm()),
			"run chmod 600 on it; if they are strangers, make the next root with `pavise ca rotate --root --compromised`",
		}
	}
	if info.Size() > maxKeyFile {
		return key, &usageError{fmt.Sprintf("%s has %d bytes: that is no key", name, info.Size()), "give the file that `pavise ca init --root-key` wrote"}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return key, fmt.Errorf("read the root's key: %w", err)
	}
	return admin.PrivateKey{Value: secret.New(text)}, nil
}

// withKeyElsewhere makes the key of a root, saves it, and only then has the root made: so
// whatever goes wrong on the way, the one copy that there is lies in its file. A key for
// which nothing was made is removed again.
func withKeyElsewhere(ctx context.Context, command *cobra.Command, a *admin.Client, name, algorithm string, do func(admin.PrivateKey) (admin.Authority, error)) (admin.Authority, error) {
	if name == "" {
		return do(admin.PrivateKey{})
	}
	key, err := pki.NewKey(algorithm, rand.Reader)
	if err != nil {
		return admin.Authority{}, err
	}
	if err := writeKey(name, key.Reveal()); err != nil {
		return admin.Authority{}, err
	}
	said := fmt.Sprintf("the root's key is in %s and nowhere else: keep it where no network reaches it\n", printable(name))
	made, err := do(admin.PrivateKey{Value: key})
	if err == nil {
		_, _ = fmt.Fprint(command.ErrOrStderr(), said)
		return made, nil
	}
	switch there, known := isMade(context.WithoutCancel(ctx), a, key); {
	case there:
		_, _ = fmt.Fprint(command.ErrOrStderr(), said)
		return made, fmt.Errorf("the root was made, but: %w", err)
	case known:
		return made, errors.Join(err, os.Remove(name))
	}
	return made, fmt.Errorf("%w; it is not known whether the root was made: keep %s until `pavise ca show` says so", err, name)
}

// isMade reports whether the authority has the root of a key, and whether that is known.
func isMade(ctx context.Context, a *admin.Client, key secret.Value) (there, known bool) {
	shown, err := a.Authority(ctx)
	if p, ok := errors.AsType[*admin.Problem](err); ok && p.Code == "no_authority" {
		return false, true
	}
	block, _ := pem.Decode(key.Reveal())
	if err != nil || block == nil {
		return false, false
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return false, false
	}
	for _, m := range shown.Members {
		block, _ := pem.Decode([]byte(m.Certificate))
		if block == nil {
			return false, false
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return false, false
		}
		if pki.IsKeyOf(c, private) {
			return true, true
		}
	}
	return false, true
}

// writeKey writes a file that is not there yet, readable by its owner alone, so that it
// survives the loss of power.
func writeKey(name string, text []byte) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &usageError{name + " is there already, and is not overwritten", "name a file that is not there"}
	}
	if err != nil {
		return fmt.Errorf("the root's key cannot be written: %w", err)
	}
	_, err = bytes.NewReader(text).WriteTo(file)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = syncFolder(filepath.Dir(name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("the root's key cannot be written: %w", err), os.Remove(name)) // nothing was signed with it
	}
	return nil
}

func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
