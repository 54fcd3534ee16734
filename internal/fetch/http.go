package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// HTTP returns a client for libraries that ask for one, under the rules of c: https and
// judged addresses only, no redirect, no compression, at most limit bytes of an answer, a
// bounded number of requests under way, and no longer than c's time for all of it. Answers
// with a status other than 200 are handed on, so that a library can read their error.
func (c *Client) HTTP(limit int64) *http.Client {
	return &http.Client{
		Transport:     &roundTripper{c, limit},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("no redirect is followed") },
		Timeout:       c.timeout,
	}
}

type roundTripper struct {
	client *Client
	limit  int64
}

// RoundTrip implements http.RoundTripper.
func (t *roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	c, address := t.client, r.URL.String()
	if _, err := c.check(address); err != nil {
		return nil, fmt.Errorf("fetch %s: %w", Printable(address), err)
	}
	select {
	case c.turns <- struct{}{}:
	case <-r.Context().Done():
		return nil, fmt.Errorf("fetch %s: wait for a turn: %w", Printable(address), context.Cause(r.Context()))
	}
	done := sync.OnceFunc(func() { <-c.turns })
	next := r.Clone(r.Context())
	next.Header.Set("Accept-Encoding", "identity")
	next.Header.Set("User-Agent", "pavise")
	answer, err := c.transport.RoundTrip(next)
	if err != nil {
		done()
		return nil, fmt.Errorf("fetch %s: %w", Printable(address), err)
	}
	if err := t.judge(answer); err != nil {
		_ = answer.Body.Close() // it is refused, whatever comes
		done()
		return nil, fmt.Errorf("fetch %s: %w", Printable(address), err)
	}
	answer.Body = &boundedBody{answer.Body, t.limit, done}
	return answer, nil
}

// CloseIdleConnections is called by the method of the same name of an http.Client.
func (t *roundTripper) CloseIdleConnections() { t.client.transport.CloseIdleConnections() }

func (t *roundTripper) judge(answer *http.Response) error {
	switch coding := answer.Header.Get("Content-Encoding"); {
	case answer.StatusCode >= 300 && answer.StatusCode < 400:
		return &StatusError{Status: answer.StatusCode}
	case coding != "" && !strings.EqualFold(coding, "identity"):
		return errors.New("the answer is compressed although identity was asked for")
	case answer.ContentLength > t.limit:
		return fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrTooLong, answer.ContentLength, t.limit)
	}
	return nil
}

// boundedBody ends with an error where more comes than is read.
type boundedBody struct {
	io.ReadCloser
	left int64
	done func()
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		return int(b.left), ErrTooLong
	}
	b.left -= int64(n)
	return n, err
}

func (b *boundedBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}
