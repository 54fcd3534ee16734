package mail_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/attacktest"
	pavisemail "pavise.dev/pavise/internal/notify/mail"
	"pavise.dev/pavise/internal/notify/notifytest"
	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/internal/sink/post/posttest"
	"pavise.dev/pavise/internal/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const password = "marked-password"

func now() time.Time { return time.Date(2026, 11, 30, 12, 1, 0, 0, time.UTC) }

// server is a mail server that can misbehave. It takes messages over TLS alone, from who has
// signed in.
type server struct {
	t       *testing.T
	address string
	pool    *x509.CertPool
	config  *tls.Config
	smtp    *smtp.Server

	mu       sync.Mutex
	mode     sinktest.Mode
	messages []string
	to       []string
	offers   []string // to sign in with
	auth     []string // mechanisms that were used
	plain    int      // commands of mail outside TLS
	stop     func()
}

func start(t *testing.T, implicit bool) *server {
	t.Helper()
	s := &server{t: t, mode: sinktest.Well, stop: func() {}, offers: []string{sasl.Plain, sasl.Login}}
	s.config, s.pool = certify(t)
	s.listen("127.0.0.1:0", implicit)
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *server) listen(address string, implicit bool) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{s: s, c: c}, nil }))
	s.smtp.Domain, s.smtp.TLSConfig, s.smtp.ErrorLog = "mail.example.com", s.config, quiet{}
	if implicit {
		l = tls.NewListener(l, s.config)
	}
	done, served := make(chan struct{}), s.smtp
	go func() {
		defer close(done)
		_ = served.Serve(l) // until it is closed
	}()
	s.stop = func() {
		_ = l.Close() // Serve may not have begun
		_ = served.Close()
		<-done
		s.stop = func() {}
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// become changes how the server behaves from now on.
func (s *server) become(mode sinktest.Mode) {
	s.mu.Lock()
	was := s.mode
	s.mode = mode
	s.mu.Unlock()
	switch {
	case mode == was:
	case mode == sinktest.Well || mode == sinktest.Broken:
		if was != sinktest.Broken && was != sinktest.Well {
			s.stop()
			s.listen(s.address, false)
		}
	default:
		s.stop()
		s.misbehave(mode)
	}
}

// misbehave is what answers in place of a mail server.
func (s *server) misbehave(mode sinktest.Mode) {
	if mode == sinktest.Away {
		return
	}
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			switch mode {
			case sinktest.Closes:
				_ = conn.Close()
			case sinktest.Garbage:
				_, _ = io.WriteString(conn, "\x00\x01 what? \r\n\r\n")
				_ = conn.Close()
			default:
				mu.Lock()
				open = append(open, conn)
				mu.Unlock()
			}
		}
	})
	s.stop = func() {
		_ = l.Close()
		running.Wait()
		for _, conn := range open {
			_ = conn.Close()
		}
		s.stop = func() {}
	}
}

func (s *server) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// session is one of the server's.
type session struct {
	s      *server
	c      *smtp.Conn
	signed bool
}

func (n *session) Reset()                   {}
func (n *session) Logout() error            { return nil }
func (n *session) AuthMechanisms() []string { return n.s.offers }

func (n *session) Auth(mechanism string) (sasl.Server, error) {
	n.s.mu.Lock()
	n.s.auth = append(n.s.auth, mechanism)
	n.s.mu.Unlock()
	check := func(user, got string) error {
		if user != "pavise" || got != password {
			return smtp.ErrAuthFailed
		}
		n.signed = true
		return nil
	}
	if mechanism == sasl.Login {
		return &login{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, user, got string) error { return check(user, got) }), nil
}

// login is the server's half of LOGIN, which go-sasl has no more.
type login struct {
	check func(user, password string) error
	user  *string
}

func (l *login) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil:
		return []byte("Username:"), false, nil
	case l.user == nil:
		user := string(response)
		l.user = &user
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(*l.user, string(response))
}

func (n *session) Mail(string, *smtp.MailOptions) error {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	if _, is := n.c.TLSConnectionState(); !is {
		n.s.plain++
	}
	switch {
	case !n.signed:
		return smtp.ErrAuthRequired
	case n.s.mode == sinktest.Broken:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "come back later"}
	}
	return nil
}

func (n *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	n.s.to = append(n.s.to, to)
	return nil
}

func (n *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	n.s.messages = append(n.s.messages, string(text))
	return nil
}

