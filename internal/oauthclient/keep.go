package oauthclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/internal/store/lock"
)

const (
	maxKept  = 256 << 10             // bytes of the file
	keptFile = "token.json"          // in a folder of each client
	lookAt   = 20 * time.Millisecond // how often a lock is tried that somebody holds
)

// kept is what one client has, as it stands in its file.
type kept struct {
	Issuer  string            `json:"issuer"` // for people who look
	ID      string            `json:"client_id"`
	Access  string            `json:"access_token,omitempty"`
	Type    string            `json:"token_type,omitempty"`
	Refresh string            `json:"refresh_token,omitempty"`
	Scopes  []string          `json:"scopes,omitempty"`
	Got     time.Time         `json:"got,omitzero"`
	Expires time.Time         `json:"expires,omitzero"`
	Key     *jose.JSONWebKey  `json:"key,omitempty"`    // that the tokens are bound to
	Nonces  map[string]string `json:"nonces,omitempty"` // of DPoP, by origin
}

// folder is the client's own: whoever asks another server, as somebody else or for
// something else has another one.
func (c *Client) folder() string {
	s := c.settings
	certificate := ""
	if s.Certificate != nil && len(s.Certificate.Certificate) > 0 {
		sum := sha256.Sum256(s.Certificate.Certificate[0])
		certificate = hex.EncodeToString(sum[:])
	}
	text, _ := json.Marshal([]any{s.Issuer, s.ID, s.Grant, s.Scopes, s.Resources, s.DPoP, certificate}) // plain values
	sum := sha256.Sum256(text)
	return filepath.Join(s.Folder, hex.EncodeToString(sum[:16]))
}

// within holds the client's lock while f looks at what is kept and changes it. What f
// leaves is written even where f fails: a refresh token that was spent must not come back.
func (c *Client) within(ctx context.Context, f func(*kept) (*Token, error)) (*Token, error) {
	held, err := c.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = held.Close() }() // the kernel gives it back at the latest with the process
	k, err := c.load()
	if err != nil {
		return nil, err
	}
	if c.settings.DPoP && k.Key == nil {
		if k.Key, err = newKey(); err != nil {
			return nil, err
		}
	}
	if k.Key != nil {
		if err := c.hold(k.Key, k.Nonces); err != nil {
			return nil, err
		}
	}
	before, err := json.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("keep the token: %w", err)
	}
	token, err := f(k)
	return token, errors.Join(err, c.save(k, before))
}

func (c *Client) lock(ctx context.Context) (*lock.Lock, error) {
	for {
		held, err := lock.Take(c.folder())
		if !errors.Is(err, lock.ErrLocked) {
			return held, err
		}
		if wait(ctx, lookAt) != nil {
			return nil, fmt.Errorf("wait for the one who is getting this token: %w", context.Cause(ctx))
		}
	}
}

// load reads the file; where there is none, nothing is kept.
func (c *Client) load() (*kept, error) {
	name := filepath.Join(c.folder(), keptFile)
	k := &kept{Issuer: c.settings.Issuer, ID: c.settings.ID}
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the kept token: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the kept token: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the kept token in %s can be read by others (mode %o)", name, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKept+1))
	if err != nil || len(text) > maxKept {
		return nil, fmt.Errorf("read the kept token: %s cannot be read, or has more than %d bytes", name, maxKept)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if decoder.Decode(k) != nil || k.Issuer != c.settings.Issuer || k.ID != c.settings.ID { // the reason would quote it
		return nil, fmt.Errorf("%s holds no token of this client; remove the file", name)
	}
	return k, nil
}

// save replaces the file if it changed, whole or not at all.
func (c *Client) save(k *kept, before []byte) error {
	c.mu.Lock()
	if len(c.nonces) > 0 {
		k.Nonces = maps.Clone(c.nonces)
	}
	c.mu.Unlock()
	text, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("keep the token: %w", err)
	}
	name := filepath.Join(c.folder(), keptFile)
	if _, err := os.Stat(name); err == nil && bytes.Equal(text, before) {
		return nil
	}
	if err := replace(name, text); err != nil {
		return fmt.Errorf("keep the token: %w", err)
	}
	return nil
}

func replace(name string, text []byte) error {
	file, err := os.CreateTemp(filepath.Dir(name), ".token-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the first error is the one to report
	}
	return err
}

func (k *kept) token() *Token {
	return &Token{
		Access: secret.New([]byte(k.Access)), Type: k.Type, Refresh: secret.New([]byte(k.Refresh)),
		Scopes: k.Scopes, Expires: k.Expires, got: k.Got,
	}
}

func (k *kept) set(t *Token) {
	k.Access, k.Type, k.Refresh = string(t.Access.Reveal()), t.Type, string(t.Refresh.Reveal())
	k.Scopes, k.Expires, k.Got = t.Scopes, t.Expires, t.got
}

// forget leaves the key and the nonces.
func (k *kept) forget() { k.set(&Token{}) }

func readCloser(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }
