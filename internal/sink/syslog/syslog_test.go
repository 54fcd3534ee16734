package syslog_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/sinktest"
	"pavise.dev/pavise/internal/sink/syslog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a syslog receiver that can misbehave.
type server struct {
	t        *testing.T
	listener net.Listener
	address  string
	tls      *tls.Config // nil: plain

	mu       sync.Mutex
	mode     sinktest.Mode
	messages []string
	raw      bytes.Buffer               // everything that came before a TLS handshake had succeeded, or without one
	conns    map[net.Conn]chan struct{} // closed with the connection
	running  sync.WaitGroup
}

func newServer(t *testing.T, config *tls.Config) *server {
	s := &server{t: t, tls: config, mode: sinktest.Well, conns: map[net.Conn]chan struct{}{}}
	s.listen("127.0.0.1:0")
	t.Cleanup(func() { s.become(sinktest.Away); s.running.Wait() })
	return s
}

func (s *server) listen(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.listener, s.address = l, l.Addr().String()
	s.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() { s.serve(conn) })
		}
	})
}

func (s *server) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	s.mu.Lock()
	mode := s.mode
	s.conns[conn] = make(chan struct{})
	s.mu.Unlock()
	var in io.Reader = conn
	if s.tls != nil && mode != sinktest.Garbage {
		secure := tls.Server(conn, s.tls)
		if secure.Handshake() != nil {
			return
		}
		in = secure
	}
	switch mode {
	case sinktest.Closes:
		return
	case sinktest.Garbage:
		_, _ = conn.Write([]byte("HTTP/1.1 400 what?\r\n\r\n"))
		_, _ = io.Copy(&s.raw, io.LimitReader(in, 1<<20))
		return
	case sinktest.Silent:
		<-s.closed(conn) // reads nothing
		return
	}
	reader := bufio.NewReader(in)
	for {
		message, err := readFrame(reader)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.messages = append(s.messages, message)
		s.mu.Unlock()
	}
}

func (s *server) closed(conn net.Conn) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.conns[conn]; c != nil {
		return c
	}
	gone := make(chan struct{})
	close(gone)
	return gone
}

func (s *server) become(mode sinktest.Mode) {
	s.mu.Lock()
	s.mode = mode
	for conn, closed := range s.conns {
		_ = conn.Close()
		close(closed)
	}
	clear(s.conns)
	s.mu.Unlock()
	_ = s.listener.Close()
	if mode != sinktest.Away {
		s.listen(s.address)
	}
}

func (s *server) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

func (s *server) got() (ids []string) {
	for _, m := range s.all() {
		parsed, err := parse(m)
		if err != nil {
			s.t.Errorf("%v: %.200q", err, m)
			continue
		}
		ids = append(ids, parsed.params["id"])
	}
	return ids
}

// readFrame reads MSG-LEN SP SYSLOG-MSG (RFC 6587 §3.4.1), strictly.
func readFrame(r *bufio.Reader) (string, error) {
	length, err := r.ReadString(' ')
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
	if err != nil || n < 1 || length[0] == '0' || n > 1<<20 {
		return "", fmt.Errorf("no length: %q", length)
	}
	message := make([]byte, n)
	_, err = io.ReadFull(r, message)
	return string(message), err
}

// message is one of RFC 5424.
type message struct {
	pri                          int
	time, host, app, proc, msgid string
	params                       map[string]string
	text                         string
}