func certify(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"mail.example.com"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, pool
}

func (s *server) notifier(change func(*pavisemail.Settings)) *pavisemail.Notifier {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		s.t.Fatal(err)
	}
	settings := pavisemail.Settings{
		Host: host, Port: number, TLS: func() (*tls.Config, error) {
			return &tls.Config{RootCAs: s.pool, ServerName: "mail.example.com", MinVersion: tls.VersionTLS12}, nil
		},
		User: "pavise", Password: posttest.Secret(password), Hello: "gw1.example.com", From: "Pavise <pavise@example.com>", To: []string{"ops@example.com", "ciso@example.com"},
		Timeout: 5 * time.Second, Now: now,
	}
	if change != nil {
		change(&settings)
	}
	n, err := pavisemail.New(settings)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// decoded are messages with their text as people read it.
func decoded(t *testing.T, messages []string) (all []string) {
	t.Helper()
	for _, text := range messages {
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		body := m.Body
		if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			body = quotedprintable.NewReader(m.Body)
		}
		plain, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s\n%s", m.Header.Get("Subject"), strings.ReplaceAll(string(plain), "\r\n", "\n")))
	}
	return all
}

func TestNotifier(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Place {
		s := start(t, false)
		return notifytest.Place{
			Notifier: s.notifier(nil), Got: func() []string { return decoded(t, s.got()) }, Become: s.become, Secrets: []string{password}, Most: 1,
			Modes:   []sinktest.Mode{sinktest.Away, sinktest.Silent, sinktest.Closes, sinktest.Garbage, sinktest.Broken},
			Harmful: []string{"https://evil", "evil.example", "\r", "\x1b", "\u202e", "\x00", "\nBcc"},
		}
	})
}

func TestAMessageHasTheHeadersOfOurMaking(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		s := start(t, implicit)
		n := s.notifier(func(m *pavisemail.Settings) { m.Implicit = implicit })
		items := notifytest.Incidents(1, notifytest.Hostile)
		items[0].Subject = alert.Subject{Kind: "user", Name: notifytest.Hostile}
		items[0].Detection = "own\r\nBcc: victim@example.com"
		if err := n.Tell(t.Context(), notifytest.Notice(items, nil)); err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(strings.NewReader(s.got()[0]))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Bcc", "Cc", "Reply-To", "User-Agent", "X-Mailer"} {
			if got := m.Header.Get(name); got != "" {
				t.Errorf("%s: %s", name, got)
			}
		}
		for name, want := range map[string]string{"From": `"Pavise" <pavise@example.com>`, "Auto-Submitted": "auto-generated", "Date": "Mon, 30 Nov 2026 12:01:00 +0000"} {
			if got := m.Header.Get(name); got != want {
				t.Errorf("%s: %s", name, got)
			}
		}
		if !slices.Equal(s.to, []string{"ops@example.com", "ciso@example.com"}) || m.Header.Get("Message-Id") == "" {
			t.Errorf("%v %v", s.to, m.Header)
		}
		if s.plain > 0 || len(s.auth) != 1 || s.auth[0] != sasl.Plain && s.auth[0] != sasl.Login {
			t.Errorf("%d in the clear; %v", s.plain, s.auth)
		}
	}
}

