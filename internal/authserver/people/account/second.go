package account

import (
	"context"
	"fmt"
	"io"
)

// TOTPSecret returns a new secret for an authenticator app.
func (s *Store) TOTPSecret() ([]byte, error) {
	secret := make([]byte, totpBytes)
	if _, err := io.ReadFull(s.random, secret); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	return secret, nil
}

// TOTPKey returns a secret as people type it, and as apps read it from a picture or a
// link.
func (s *Store) TOTPKey(login string, secret []byte) (text, uri string) {
	return secretText(secret), keyURI(s.issuer, login, secret)
}

// SetTOTP gives an account an authenticator app, in place of the one that it had, after a
// code of it was typed; [ErrWrong] if that is wrong. The recovery codes are new, too, and
// are returned this once.
func (s *Store) SetTOTP(ctx context.Context, subject string, secret []byte, typed string) (codes []string, err error) {
	app := &totp{Secret: secret, Since: s.now().UTC()}
	step, ok := app.match(typedCode(typed), s.now())
	if len(secret) != totpBytes || !ok {
		return nil, ErrWrong
	}
	app.Last = step
	codes, names, err := s.newCodes(subject)
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, subject, func(k *kept) error {
		k.TOTP, k.Recovery = app, names
		k.Stamp++
		return nil
	})
	return codes, err
}

// newCodes returns recovery codes, and under what they are kept: their keyed hashes.
func (s *Store) newCodes(subject string) (codes, names []string, err error) {
	for range recoveryCodes {
		code, err := s.token(recoveryBytes)
		if err != nil {
			return nil, nil, err
		}
		names = append(names, s.records.Name([]byte("recovery "+subject+" "+code)))
		codes = append(codes, code[:4]+"-"+code[4:8]+"-"+code[8:12]+"-"+code[12:])
	}
	return codes, names, nil
}
