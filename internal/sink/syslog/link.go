package syslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// link is one connection. Syslog servers say nothing; a goroutine reads all the same, since
// only a read tells at once that the peer has closed.
type link struct {
	conn net.Conn // TLS, or the same as under
	raw  net.Conn // TCP
	now  func() time.Time

	mu      sync.Mutex
	lostAt  time.Time // zero: the peer is there
	why     error     // of the end
	ended   chan struct{}
	reading sync.WaitGroup
}

// grace is how long a new connection is watched before it is used: a receiver that does not
// take us, for lack of a client certificate for example, says so only after the handshake
// (TLS 1.3), and what was written by then is lost.
const grace = 100 * time.Millisecond

func newLink(conn, raw net.Conn, now func() time.Time) *link {
	l := &link{conn: conn, raw: raw, now: now, ended: make(chan struct{})}
	l.reading.Go(l.watch)
	return l
}

// watch ends when the peer closes. What it says is passed over.
func (l *link) watch() {
	_, err := io.Copy(io.Discard, l.conn) // any end is an end
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lostAt, l.why = l.now(), err
	close(l.ended)
}

// stays waits for a moment whether the peer keeps the connection.
func (l *link) stays(ctx context.Context) error {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ended:
		if l.why != nil {
			return fmt.Errorf("the receiver refuses the connection: %w", l.why)
		}
		return errors.New("the receiver closes the connection at once")
	}
}

// gone reports whether the peer has closed the connection, and when.
func (l *link) gone() (bool, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.lostAt.IsZero(), l.lostAt
}

// write hands bytes over, and waits until the other machine has acknowledged them, where
// that can be known. It ends with the context.
func (l *link) write(ctx context.Context, text []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.raw.SetDeadline(time.Unix(1, 0)) }) // wakes the write up
	defer stop()
	if _, err := l.conn.Write(text); err != nil {
		return ended(ctx, fmt.Errorf("write: %w", err))
	}
	if err := acknowledged(ctx, l.raw); err != nil {
		return ended(ctx, err)
	}
	if gone, _ := l.gone(); gone {
		return errors.New("the receiver has closed the connection")
	}
	return ctx.Err()
}

// ended says that the context has ended, where that is why.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("the receiver does not take what it is sent: %w", ctx.Err())
	}
	return err
}

// close ends the connection, and waits for its goroutine.
func (l *link) close() {
	_ = l.raw.SetDeadline(time.Now().Add(closeTime)) // for TLS's goodbye
	_ = l.conn.Close()                               // what was delivered was answered for
	_ = l.raw.Close()
	l.reading.Wait()
}

// closeTime is what a peer that does not read has for the goodbye.
const closeTime = 500 * time.Millisecond