func TestNothingIsSentToWhoIsNotTheServer(t *testing.T) {
	s, other := start(t, false), start(t, false)
	for name, change := range map[string]func(*pavisemail.Settings){
		"another CA": func(m *pavisemail.Settings) {
			m.TLS = func() (*tls.Config, error) {
				return &tls.Config{RootCAs: other.pool, ServerName: "mail.example.com"}, nil
			}
		},
		"another name": func(m *pavisemail.Settings) {
			m.TLS = func() (*tls.Config, error) { return &tls.Config{RootCAs: s.pool, ServerName: "other.example.com"}, nil }
		},
	} {
		if err := s.notifier(change).Tell(t.Context(), notifytest.Notice(notifytest.Incidents(1, "one"), nil)); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(s.got()) > 0 || len(s.auth) > 0 {
		t.Errorf("%v %q", s.auth, s.got())
	}
}

// Whoever stands in between takes STARTTLS out of the answer, or puts words of his own behind it.
// Where nobody signs in, the message is all that there is to protect.
func TestWithoutSTARTTLSNothingIsSent(t *testing.T) {
	attacktest.Rows(t, 147)
	for name, answers := range map[string][]string{
		"it is not offered":     {"250-mail.example.com\r\n250 AUTH PLAIN LOGIN\r\n"},
		"it is refused":         {"250-mail.example.com\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n", "454 4.7.0 not now\r\n"},
		"it is pretended":       {"250-mail.example.com\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n", "220 go on\r\n250-mail.example.com\r\n250 AUTH PLAIN\r\n235 2.7.0 signed in\r\n"},
		"there is no extension": {"502 what?\r\n", "250 mail.example.com\r\n"},
	} {
		for _, user := range []string{"pavise", ""} {
			t.Run(name+", user "+user, func(t *testing.T) {
				said, err := heard(t, answers, user)
				if err == nil || strings.Contains(err.Error(), password) {
					t.Errorf("it says %v", err)
				}
				for _, word := range []string{"AUTH", "MAIL", "DATA", "31 wrong", "guessing"} {
					if strings.Contains(said, word) {
						t.Errorf("it said %q", said)
					}
				}
			})
		}
	}
}

// heard is what a notifier says in the clear to a server with these answers.
func heard(t *testing.T, answers []string, user string) (said string, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan string, 1)
	go func() {
		defer close(all)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, "220 mail.example.com ESMTP\r\n")
		in, lines := bufio.NewReader(conn), ""
		for _, answer := range answers {
			line, err := in.ReadString('\n')
			lines += line
			if err != nil {
				break
			}
			_, _ = io.WriteString(conn, answer)
		}
		rest, _ := io.ReadAll(io.LimitReader(in, 4096))
		all <- lines + string(rest)
	}()
	s := &server{t: t, address: l.Addr().String(), pool: x509.NewCertPool()}
	n := s.notifier(func(m *pavisemail.Settings) { m.User, m.Timeout = user, time.Second })
	err = n.Tell(t.Context(), notifytest.Notice(notifytest.Incidents(1, "31 wrong"), nil))
	_ = l.Close()
	return <-all, err
}

func TestARefusalForGoodIsNotRepeatedAtOnce(t *testing.T) {
	s := start(t, false)
	n := s.notifier(func(m *pavisemail.Settings) { m.To = []string{"nobody@example.com"} })
	err := n.Tell(t.Context(), notifytest.Notice(notifytest.Incidents(1, "one"), nil))
	if later, ok := errors.AsType[*sink.Later](err); !ok || later.After < time.Minute || !strings.Contains(err.Error(), "550") {
		t.Errorf("%v", err)
	}
	wrong := s.notifier(func(m *pavisemail.Settings) { m.Password = posttest.Secret("marked-other") })
	if err := wrong.Tell(t.Context(), notifytest.Notice(notifytest.Incidents(1, "one"), nil)); err == nil || strings.Contains(err.Error(), "marked") {
		t.Errorf("a wrong password: %v", err)
	}
	if len(s.got()) > 0 {
		t.Errorf("%q", s.got())
	}
}

func TestLOGINServesWhereThereIsNoPLAIN(t *testing.T) {
	s := start(t, false)
	s.offers = []string{sasl.Login}
	if err := s.notifier(nil).Tell(t.Context(), notifytest.Notice(notifytest.Incidents(1, "one"), nil)); err != nil || !slices.Equal(s.auth, []string{sasl.Login}) || len(s.got()) != 1 {
		t.Errorf("%v: %v", err, s.auth)
	}
	s.offers = []string{"NTLM"}
	if err := s.notifier(nil).Tell(t.Context(), notifytest.Notice(notifytest.Incidents(1, "one"), nil)); err == nil || !strings.Contains(err.Error(), "PLAIN or LOGIN") {
		t.Errorf("%v", err)
	}
}

func TestAddressesThatCannotBeAreRefused(t *testing.T) {
	for _, from := range []string{"", "nobody", "a@example.com\r\nBcc: victim@example.com", "a@example.com, b@example.com"} {
		if _, err := pavisemail.New(pavisemail.Settings{From: from, To: []string{"ops@example.com"}, Now: now}); err == nil {
			t.Errorf("from %q", from)
		}
	}
	for _, to := range []string{"", "nobody", "a@example.com\r\nRCPT TO:<victim@example.com>"} {
		if _, err := pavisemail.New(pavisemail.Settings{From: "pavise@example.com", To: []string{to}, Now: now}); err == nil {
			t.Errorf("to %q", to)
		}
	}
}
