// Package mail tells people by e-mail, over SMTP with TLS: from the first byte, or by STARTTLS.
// The server's certificate is always verified; a server that offers no STARTTLS gets neither the
// password nor the message.
//
// A message is plain text. What an attacker may have chosen is in its body alone, in lines that
// cannot be ended by it, and in a form that mail readers make no links of.
package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/internal/sink/post"
)

// Settings of a [Notifier].
type Settings struct {
	Host     string
	Port     int
	Implicit bool                        // TLS from the first byte; else STARTTLS
	TLS      func() (*tls.Config, error) // read for each message: its files may be replaced
	User     string                      // "": no sign-in
	Password post.Secret
	Hello    string // name in EHLO; "": the machine's
	From     string
	To       []string
	Timeout  time.Duration
	Now      func() time.Time
}

// Notifier implements notify.Notifier.
type Notifier struct{ s Settings }

// New returns a notifier. Addresses that cannot be are an error.
func New(s Settings) (*Notifier, error) {
	m := &Notifier{s}
	_, err := m.message(&notify.Notice{Test: "test"})
	return m, err
}

// refusedFor is how long is waited when a server has refused for good: to ask it twice a minute
// for what it does not want would look like an attack.
const refusedFor = 5 * time.Minute

// Tell implements notify.Notifier.
func (m *Notifier) Tell(ctx context.Context, n *notify.Notice) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	message, err := m.message(n)
	if err != nil {
		return err
	}
	client, err := m.client(ctx)
	if err != nil {
		return err
	}
	where := fmt.Sprintf("mail through %s:%d", m.s.Host, m.s.Port)
	if err := client.DialAndSendWithContext(ctx, message); err != nil {
		return judge(fmt.Errorf("%s: %w", where, err))
	}
	return nil
}

// judge lets a server be that refuses for good, for a while. It may be set right.
func judge(err error) error {
	if refused, ok := errors.AsType[*gomail.SendError](err); ok && !refused.IsTemp() && refused.ErrorCode() >= 500 {
		return &sink.Later{Err: err, After: refusedFor}
	}
	return err
}

func (m *Notifier) client(ctx context.Context) (*gomail.Client, error) {
	config, err := m.s.TLS()
	if err != nil {
		return nil, err
	}
	options := []gomail.Option{
		gomail.WithPort(m.s.Port), gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithTLSConfig(config), gomail.WithTimeout(m.s.Timeout), gomail.WithoutNoop(),
		gomail.WithDialContextFunc(m.dial(ctx, config)),
	}
	if m.s.Implicit {
		options = append(options, gomail.WithSSL())
	}
	if m.s.Hello != "" {
		options = append(options, gomail.WithHELO(m.s.Hello))
	}
	if m.s.User != "" {
		password, err := m.s.Password()
		if err != nil {
			return nil, fmt.Errorf("read the password: %w", err)
		}
		options = append(options, gomail.WithSMTPAuthCustom(&signIn{user: m.s.User, password: password}))
	}
	client, err := gomail.NewClient(m.s.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("mail through %s: %w", m.s.Host, err)
	}
	return client, nil
}

// dial connects, and hangs up when the context of the message ends: the library heeds it only
// until there is a connection.
func (m *Notifier) dial(message context.Context, config *tls.Config) gomail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(message, func() { _ = conn.Close() }) // at the latest with the end of the message
		if !m.s.Implicit {
			return conn, nil
		}
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return secured, nil
	}
}

func (m *Notifier) message(n *notify.Notice) (*gomail.Msg, error) {
	message := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := message.From(m.s.From); err != nil {
		return nil, fmt.Errorf("the sender %.80q is no address: write pavise@example.com", m.s.From)
	}
	if err := message.To(m.s.To...); err != nil {
		return nil, fmt.Errorf("a receiver of %.200q is no address: write ops@example.com", m.s.To)
	}
	message.Subject(notify.Clean(n.Title(), 150))
	message.SetMessageID()
	message.SetDateWithValue(m.s.Now())
	message.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody answers it by himself
	message.SetGenHeader("X-Auto-Response-Suppress", "All")
	message.SetBodyString(gomail.TypeTextPlain, n.Text(notify.Style{Word: harmless}))
	return message, nil
}

// harmless writes a word so that mail readers make no link of it: evil[.]example, https[:]//.
func harmless(text string) string {
	var b strings.Builder
	all := []rune(text)
	for i, r := range all {
		switch {
		case r == ':' && i+2 < len(all) && all[i+1] == '/' && all[i+2] == '/':
			b.WriteString("[:]")
		case r == '.' && i > 0 && i+1 < len(all) && !unicode.IsSpace(all[i-1]) && unicode.IsLetter(all[i+1]):
			b.WriteString("[.]")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Close implements notify.Notifier.
func (m *Notifier) Close() error { return nil }
