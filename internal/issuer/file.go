package issuer

import (
	"errors"
	"fmt"
	"strings"
)

// newFile returns a keyring with the keys of a file, which follows its changes. A
// change that cannot be read leaves the old keys in force.
//
// A key that would be left out of a fetched set with a warning is an error here:
// whoever wrote the file can mend it.
func newFile(env Env, s Settings) (*Keyring, error) {
	if env.Files == nil {
		return nil, errors.New("its keys are in a file, but nothing was given to read files with")
	}
	ring := &Keyring{}
	load := func() error {
		document, err := env.Files.Read(s.JWKS)
		if err != nil {
			return fmt.Errorf("read its keys: %w", err)
		}
		keys, warnings, err := ParseKeys(document, s.Algorithms)
		if err != nil {
			return fmt.Errorf("keys in %s: %w", s.JWKS, err)
		}
		if len(warnings) > 0 {
			return fmt.Errorf("keys in %s: %s", s.JWKS, strings.Join(warnings, "; "))
		}
		return ring.Replace(keys)
	}
	if err := load(); err != nil {
		return nil, err
	}
	env.Files.Watch(s.JWKS, func() {
		if err := load(); err != nil {
			env.Warn(s.Name, err.Error()+"; the old keys stay in force")
		}
	})
	return ring, nil
}
