// Package webhook posts events to any receiver: lines of JSON, or of another form, with a
// signature over the body.
//
//	Pavise-Signature: t=1795435200,v1=HEX
//
// HEX is HMAC-SHA-256, under the shared secret, over the time t (Unix, as it stands there), a
// full stop, and the body as it was sent. [Verify] checks it; docs/guide/siem.md shows how to
// without Go.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/post"
)

// Names of headers.
const (
	SignatureHeader = "Pavise-Signature"
	EventsHeader    = "Pavise-Events" // numbers of the first and the last event: 17-42
)

// Settings of a destination.
type Settings struct {
	HTTP     *http.Client
	URL      string
	Secret   post.Secret // of signatures; nil: none
	Token    post.Secret // a bearer token; nil: none
	Form     form.Form
	Type     string // Content-Type
	MaxBody  int
	Compress bool
	Now      func() time.Time
}

// New returns a destination.
func New(s Settings) (*post.Destination, error) {
	return post.New(post.Settings{
		HTTP: s.HTTP, URL: s.URL, MaxBody: s.MaxBody, Compress: s.Compress, Type: s.Type, Dress: s.dress,
		Append: func(dst []byte, f audit.Found) []byte { return append(s.Form(dst, f), '\n') },
	})
}

func (s *Settings) dress(h http.Header, body []byte, events []audit.Found) error {
	h.Set(EventsHeader, strconv.FormatUint(events[0].Seq, 10)+"-"+strconv.FormatUint(events[len(events)-1].Seq, 10))
	if s.Token != nil {
		token, err := s.Token()
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		h.Set("Authorization", "Bearer "+string(token.Reveal()))
	}
	if s.Secret == nil {
		return nil
	}
	key, err := s.Secret()
	if err != nil {
		return fmt.Errorf("read the secret of signatures: %w", err)
	}
	h.Set(SignatureHeader, Signature(key.Reveal(), body, s.Now()))
	return nil
}

// Signature is the value of [SignatureHeader] for a body that is sent now.
func Signature(key, body []byte, now time.Time) string {
	at := strconv.FormatInt(now.Unix(), 10)
	return "t=" + at + ",v1=" + hex.EncodeToString(sign(key, at, body))
}

func sign(key []byte, at string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(at + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// Verify checks a signature as a receiver should: the newest that it takes is now plus, and
// the oldest now minus the tolerance. Of several v1, as while a secret is replaced, one must
// match.
func Verify(header string, body, key []byte, now time.Time, tolerance time.Duration) error {
	var at string
	var sums [][]byte
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "t":
			if at != "" {
				return errors.New("the signature has two times")
			}
			at = value
		case "v1":
			sum, err := hex.DecodeString(value)
			if err != nil {
				return errors.New("the signature is no hexadecimal number")
			}
			sums = append(sums, sum)
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || strconv.FormatInt(seconds, 10) != at {
		return errors.New("the signature has no time")
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return errors.New("the signature is too old, or of the future")
	}
	want := sign(key, at, body)
	for _, sum := range sums {
		if hmac.Equal(sum, want) {
			return nil
		}
	}
	return errors.New("the signature does not match")
}
