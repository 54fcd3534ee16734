package hmac

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/shield"
)

const nonceBytes = 16

// signer is the caller's half. Settings: "algorithm", "digest" (sha-256 or
// sha-512), and "headers", names joined by commas or semicolons that are covered
// besides Content-Type and Content-Encoding.
type signer struct {
	id        string
	algorithm algorithm
	digest    string
	headers   []string
	secret    func() []byte // a function, so that printing the signer shows no byte
	now       func() time.Time
	rand      io.Reader
}

// client makes the caller's half, which is safe for concurrent use if the
// credential's Rand is.
func client(c shield.Credential) (shield.Signer, error) {
	s := &signer{id: c.ID, digest: c.Settings["digest"], now: c.Now, rand: c.Rand}
	if !isWord(c.ID, 1, maxID) {
		return nil, fmt.Errorf("the key's id %q is not 1 to %d of A-Z a-z 0-9 - _", c.ID, maxID)
	}
	if len(c.Secret) < minSecret {
		return nil, fmt.Errorf("the secret of key %s has %d characters; a secret has at least %d", c.ID, len(c.Secret), minSecret)
	}
	if hasForm(c.Secret) { // others cannot be checked
		if _, err := idIn(c.Secret); err != nil {
			return nil, fmt.Errorf("the secret of key %s: %w; copy it again, or make a new one (pavise key rotate)", c.ID, err)
		}
	}
	secret := []byte(c.Secret)
	s.secret = func() []byte { return secret }
	name := c.Settings["algorithm"]
	if name == "" {
		name = sha256Name
	}
	var ok bool
	if s.algorithm, ok = algorithmOf(name); !ok {
		return nil, fmt.Errorf("algorithm %q: want %s or %s", name, sha256Name, sha512Name)
	}
	if _, err := digestField(s.digest, nil); err != nil {
		return nil, err
	}
	for field := range strings.FieldsFuncSeq(c.Settings["headers"], func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
		field = strings.ToLower(field)
		if err := checkName(field); err != nil {
			return nil, fmt.Errorf("header %q %w", field, err)
		}
		s.headers = append(s.headers, field)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	return s, nil
}

// Sign sets Content-Digest and Authorization. It reads the whole body into
// memory, at most 64 MiB, and leaves it readable. Every header that is covered
// must be set before.
func (s *signer) Sign(r *http.Request) error {
	p, err := s.parts(r)
	if err != nil {
		return err
	}
	r.Header.Set(digestHeader, p.digest)
	p.signature = p.sum(s.secret())
	r.Header.Set("Authorization", p.authorization())
	return nil
}

// Canonical returns the bytes that are signed: those of the signature that the
// request carries, or else those that Sign would sign now (with a nonce of its
// own). It leaves the request as it was but for its body, which is kept.
func (s *signer) Canonical(r *http.Request) (string, error) {
	value := r.Header.Get("Authorization")
	if value == "" || !isOurs(value) {
		p, err := s.parts(r)
		return string(p.append(nil)), err
	}
	c, err := parse(value)
	if err != nil {
		return "", fmt.Errorf("read the request's signature: %w", err)
	}
	d, err := digestOf(r.Header)
	if err != nil {
		return "", err
	}
	p, err := partsOf(r, c, d)
	return string(p.append(nil)), err
}

// parts makes what is signed, with a fresh nonce.
func (s *signer) parts(r *http.Request) (parts, error) {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if other := r.Header.Get("Authorization"); other != "" && !isOurs(other) {
		return parts{}, fmt.Errorf("header Authorization already carries another credential, and there is room for one")
	}
	if !isASCII(authorityOf(r)) {
		return parts{}, fmt.Errorf("the host name is not ASCII; write it in its xn-- form")
	}
	content, err := takeBody(r)
	if err != nil {
		return parts{}, err
	}
	field, err := digestField(s.digest, content)
	if err != nil {
		return parts{}, err
	}
	c, err := s.claim(r.Header)
	if err != nil {
		return parts{}, err
	}
	return partsOf(r, c, digest{field: field})
}

// claim says what a fresh signature covers.
func (s *signer) claim(h http.Header) (claim, error) {
	nonce := make([]byte, nonceBytes)
	if _, err := io.ReadFull(s.rand, nonce); err != nil {
		return claim{}, fmt.Errorf("make a nonce: %w", err)
	}
	c := claim{id: s.id, algorithm: s.algorithm, seconds: s.now().Unix(), nonce: base64.RawURLEncoding.EncodeToString(nonce)}
	c.timestamp = strconv.FormatInt(c.seconds, 10)
	for _, name := range bodyHeaders() {
		if len(h[name]) > 0 {
			c.headers = append(c.headers, strings.ToLower(name))
		}
	}
	for _, name := range s.headers {
		if !slices.Contains(c.headers, name) {
			c.headers = append(c.headers, name)
		}
	}
	c.list = strings.Join(c.headers, ";")
	_, err := parseList(c.list)
	return c, err
}

// takeBody reads the body and puts it back so that it can be read, and sent
// again after a redirect or a lost connection.
func takeBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	content, err := io.ReadAll(io.LimitReader(r.Body, maxMaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the body to sign it: %w", err)
	}
	if len(content) > maxMaxBody {
		return nil, fmt.Errorf("the body is longer than the %d bytes that can be signed", maxMaxBody)
	}
	if err := r.Body.Close(); err != nil {
		return nil, fmt.Errorf("close the body that was signed: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(content))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	r.ContentLength = int64(len(content))
	return content, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
