// Package syslog sends events by syslog: messages of RFC 5424, framed by octet counting
// (RFC 6587 §3.4.1), over TCP or over TLS (RFC 5425).
//
//	syslog.go    what is sent again when a connection is gone
//	link.go      one connection, and whether its peer is still there
//	message.go   how an event is written
//
// Over TLS the server's certificate is verified, and nothing is ever sent without TLS
// instead. Syslog has no acknowledgements. What was handed to a connection counts as
// delivered when the other machine has acknowledged the bytes (on Linux; elsewhere when they
// are on their way). A receiver that dies can take with it what it had not read by then. So
// what was sent within the last minute before a connection broke, up to 4 MiB, is sent again
// over the next one: events may arrive twice, with the same id.
package syslog

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink/form"
)

// Settings of a [Destination].
type Settings struct {
	Address  string                      // tls://host:6514 or tcp://host:601
	TLS      func() (*tls.Config, error) // asked before each connection, so that renewed files are read; nil: the system's CAs
	Form     form.Form
	Facility int    // RFC 5424 §6.2.1
	Node     string // HOSTNAME
	PID      int    // PROCID
	Now      func() time.Time
}

// Bounds of what is kept to be sent again.
const (
	keepFor   = time.Minute
	keepBytes = 4 << 20
)

// Destination implements sink.Destination and sink.Settler.
type Destination struct {
	s       Settings
	isTLS   bool
	host    string // with its port
	head    header
	link    *link  // nil: there is no connection
	recent  []sent // over the connection that is, or was last; oldest first
	pending bool   // that connection is gone: recent must be sent again
	text    []byte // reused for one event
	usual   int    // bytes to have ready for a batch
}

// sent is a batch with when it was handed over.
type sent struct {
	text []byte
	at   time.Time
}

// New returns a destination. It connects with the first batch.
func New(s Settings) (*Destination, error) {
	u, err := url.Parse(s.Address)
	if err != nil || u.Host == "" || u.Port() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("syslog: %q is no address: want tls://host:port or tcp://host:port", s.Address)
	}
	if u.Scheme != "tls" && u.Scheme != "tcp" {
		return nil, fmt.Errorf("syslog: %q: want tls or tcp, not %q", s.Address, u.Scheme)
	}
	if s.TLS == nil {
		s.TLS = func() (*tls.Config, error) { return &tls.Config{}, nil }
	}
	return &Destination{s: s, isTLS: u.Scheme == "tls", host: u.Host, head: newHeader(s)}, nil
}

// Send implements sink.Destination.
func (d *Destination) Send(ctx context.Context, events []audit.Found) error {
	if err := d.Settle(ctx); err != nil {
		return err
	}
	batch := make([]byte, 0, d.usual)
	for _, e := range events {
		batch = d.appendFrame(batch, e)
	}
	if err := d.write(ctx, batch); err != nil {
		return err
	}
	d.usual = len(batch) + len(batch)/8
	d.keep(sent{batch, d.s.Now()})
	return nil
}

// Settle implements sink.Settler: if the last connection is gone, what it may have lost is
// sent over a new one.
func (d *Destination) Settle(ctx context.Context) error {
	if d.link != nil {
		if gone, at := d.link.gone(); gone {
			d.drop(at)
		}
	}
	if !d.pending {
		return nil
	}
	for _, batch := range d.recent {
		if err := d.write(ctx, batch.text); err != nil {
			return err
		}
	}
	d.pending = false
	for i := range d.recent {
		d.recent[i].at = d.s.Now()
	}
	return nil
}

// write hands bytes to the connection, making one if there is none.
func (d *Destination) write(ctx context.Context, text []byte) error {
	if d.link == nil {
		l, err := d.connect(ctx)
		if err != nil {
			return fmt.Errorf("syslog %s: %w", d.s.Address, err)
		}
		if err := l.stays(ctx); err != nil {
			l.close()
			return fmt.Errorf("syslog %s: %w", d.s.Address, err)
		}
		d.link = l
	}
	if err := d.link.write(ctx, text); err != nil {
		d.drop(d.s.Now())
		return fmt.Errorf("syslog %s: %w", d.s.Address, err)
	}
	return nil
}

// drop ends a connection that is gone since a time, and forgets what arrived surely.
func (d *Destination) drop(at time.Time) {
	d.link.close()
	d.link = nil
	for len(d.recent) > 0 && at.Sub(d.recent[0].at) > keepFor {
		d.recent = d.recent[1:]
	}
	d.pending = len(d.recent) > 0
}

// keep remembers a batch for the case that its connection breaks.
func (d *Destination) keep(batch sent) {
	d.recent = append(d.recent, batch)
	bytes := 0
	for i := len(d.recent) - 1; i >= 0; i-- {
		bytes += len(d.recent[i].text)
		if i < len(d.recent)-1 && (bytes > keepBytes || batch.at.Sub(d.recent[i].at) > keepFor) {
			d.recent = append([]sent(nil), d.recent[i+1:]...)
			return
		}
	}
}

func (d *Destination) connect(ctx context.Context) (*link, error) {
	dialer := &net.Dialer{}
	conn, err := dialer.DialContext(ctx, "tcp", d.host)
	if err != nil {
		return nil, err
	}
	if !d.isTLS {
		return newLink(conn, conn, d.s.Now), nil
	}
	config, err := d.s.TLS()
	if err == nil {
		config = config.Clone()
		config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
		if config.ServerName == "" {
			config.ServerName, _, err = net.SplitHostPort(d.host)
		}
	}
	if err != nil {
		_ = conn.Close() // nothing was sent
		return nil, err
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // nothing of an event was sent, and nothing will be
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return newLink(secure, conn, d.s.Now), nil
}

// Close implements sink.Destination.
func (d *Destination) Close() error {
	if d.link != nil {
		d.link.close()
		d.link = nil
	}
	return nil
}
