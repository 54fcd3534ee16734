// Package post sends events as bodies of HTTP requests: what all receivers behind HTTP have in
// common. Each kind says how an event is written, what is added to a request, and what an
// answer means.
//
//	2xx                 the receiver has them
//	400, 413, 422       it will never take this body: the feed divides it, down to one event
//	anything else       it is tried again; Retry-After is heeded
//
// Redirects are not followed. No error holds a path or a query, which some receivers use as a
// password, or what the receiver said, which may quote an event.
package post

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/internal/sink"
)

// Secret reads a password or key, each time it is used: it may be replaced meanwhile.
type Secret func() (secret.Value, error)

// Settings of a [Destination].
type Settings struct {
	HTTP     *http.Client // bounded, and follows no redirect
	URL      string
	MaxBody  int // bytes of a body, before it is compressed; 0: 1 MiB
	Compress bool
	Type     string // Content-Type

	Append func(dst []byte, f audit.Found) []byte                  // one event
	Wrap   func(dst, events []byte) []byte                         // the body around them; nil: nothing
	Dress  func(h http.Header, body []byte, e []audit.Found) error // credentials, signatures; nil: none
	Judge  func(status int, answer []byte) error                   // what a 2xx or 400 means; nil: what it says
}

const (
	defaultBody = 1 << 20
	maxAnswer   = 4 << 20
)

// Destination implements sink.Destination.
type Destination struct {
	s      Settings
	shown  string // scheme and host
	events []byte // reused
	body   []byte // reused
	zipped bytes.Buffer
}

// New returns a destination.
func New(s Settings) (*Destination, error) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("the address of a receiver is https://host/path, without a user")
	}
	if s.MaxBody == 0 {
		s.MaxBody = defaultBody
	}
	return &Destination{s: s, shown: u.Scheme + "://" + u.Host}, nil
}

// Send implements sink.Destination. More than fit into one body go in several; if one of
// these fails, all are sent again.
func (d *Destination) Send(ctx context.Context, events []audit.Found) error {
	d.events = d.events[:0]
	from := 0
	for i, e := range events {
		before := len(d.events)
		d.events = d.s.Append(d.events, e)
		if len(d.events) <= d.s.MaxBody || i == from {
			continue
		}
		if err := d.post(ctx, d.events[:before], events[from:i]); err != nil {
			return err
		}
		d.events = append(d.events[:0], d.events[before:]...)
		from = i
	}
	return d.post(ctx, d.events, events[from:])
}

func (d *Destination) post(ctx context.Context, text []byte, events []audit.Found) error {
	if len(events) == 0 {
		return nil
	}
	body := text
	if d.s.Wrap != nil {
		d.body = d.s.Wrap(d.body[:0], text)
		body = d.body
	}
	return d.exchange(ctx, body, events)
}

// Post sends a body that is ready, as [Destination.Send] does: for what is not made of events.
func (d *Destination) Post(ctx context.Context, body []byte) error { return d.exchange(ctx, body, nil) }

func (d *Destination) exchange(ctx context.Context, body []byte, events []audit.Found) error {
	r, err := d.request(ctx, body, events)
	if err != nil {
		return fmt.Errorf("POST %s: %w", d.shown, err)
	}
	answer, err := d.s.HTTP.Do(r)
	if err != nil {
		return fmt.Errorf("POST %s: %w", d.shown, d.bare(err))
	}
	defer func() { _ = answer.Body.Close() }() // it was read, or is of no use
	said, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("POST %s: read the answer: %w", d.shown, d.bare(err))
	}
	if err := d.judge(answer, said); err != nil {
		if _, final := errors.AsType[*sink.Rejection](err); final {
			return err
		}
		return later(answer.Header, fmt.Errorf("POST %s: %w", d.shown, err))
	}
	return nil
}

func (d *Destination) request(ctx context.Context, body []byte, events []audit.Found) (*http.Request, error) {
	if d.s.Compress {
		d.zipped.Reset()
		z := gzip.NewWriter(&d.zipped)
		if _, err := z.Write(body); err != nil {
			return nil, fmt.Errorf("compress: %w", err)
		}
		if err := z.Close(); err != nil {
			return nil, fmt.Errorf("compress: %w", err)
		}
		body = d.zipped.Bytes()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.s.URL, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("its address cannot be used") // the error would quote it
	}
	r.Header.Set("Content-Type", d.s.Type)
	r.Header["Idempotency-Key"] = nil // not sent; a kept connection that has ended meanwhile is no failure
	if d.s.Compress {
		r.Header.Set("Content-Encoding", "gzip")
	}
	if d.s.Dress != nil {
		if err := d.s.Dress(r.Header, body, events); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (d *Destination) judge(answer *http.Response, said []byte) error {
	status := answer.StatusCode
	if d.s.Judge != nil && (status/100 == 2 || status == http.StatusBadRequest) {
		return d.s.Judge(status, said)
	}
	return ByStatus(status)
}

// ByStatus is what a status means by itself.
func ByStatus(status int) error {
	switch {
	case status/100 == 2:
		return nil
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		return sink.Reject("%s", statusText(status))
	}
	return errors.New("it answers " + statusText(status))
}

func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// later heeds Retry-After in seconds; dates are passed over.
func later(h http.Header, err error) error {
	seconds, fault := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if fault != nil {
		return err
	}
	return &sink.Later{Err: err, After: time.Duration(seconds) * time.Second}
}

// bare takes layers off an error until it shows neither path nor query.
func (d *Destination) bare(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	path := strings.TrimPrefix(d.s.URL, d.shown)
	for len(path) > 1 && strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "fetch http") {
		inner := errors.Unwrap(err)
		if inner == nil {
			return errors.New("it cannot be reached")
		}
		err = inner
	}
	return err
}

// Close implements sink.Destination.
func (d *Destination) Close() error {
	d.s.HTTP.CloseIdleConnections()
	return nil
}
