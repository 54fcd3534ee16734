package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/check/leaks"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/sink"
)

// Alerts is what administration needs of alerts.
type Alerts struct {
	Silences  *alert.Silences
	Known     func() []string                                                  // names of the detections
	Open      func() ([]alert.Incident, error)                                 // what detections hold open; nil: nobody knows
	Notifiers func() ([]sink.Status, error)                                    // how far each is
	Test      func(ctx context.Context, notifier, by string) ([]Tested, error) // "all", or one by name
}

// Alerted is what there is about alerts.
type Alerted struct {
	Incidents []alert.Recorded `json:"incidents"` // oldest first
	Damage    string           `json:"damage,omitempty"`
	Silences  []alert.Silence  `json:"silences"`
	Responses []Response       `json:"responses"`
	Notifiers []sink.Status    `json:"notifiers"`
}

// Response is something that was done by itself, and holds.
type Response struct {
	What  string    `json:"what"`  // "block", "suspend", "step_up"
	About string    `json:"about"` // a network, a credential, a person
	Until time.Time `json:"until"`
	Why   string    `json:"why"`
}

// Tested says whether a notifier took a test.
type Tested struct {
	Notifier string `json:"notifier"`
	Arrived  bool   `json:"arrived"`
	Error    string `json:"error,omitempty"`
}

// NewSilence asks to tell nobody of something for a time.
type NewSilence struct {
	Detection string        `json:"detection"`
	Subject   string        `json:"subject,omitempty"`
	Life      time.Duration `json:"life"` // nanoseconds
	Reason    string        `json:"reason"`
}

// OldSilence names one.
type OldSilence struct {
	Detection string `json:"detection"`
	Subject   string `json:"subject,omitempty"`
}

// NewTest asks to tell a notifier, or "all", that this is a test.
type NewTest struct {
	Notifier string `json:"notifier"`
}

// ReasonPrefix begins the reason of what a detection had done.
const ReasonPrefix = "alert "

// known is what there is about alerts.
func (s *Service) known() (*Alerts, error) {
	if s.Alerts == nil {
		return nil, problem(http.StatusNotImplemented, "no_alerts", "nothing is known of alerts here")
	}
	known, err := s.Alerts()
	if err != nil {
		return nil, wrapped("alerts_unreadable", err, "read what is known of alerts")
	}
	return known, nil
}

