// Package webhook posts notices to any receiver, as JSON, signed as the bodies of the sink
// webhook are:
//
//	{"source": "pavise", "node": "gw1", "time": "…", "severity": "high", "open": 3,
//	 "began": [{"detection": "guessing", "severity": "high", "subject": {"kind": "network", "name": "192.0.2.7"},
//	            "began": "…", "last": "…", "count": 1, "what": "…", "event": "…", "ended": false, "id": "…", "means": "…", "do": "…"}],
//	 "ended": [], "more_began": [], "more_ended": []}
//
// Of many, the first are written one by one, and the rest counted by detection in more_began and
// more_ended. A test has the member test, and nothing began.
package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/sink/post"
	signed "pavise.dev/pavise/internal/sink/webhook"
)

// most is how many incidents a body has one by one, of each list.
const most = 200

// Settings of a [Notifier].
type Settings struct {
	HTTP   *http.Client
	URL    string
	Secret post.Secret // of signatures; nil: none
	Token  post.Secret // a bearer token; nil: none
	Now    func() time.Time
}

// Notifier implements notify.Notifier.
type Notifier struct{ post *post.Destination }

// New returns a notifier.
func New(s Settings) (*Notifier, error) {
	d, err := post.New(post.Settings{HTTP: s.HTTP, URL: s.URL, Type: "application/json", Dress: s.dress})
	return &Notifier{d}, err
}

func (s *Settings) dress(h http.Header, body []byte, _ []audit.Found) error {
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
	h.Set(signed.SignatureHeader, signed.Signature(key.Reveal(), body, s.Now()))
	return nil
}

// Message is a body.
type Message struct {
	Source    string         `json:"source"`
	Node      string         `json:"node"`
	Time      time.Time      `json:"time"`
	Severity  alert.Severity `json:"severity"`
	Open      int            `json:"open"`
	Began     []notify.Item  `json:"began"`
	Ended     []notify.Item  `json:"ended"`
	MoreBegan []notify.Count `json:"more_began"`
	MoreEnded []notify.Count `json:"more_ended"`
	Test      string         `json:"test,omitempty"`
}

// Tell implements notify.Notifier.
func (w *Notifier) Tell(ctx context.Context, n *notify.Notice) error {
	m := Message{Source: "pavise", Node: n.Node, Time: n.Time.UTC(), Severity: n.Severity(), Open: n.Open, Test: n.Test}
	m.Began, m.MoreBegan = bounded(n.Began)
	m.Ended, m.MoreEnded = bounded(n.Ended)
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write the notice: %w", err)
	}
	return w.post.Post(ctx, append(body, '\n'))
}

func bounded(items []notify.Item) (first []notify.Item, more []notify.Count) {
	n := min(len(items), most)
	first = append([]notify.Item{}, items[:n]...)
	for i := range first {
		first[i].What, first[i].Subject.Name = notify.Clean(first[i].What, 500), notify.Clean(first[i].Subject.Name, 300)
	}
	return first, notify.Counts(items[n:])
}

// Close implements notify.Notifier.
func (w *Notifier) Close() error { return w.post.Close() }
