// Package alertmanager tells a Prometheus Alertmanager (API v2): it groups, routes, silences
// and repeats by its own rules.
//
// Each incident is an alert with the labels alertname (the detection), severity, subject_kind,
// subject, node and job="pavise". It is sent again every minute while it is open, since
// Alertmanager takes for resolved what is not; and as resolved when it has ended. When more
// than a bounded number is open at once, the rest is one alert for each detection, about "many".
package alertmanager

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/sink/post"
)

// Times of alerts.
const (
	again   = time.Minute      // between two sendings of what is open
	life    = 10 * time.Minute // after the last of them it is taken for resolved: a restart takes less
	briefly = 2 * time.Minute  // that one is open which has ended before it was sent
	atOnce  = 500              // alerts that are sent one by one
)

// Settings of a [Notifier].
type Settings struct {
	HTTP     *http.Client
	URL      string // its address, without /api/v2/alerts
	Token    post.Secret
	User     string
	Password post.Secret
	Labels   map[string]string // added to each alert
	Node     string
	Now      func() time.Time
}

// Notifier implements notify.Notifier and notify.Keeper.
type Notifier struct {
	s    Settings
	post *post.Destination
	node string
	open map[alert.Key]bool // those that are sent one by one
}

// New returns a notifier.
func New(s Settings) (*Notifier, error) {
	a := &Notifier{s: s, node: s.Node, open: map[alert.Key]bool{}}
	var err error
	a.post, err = post.New(post.Settings{HTTP: s.HTTP, URL: s.URL + "/api/v2/alerts", Type: "application/json", Dress: s.dress})
	return a, err
}

func (s *Settings) dress(h http.Header, _ []byte, _ []audit.Found) error {
	switch {
	case s.Token != nil:
		token, err := s.Token()
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		h.Set("Authorization", "Bearer "+string(token.Reveal()))
	case s.Password != nil:
		password, err := s.Password()
		if err != nil {
			return fmt.Errorf("read the password: %w", err)
		}
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(s.User+":"+string(password.Reveal()))))
	}
	return nil
}

// postable is an alert as the API takes it.
type postable struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// Tell implements notify.Notifier.
func (a *Notifier) Tell(ctx context.Context, n *notify.Notice) error {
	now := a.s.Now().UTC()
	if n.Test != "" {
		return a.send(ctx, []postable{a.test(n, now)})
	}
	open, all := maps.Clone(a.open), []postable{}
	for i := range n.Ended {
		item := &n.Ended[i]
		if open[item.Key()] || len(all) < atOnce {
			all = append(all, a.alert(item, now))
		}
		delete(open, item.Key())
	}
	rest := map[string][]notify.Item{}
	for i := range n.Began {
		item := &n.Began[i]
		switch {
		case len(open) >= atOnce:
			rest[item.Detection] = append(rest[item.Detection], *item)
		case item.Ended:
			all = append(all, a.alert(item, now.Add(briefly))) // resolved at once, nobody would hear of it
		default:
			open[item.Key()] = true
			all = append(all, a.alert(item, now.Add(life)))
		}
	}
	for name, items := range rest {
		all = append(all, a.together(name, items, now))
	}
	if err := a.send(ctx, all); err != nil {
		return err
	}
	a.open = open
	return nil
}

// Every implements notify.Keeper.
func (a *Notifier) Every() time.Duration { return again }

// Keep implements notify.Keeper.
func (a *Notifier) Keep(ctx context.Context, items []notify.Item) error {
	now := a.s.Now().UTC()
	open, rest, all := map[alert.Key]bool{}, map[string][]notify.Item{}, []postable{}
	for i := range items {
		if item := &items[i]; i < atOnce {
			open[item.Key()] = true
			all = append(all, a.alert(item, now.Add(life)))
		} else {
			rest[item.Detection] = append(rest[item.Detection], *item)
		}
	}
	for name, of := range rest {
		all = append(all, a.together(name, of, now))
	}
	if err := a.send(ctx, all); err != nil {
		return err
	}
	a.open = open
	return nil
}

// send posts alerts in bodies that the receiver takes.
func (a *Notifier) send(ctx context.Context, all []postable) error {
	slices.SortStableFunc(all, func(x, y postable) int { return cmp.Compare(x.Labels["alertname"], y.Labels["alertname"]) })
	for part := range slices.Chunk(all, atOnce) {
		body, err := json.Marshal(part)
		if err != nil {
			return fmt.Errorf("write the alerts: %w", err)
		}
		if err := a.post.Post(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

// labels name an alert. They are bounded, and the same for all that is sent of one incident.
func (a *Notifier) labels(detection string, severity alert.Severity, kind, name string) map[string]string {
	labels := maps.Clone(a.s.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	for k, v := range map[string]string{
		"alertname": detection, "job": "pavise", "severity": string(severity), "subject_kind": kind, "subject": name, "node": a.node,
	} {
		if v = notify.Clean(v, 200); v != "" {
			labels[k] = v
		}
	}
	return labels
}

func (a *Notifier) alert(i *notify.Item, until time.Time) postable {
	begin := i.Began
	if begin.IsZero() || begin.After(until) {
		begin = until.Add(-time.Second)
	}
	notes := map[string]string{
		"summary": notify.Clean(i.Detection+": "+i.Subject.String(), 300), "description": notify.Clean(i.What, 500), "means": notify.Clean(i.Means, 500),
		"do": notify.Clean(i.Do, 500), "event": notify.Clean(i.Event, 100), "alert": notify.Clean(i.ID, 100),
	}
	for name, text := range notes {
		if text == "" {
			delete(notes, name)
		}
	}
	return postable{a.labels(i.Detection, i.Severity, i.Subject.Kind, i.Subject.Name), notes, begin.UTC(), until}
}

// together is one alert for many incidents.
func (a *Notifier) together(detection string, items []notify.Item, now time.Time) postable {
	first := slices.MinFunc(items, func(x, y notify.Item) int { return x.Began.Compare(y.Began) })
	return a.alert(&notify.Item{
		Incident: alert.Incident{
			Detection: detection, Severity: first.Severity, Subject: alert.Subject{Kind: "many", Name: "many"}, Began: first.Began,
			What: strconv.Itoa(len(items)) + " more incidents are open; pavise log alerts lists them", Event: first.Event,
		},
		Means: first.Means, Do: first.Do,
	}, now.Add(life))
}

func (a *Notifier) test(n *notify.Notice, now time.Time) postable {
	labels := a.labels("test", alert.Info, "notifier", "test")
	return postable{labels, map[string]string{"summary": "Pavise: a test", "description": notify.Clean(n.Test, 300)}, now.Add(-time.Second), now.Add(briefly)}
}

// Close implements notify.Notifier.
func (a *Notifier) Close() error { return a.post.Close() }
