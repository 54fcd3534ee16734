package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
)

// Retention is what removes old records of the log, and waits where the clock has jumped.
type Retention interface {
	Hold() *audit.Hold
	GoOn() (held bool, err error)
}

// Kept is how long records of the log are kept, and whether removing waits.
type Kept struct {
	Keep      string            `json:"keep,omitempty"`
	KeepClass map[string]string `json:"keep_class,omitempty"`
	Hold      *audit.Hold       `json:"hold,omitempty"` // nil: what is old goes
	Left      string            `json:"left,omitempty"` // of running time, until it does
}

func (s *Service) retention() (Retention, error) {
	if s.Retention == nil {
		return nil, problem(http.StatusConflict, "not_running", "nothing here writes the event log")
	}
	return s.Retention, nil
}

func (s *Service) kept(*http.Request) (any, error) {
	retention, err := s.retention()
	if err != nil {
		return nil, err
	}
	k := Kept{Hold: retention.Hold()}
	if k.Hold != nil {
		k.Left = k.Hold.Left.Round(time.Minute).String()
	}
	if s.File == nil {
		return k, nil
	}
	settings := &s.File().Log
	k.Keep = settings.Keep.String()
	for class, keep := range settings.KeepClass.Times() {
		if k.KeepClass == nil {
			k.KeepClass = map[string]string{}
		}
		k.KeepClass[class] = config.Duration{Duration: keep}.String()
	}
	return k, nil
}

// GoOn says that the clock is right, and why somebody knows.
type GoOn struct {
	Reason string `json:"reason"`
}

// goOn lets what is old go again.
func (s *Service) goOn(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "log.retention"}
	var q GoOn
	retention, err := s.retention()
	if err == nil {
		err = decode(r, &q)
	}
	if err != nil {
		return nil, change, err
	}
	if q.Reason == "" {
		return nil, change, problem(http.StatusUnprocessableEntity, "no_reason", "what is old goes for good: say how it is known that the clock is right")
	}
	hold := retention.Hold()
	if hold == nil {
		return nil, change, problem(http.StatusConflict, "not_held", "nothing is held: what is old goes")
	}
	if _, err := retention.GoOn(); err != nil {
		return nil, change, wrapped("unrecorded", err, "let what is old go")
	}
	change.Text = fmt.Sprintf("the clock is right, which was %s and then %s; %s", hold.From.Format(time.RFC3339), hold.To.Format(time.RFC3339), q.Reason)
	return hold, change, nil
}

// Kept says how long records are kept, and whether removing waits.
func (c *Client) Kept(ctx context.Context) (k Kept, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/events/retention", nil, &k)
	return k, err
}

// GoOn lets what is old go again.
func (c *Client) GoOn(ctx context.Context, reason string) (h audit.Hold, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/events/retention", GoOn{reason}, &h)
	return h, err
}