func (s *Service) alerts(r *http.Request) (any, error) {
	known, err := s.known()
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	since, err := time.Parse(time.RFC3339Nano, query.Get("since"))
	if err != nil || len(query) != 1 || len(query["since"]) != 1 {
		return nil, problem(http.StatusBadRequest, "malformed", "since is one time as in RFC 3339, and nothing else is asked for")
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	answer := Alerted{Silences: known.Silences.All()}
	if answer.Incidents, err = alert.History(r.Context(), s.LogDir, since); err != nil {
		answer.Damage = err.Error()
	}
	if err := known.count(answer.Incidents); err != nil {
		return nil, wrapped("alerts_unreadable", err, "count the signs of what is open")
	}
	if answer.Notifiers, err = known.Notifiers(); err != nil {
		return nil, wrapped("log_unreadable", err, "see how far the notifiers are")
	}
	answer.Responses, err = s.responses(r.Context())
	return answer, err
}

// count puts into incidents that are open what detections know of them by now: the log tells of an
// incident when it begins and when it ends.
func (a *Alerts) count(all []alert.Recorded) error {
	if a.Open == nil {
		return nil
	}
	open, err := a.Open()
	if err != nil {
		return err
	}
	now := map[alert.Key]alert.Incident{}
	for _, i := range open {
		now[i.RecordedKey()] = i
	}
	for n := range all {
		if i, ok := now[all[n].Key()]; ok && !all[n].Ended {
			all[n].Count, all[n].Last = i.Count, i.Last
		}
	}
	return nil
}

// responses are those in force.
func (s *Service) responses(ctx context.Context) ([]Response, error) {
	all := []Response{}
	blocks, err := s.Registry.Blocks(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range blocks {
		if why, ok := strings.CutPrefix(b.Reason, ReasonPrefix); ok {
			all = append(all, Response{"block", "network " + b.Network.String(), b.Until, why})
		}
	}
	holds, err := s.Registry.Holds(ctx)
	if err != nil {
		return nil, err
	}
	for i := range holds {
		if why, ok := strings.CutPrefix(holds[i].Reason, ReasonPrefix); ok {
			all = append(all, Response{what(&holds[i]), holds[i].About(), holds[i].Until, why})
		}
	}
	return all, nil
}

func (s *Service) silences(*http.Request) (any, error) {
	known, err := s.known()
	if err != nil {
		return nil, err
	}
	return known.Silences.All(), nil
}

func (s *Service) silence(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "alert.silence"}
	var n NewSilence
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	change.Target = strings.TrimSpace(n.Detection + " " + n.Subject)
	if err := s.isName(r.Context(), n.Subject); err != nil {
		return nil, change, err
	}
	alerts, err := s.known()
	if err != nil {
		return nil, change, err
	}
	if known := alerts.Known(); n.Detection != alert.AllDetections && !slices.Contains(known, n.Detection) {
		return nil, change, problem(http.StatusNotFound, "unknown_detection", "there is no detection %.80q, and no rule", n.Detection)
	}
	done, err := alerts.Silences.Add(alert.Silence{
		Detection: n.Detection, Subject: n.Subject, Until: s.Env.Now().UTC().Add(n.Life), Reason: n.Reason, By: named(actorOf(r.Context())),
	})
	change.Text = "nobody is told of " + silenced(n.Detection, n.Subject) + " until " + done.Until.Format(time.RFC3339) + ": " + n.Reason
	return Done{change.Text}, change, err
}

// isName refuses a subject that has the form of a secret of signatures, and is the name of no credential and
// of nobody: thumbprints have that form, too.
func (s *Service) isName(ctx context.Context, subject string) error {
	word, masked, found := leaks.Signing(subject)
	if !found {
		return nil
	}
	known, err := s.Registry.Credentials(ctx, "", "")
	if err != nil {
		return err
	}
	if slices.ContainsFunc(known, func(c client.Credential) bool { return strings.Contains(c.ID, word) }) {
		return nil
	}
	if users, err := s.accounts(ctx); err == nil { // without accounts it is nobody's
		people, err := users.ListUsers(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(people, func(u account.User) bool { return u.Subject == word || u.Login == word }) {
			return nil
		}
	}
	return secretTyped("the subject", masked)
}

func silenced(detection, subject string) string {
	text := detection
	if detection == alert.AllDetections {
		text = "all detections"
	}
	if subject != "" {
		text += " about " + subject
	}
	return text
}

func (s *Service) unsilence(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "alert.unsilence"}
	var n OldSilence
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	change.Target = strings.TrimSpace(n.Detection + " " + n.Subject)
	change.Text = silenced(n.Detection, n.Subject) + " is told again"
	known, err := s.known()
	if err != nil {
		return nil, change, err
	}
	return Done{change.Text}, change, known.Silences.Remove(n.Detection, n.Subject)
}

func (s *Service) testAlerts(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "alert.test"}
	var n NewTest
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	change.Target = n.Notifier
	alerts, err := s.known()
	if err != nil {
		return nil, change, err
	}
	known, err := alerts.Notifiers()
	if err != nil {
		return nil, change, wrapped("log_unreadable", err, "see which notifiers there are")
	}
	if len(known) == 0 {
		return nil, change, problem(http.StatusConflict, "no_notifier", "nobody is told of alerts: the configuration has no alerts.notify")
	}
	var names []string
	for _, k := range known {
		names = append(names, k.Name)
	}
	if n.Notifier != "all" && !slices.Contains(names, n.Notifier) {
		return nil, change, problem(http.StatusNotFound, "unknown_notifier", "there is no notifier %.80q: there are %s", n.Notifier, strings.Join(names, ", "))
	}
	tested, err := alerts.Test(r.Context(), n.Notifier, named(actorOf(r.Context())))
	arrived := 0
	for _, t := range tested {
		if t.Arrived {
			arrived++
		}
	}
	change.Text = fmt.Sprintf("a test arrived at %d of %d notifiers", arrived, len(tested))
	return tested, change, err
}

// Alerts says what was found since a time, and what is done about it.
func (c *Client) Alerts(ctx context.Context, since time.Time) (a Alerted, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/alerts?since="+url.QueryEscape(since.UTC().Format(time.RFC3339Nano)), nil, &a)
	return a, err
}

// TestAlerts sends a test to a notifier, or to "all".
func (c *Client) TestAlerts(ctx context.Context, notifier string) (all []Tested, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/alerts/test", NewTest{notifier}, &all)
	return all, err
}

// Silences lists what nobody is told of.
func (c *Client) Silences(ctx context.Context) (all []alert.Silence, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/silences", nil, &all)
	return all, err
}

// Silence tells nobody of something for a time.
func (c *Client) Silence(ctx context.Context, n NewSilence) (done Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/silences", n, &done)
	return done, err
}

// Unsilence tells of it again.
func (c *Client) Unsilence(ctx context.Context, n OldSilence) (done Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/silences/end", n, &done)
	return done, err
}