// parse reads a message by the letter of RFC 5424 §6.
func parse(text string) (m message, err error) {
	rest, ok := strings.CutPrefix(text, "<")
	pri, rest, found := strings.Cut(rest, ">1 ")
	m.pri, err = strconv.Atoi(pri)
	if !ok || !found || err != nil || m.pri > 191 {
		return m, errors.New("no PRI and version")
	}
	for _, field := range []*string{&m.time, &m.host, &m.app, &m.proc, &m.msgid} {
		if *field, rest, found = strings.Cut(rest, " "); !found || *field == "" {
			return m, errors.New("the header is too short")
		}
		for _, c := range []byte(*field) {
			if c <= ' ' || c >= 0x7f {
				return m, fmt.Errorf("%q in the header", c)
			}
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, m.time); err != nil {
		return m, err
	}
	if rest, ok = strings.CutPrefix(rest, "[pavise@32473"); !ok {
		return m, errors.New("no structured data of ours")
	}
	m.params = map[string]string{}
	for !strings.HasPrefix(rest, "] ") {
		if rest, err = m.param(rest); err != nil {
			return m, err
		}
	}
	m.text = rest[2:]
	return m, nil
}

func (m *message) param(rest string) (string, error) {
	rest, ok := strings.CutPrefix(rest, " ")
	name, rest, found := strings.Cut(rest, `="`)
	if !ok || !found || name == "" || strings.ContainsAny(name, `= ]"`) || m.params[name] != "" {
		return rest, fmt.Errorf("no parameter: %.40q", rest)
	}
	var value strings.Builder
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; c {
		case '\\':
			if i++; i < len(rest) {
				value.WriteByte(rest[i])
			}
		case '"':
			m.params[name] = value.String()
			return rest[i+1:], nil
		case ']':
			return rest, errors.New("a bare ]")
		default:
			value.WriteByte(c)
		}
	}
	return rest, errors.New("a value without an end")
}

func jsonForm(t testing.TB) form.Form {
	t.Helper()
	write, err := form.Source{}.Form(form.JSON)
	if err != nil {
		t.Fatal(err)
	}
	return write
}

func open(t testing.TB, address string, change func(*syslog.Settings)) *syslog.Destination {
	t.Helper()
	s := syslog.Settings{Address: address, Form: jsonForm(t), Facility: 10, Node: "gw 1\n", PID: 42, Now: time.Now}
	if change != nil {
		change(&s)
	}
	d, err := syslog.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// certificate is one for 127.0.0.1 and example.com, with who trusts it.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	transport, ok := s.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("the test server's client has another transport")
	}
	return &tls.Config{Certificates: s.TLS.Certificates}, transport.TLSClientConfig.Clone()
}

func TestDestination(t *testing.T) {
	modes := []sinktest.Mode{sinktest.Away, sinktest.Silent, sinktest.Closes, sinktest.Garbage}
	t.Run("TCP", func(t *testing.T) {
		sinktest.Run(t, func(t *testing.T) sinktest.Place {
			s := newServer(t, nil)
			return sinktest.Place{
				Destination: open(t, "tcp://"+s.address, nil), Got: s.got, Become: s.become, Modes: modes,
				Unheard: []sinktest.Mode{sinktest.Silent, sinktest.Garbage},
			}
		})
	})
	t.Run("TLS", func(t *testing.T) {
		serve, trust := certificate(t)
		sinktest.Run(t, func(t *testing.T) sinktest.Place {
			s := newServer(t, serve)
			d := open(t, "tls://"+s.address, func(o *syslog.Settings) { o.TLS = func() (*tls.Config, error) { return trust, nil } })
			return sinktest.Place{
				Destination: d, Got: s.got, Become: s.become, Modes: modes, Unheard: []sinktest.Mode{sinktest.Silent},
			}
		})
	})
}

