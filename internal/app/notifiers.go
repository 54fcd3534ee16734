package app

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/notify/alertmanager"
	"pavise.dev/pavise/internal/notify/mail"
	"pavise.dev/pavise/internal/notify/slack"
	"pavise.dev/pavise/internal/notify/webhook"
)

// notifier makes one of alerts.notify. It is connected to when there is something to tell.
func (a *App) notifier(f *config.File, n *config.Notifier) (notify.Notifier, error) {
	switch {
	case n.Slack != nil:
		return slackOf(f, n)
	case n.SMTP != nil:
		return a.mailOf(f, n)
	case n.Alertmanager != nil:
		s := n.Alertmanager
		client, err := receiverClient(f, s.URL, s.CA, n.Timeout.Duration)
		if err != nil {
			return nil, err
		}
		return alertmanager.New(alertmanager.Settings{
			HTTP: client, URL: strings.TrimSuffix(s.URL, "/"), Token: secretFile(f, s.Token), User: s.User, Password: secretFile(f, s.Password),
			Labels: s.Labels, Node: nodeName(), Now: a.now,
		})
	}
	s := n.Webhook
	client, err := receiverClient(f, s.URL, s.CA, n.Timeout.Duration)
	if err != nil {
		return nil, err
	}
	return webhook.New(webhook.Settings{HTTP: client, URL: s.URL, Secret: secretFile(f, s.Secret), Token: secretFile(f, s.Token), Now: a.now})
}

// slackOf lets a webhook be reached that is on this machine, or in a private network, if its
// address was so at the start.
func slackOf(f *config.File, n *config.Notifier) (notify.Notifier, error) {
	read := secretFile(f, n.Slack.Address)
	address, err := read()
	if err != nil {
		return nil, fmt.Errorf("read url_file: %w", err)
	}
	client, err := receiverClient(f, string(address.Reveal()), n.Slack.CA, n.Timeout.Duration)
	if err != nil {
		return nil, fmt.Errorf("url_file: %w", err)
	}
	return slack.New(slack.Settings{HTTP: client, Address: read}), nil
}

func (a *App) mailOf(f *config.File, n *config.Notifier) (notify.Notifier, error) {
	s := n.SMTP
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("address: %q is no port", port)
	}
	return mail.New(mail.Settings{
		Host: host, Port: int(number), Implicit: s.Implicit(), TLS: func() (*tls.Config, error) { return mailTLS(f, s, host) },
		User: s.User, Password: secretFile(f, s.Password), Hello: s.Hello, From: s.From, To: s.To, Timeout: n.Timeout.Duration, Now: a.now,
	})
}

// mailTLS reads the files anew. The certificate is verified, whatever the configuration says.
func mailTLS(f *config.File, s *config.SMTPNotifier, host string) (*tls.Config, error) {
	return clientTLS(f, cmp.Or(s.ServerName, host), s.CA, s.Certificate)
}
