package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"pavise.dev/pavise/internal/client"
)

// OpenTester asks for a client of `pavise attack`.
type OpenTester struct {
	ID     string   `json:"id"` // one of client.TesterA …
	Scopes []string `json:"scopes"`
	For    string   `json:"for,omitempty"` // what runs the attack, if no person does
}

// CloseTester says how an attack ended.
type CloseTester struct {
	Made *client.Planned `json:"made,omitempty"` // it came to its end, for a schedule
}

// runHeader names the run of `pavise attack` for which a call is made: it has to have the turn.
const runHeader = "Pavise-Attack-Run"

// OfRun returns a client whose calls are those of a run of `pavise attack`. They are refused from the
// moment on at which another run has the turn, with [IsUnderAttack].
func (c *Client) OfRun(id string) *Client {
	inner := c.http
	inner.Transport = ofRun{id, inner.Transport}
	return &Client{inner}
}

type ofRun struct {
	id   string
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (o ofRun) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(runHeader, o.id)
	return o.next.RoundTrip(r)
}

// inTurn refuses a call for a run that has lost the turn, and prolongs it. Opening takes it, and
// closing knows what to do without.
func (s *Service) inTurn(r *http.Request) error {
	run := r.Header.Get(runHeader)
	if run == "" || r.Method != http.MethodPost || strings.HasPrefix(r.URL.Path, "/v1/testers") {
		return nil
	}
	return s.Registry.KeepTurn(r.Context(), run)
}

func (s *Service) openTester(r *http.Request) (any, client.Change, error) {
	var n OpenTester
	if err := decode(r, &n); err != nil {
		return nil, client.Change{}, err
	}
	run := client.TurnRun{ID: r.Header.Get(runHeader), By: named(actorOf(r.Context()))}
	if n.For != "" {
		run.By = n.For
	}
	change, err := s.Registry.OpenTester(r.Context(), n.ID, n.Scopes, run)
	return Done{change.Text}, change, err
}

func (s *Service) closeTester(r *http.Request) (any, client.Change, error) {
	var n CloseTester
	if err := decode(r, &n); err != nil {
		return nil, client.Change{}, err
	}
	change, err := s.Registry.CloseTester(r.Context(), r.PathValue("id"), r.Header.Get(runHeader), n.Made)
	return Done{change.Text}, change, err
}

// keepTurn prolongs the turn of a run that asks for nothing else just now.
func (s *Service) keepTurn(r *http.Request) (any, error) {
	if err := decode(r, &struct{}{}); err != nil {
		return nil, err
	}
	return Turn{client.TurnLife}, s.Registry.KeepTurn(r.Context(), r.Header.Get(runHeader))
}

// Turn is how long a run may be silent.
type Turn struct {
	Life time.Duration `json:"life"` // in nanoseconds
}

// OpenTester makes or wakes a client of `pavise attack`. The first one of a run takes the turn.
func (c *Client) OpenTester(ctx context.Context, n OpenTester) (d Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/testers", n, &d)
	return d, err
}

// CloseTester ends all that it holds, and puts it to rest; the last one gives the turn back.
func (c *Client) CloseTester(ctx context.Context, id string, n CloseTester) (d Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/testers/"+id+"/close", n, &d)
	return d, err
}

// KeepTurn prolongs the turn of a run.
func (c *Client) KeepTurn(ctx context.Context) (t Turn, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/testers/keep", struct{}{}, &t)
	return t, err
}

// IsUnderAttack reports whether a call was refused because another run of `pavise attack` has the turn.
func IsUnderAttack(err error) bool {
	p, ok := errors.AsType[*Problem](err)
	return ok && p.Code == attackUnderWay
}

const attackUnderWay = "attack_under_way"