func TestNothingIsSentWithoutTheRightCertificate(t *testing.T) {
	attacktest.Rows(t, 147)
	serve, _ := certificate(t)
	s := newServer(t, serve)
	for name, trust := range map[string]*tls.Config{
		"a certificate of another CA": {},
		"a certificate of another name": func() *tls.Config {
			_, trust := certificate(t)
			trust.ServerName = "siem.internal"
			return trust
		}(),
	} {
		d := open(t, "tls://"+s.address, func(o *syslog.Settings) { o.TLS = func() (*tls.Config, error) { return trust, nil } })
		for range 3 {
			if err := d.Send(t.Context(), sinktest.Events(0, 2)); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	s.become(sinktest.Garbage) // a server that has no TLS at all
	d := open(t, "tls://"+s.address, nil)
	if err := d.Send(t.Context(), sinktest.Events(0, 2)); err == nil {
		t.Error("it was sent without TLS")
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	s.become(sinktest.Away)
	s.running.Wait()
	if strings.Contains(s.raw.String(), "[pavise@32473") || len(s.all()) > 0 {
		t.Errorf("sent in the clear: %.200q %v", s.raw.String(), s.all())
	}
}

func TestAReceiverThatWantsAClientCertificateIsNotTakenForOneThatGetsEvents(t *testing.T) {
	serve, trust := certificate(t)
	serve.ClientAuth = tls.RequireAnyClientCert
	s := newServer(t, serve)
	d := open(t, "tls://"+s.address, func(o *syslog.Settings) { o.TLS = func() (*tls.Config, error) { return trust, nil } })
	if err := d.Send(t.Context(), sinktest.Events(0, 2)); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("%v", err)
	}
	trust.Certificates = serve.Certificates
	if err := d.Send(t.Context(), sinktest.Events(0, 2)); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatAConnectionMayHaveLostIsSentAgain(t *testing.T) {
	attacktest.Rows(t, 146)
	s := newServer(t, nil)
	var mu sync.Mutex
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	d := open(t, "tcp://"+s.address, func(o *syslog.Settings) {
		o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	defer func() { _ = d.Close() }()
	send := func(from, to int, later time.Duration) {
		t.Helper()
		if err := d.Send(t.Context(), sinktest.Events(from, to)); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		now = now.Add(later)
		mu.Unlock()
	}
	send(0, 2, 2*time.Minute)
	send(2, 4, 0)
	waitFor(t, func() bool { return len(s.all()) == 4 })
	s.become(sinktest.Well) // all connections end
	waitFor(t, func() bool {
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(s.all()) > 4
	})
	waitFor(t, func() bool { return len(s.all()) == 6 })
	if got := s.got(); !slices.Equal(got, []string{"e0", "e1", "e2", "e3", "e2", "e3"}) {
		t.Errorf("%v: what was sent within the last minute comes again, and nothing before", got)
	}
}

func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatal("it does not happen")
		case <-tick.C:
		}
	}
}

func TestMessagesAreWhatTheStandardSays(t *testing.T) {
	attacktest.Rows(t, 143)
	s := newServer(t, nil)
	d := open(t, "tcp://"+s.address, nil)
	events := sinktest.Events(0, 1)
	events[0].Event.Client, events[0].Event.Code, events[0].Event.Decision = "a\"] [x y=\"z\\", "invalid_credential", audit.Refused
	events[0].Event.Exposed = false
	if err := d.Send(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return len(s.all()) == 1 })
	m, err := parse(s.all()[0])
	if err != nil {
		t.Fatalf("%v: %q", err, s.all()[0])
	}
	if m.pri != 10*8+4 || m.host != "gw1" || m.app != "pavise" || m.proc != "42" || m.msgid != "request" || m.time != "2026-11-23T12:00:00.123456Z" {
		t.Errorf("%+v", m)
	}
	if m.params["client"] != events[0].Event.Client || m.params["seq"] != "1" || m.params["src"] != "192.0.2.7" || m.text != string(events[0].JSON) {
		t.Errorf("%+v", m)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestAddressesThatAreNoneAreRefused(t *testing.T) {
	for _, address := range []string{"", "siem:514", "udp://siem:514", "tls://siem", "tls://:pw@siem:1", "tls://siem:1/x", "tls://siem:1?x", "http://siem:1"} {
		if _, err := syslog.New(syslog.Settings{Address: address}); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, text := range []string{`a"] b="c`, "\x00\r\n", "]", `\`, "\xff", strings.Repeat("ü", 300), "<14>1 - - - - - -", ""} {
		f.Add(text)
	}
	write := jsonForm(f)
	f.Fuzz(func(t *testing.T, text string) {
		found := sinktest.Events(0, 1)[0]
		e := &found.Event
		e.ID, e.Client, e.Code, e.Target, e.User, e.Class = text, text, text, text, text, audit.Class(text)
		m, err := parse(string(syslog.AppendMessage(syslog.Settings{Form: write, Node: text, Now: time.Now}, found)))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if text != "" && m.params["client"] == "" {
			t.Errorf("%q: %v", text, m.params)
		}
	})
}

func BenchmarkSend(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	})
	write, err := form.Source{Node: "gw1"}.Form(form.OCSF)
	if err != nil {
		b.Fatal(err)
	}
	d := open(b, "tcp://"+l.Addr().String(), func(o *syslog.Settings) { o.Form = write })
	events := sinktest.Events(0, 500)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Send(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/event")
	_ = d.Close()
	_ = l.Close()
	running.Wait()
}
