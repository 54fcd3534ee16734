// Package slack tells a channel of Slack, or of what takes Slack's incoming webhooks
// (Mattermost, Rocket.Chat, Discord's /slack).
//
// The address of such a webhook is its password: it is read from a file for each message, and
// stands in no error. Words that an attacker may have chosen are shown as code, and cannot
// mention anybody, link anywhere, or look like ours.
package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/sink/post"
)

// Settings of a [Notifier].
type Settings struct {
	HTTP    *http.Client
	Address post.Secret // of the incoming webhook
}

// Notifier implements notify.Notifier.
type Notifier struct{ s Settings }

// New returns a notifier.
func New(s Settings) *Notifier { return &Notifier{s} }

// message is a body. Nothing in it is made a link or a mention that is not one already.
type message struct {
	Text   string `json:"text"`
	Parse  string `json:"parse"`
	Names  bool   `json:"link_names"`
	Links  bool   `json:"unfurl_links"`
	Media  bool   `json:"unfurl_media"`
	Markup bool   `json:"mrkdwn"`
}

// longest is that of a text, in characters: Slack advises 4,000.
const longest = 3900

// Tell implements notify.Notifier.
func (s *Notifier) Tell(ctx context.Context, n *notify.Notice) error {
	address, err := s.s.Address()
	if err != nil {
		return fmt.Errorf("read the address of the webhook: %w", err)
	}
	d, err := post.New(post.Settings{HTTP: s.s.HTTP, URL: string(address.Reveal()), Type: "application/json"})
	if err != nil {
		return errors.New("url_file holds no address: it is one line, https://hooks.slack.com/services/…")
	}
	body, err := json.Marshal(message{Text: cut(n.Text(notify.Style{Strong: strong, Word: code})), Parse: "none", Markup: true})
	if err != nil {
		return fmt.Errorf("write the notice: %w", err)
	}
	return d.Post(ctx, body)
}

func strong(text string) string { return "*" + escape(text) + "*" }

// code shows a word of anybody's. Within it nothing has a meaning but the mark that ends it,
// and the three characters that Slack wants escaped everywhere.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + escape(strings.ReplaceAll(text, "`", "'")) + "`"
}

func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// cut ends a text that is too long with a whole line, so that no mark is left open.
func cut(text string) string {
	if len([]rune(text)) <= longest {
		return text
	}
	var b strings.Builder
	left := longest - 40
	for line := range strings.Lines(text) {
		if left -= len([]rune(line)); left < 0 {
			break
		}
		b.WriteString(line)
	}
	return b.String() + "… `pavise log alerts` shows the rest."
}

// Close implements notify.Notifier.
func (s *Notifier) Close() error {
	s.s.HTTP.CloseIdleConnections()
	return nil
}
