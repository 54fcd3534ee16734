package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/schedule"
)

// Schedule is what administration needs of what runs again and again.
type Schedule struct {
	Status func(runs int) schedule.Status
	Trend  func(schedule.Query) schedule.Trend
	Report func(name string) (*finding.Report, error)

	// Start runs a task. Where a gateway runs it returns when the run has begun, else when it
	// has ended; in both cases with how many runs of the task had ended before.
	Start func(ctx context.Context, task, by string) (before int, err error)
}

// Started is a run that was asked for.
type Started struct {
	Task   string `json:"task"`
	Before int    `json:"runs_before"` // when there is one more, it has ended
}

// Bounds of what is asked for.
const maxShownRuns = 400

// onSchedule is what runs again and again.
func (s *Service) onSchedule(ctx context.Context) (*Schedule, error) {
	if s.Schedule == nil {
		return nil, problem(http.StatusNotImplemented, "no_schedule", "nothing is known of a schedule here")
	}
	known, err := s.Schedule(ctx)
	if err != nil {
		return nil, wrapped("schedule_unreadable", err, "read what the schedule found")
	}
	return known, nil
}

func (s *Service) schedule(r *http.Request) (any, error) {
	known, err := s.onSchedule(r.Context())
	if err != nil {
		return nil, err
	}
	runs, err := strconv.Atoi(r.URL.Query().Get("runs"))
	if err != nil || runs < 0 || runs > maxShownRuns {
		return nil, problem(http.StatusBadRequest, "malformed", "runs is a number from 0 to %d", maxShownRuns)
	}
	return known.Status(runs), nil
}

func (s *Service) runScheduled(r *http.Request) (any, client.Change, error) {
	task := r.PathValue("id")
	change := client.Change{Action: "schedule.run", Target: task, Text: "somebody asked for it"}
	if err := decode(r, &struct{}{}); err != nil {
		return nil, change, err
	}
	known, err := s.onSchedule(r.Context())
	if err != nil {
		return nil, change, err
	}
	before, err := known.Start(r.Context(), task, named(actorOf(r.Context())))
	switch {
	case errors.Is(err, schedule.ErrBusy):
		err = problem(http.StatusConflict, "schedule_busy", "%v", err)
	case errors.Is(err, schedule.ErrUnknown):
		err = problem(http.StatusNotFound, "unknown_task", "%v", err)
	}
	return Started{task, before}, change, err
}

func (s *Service) findings(r *http.Request) (any, error) {
	known, err := s.onSchedule(r.Context())
	if err != nil {
		return nil, err
	}
	v := r.URL.Query()
	q := schedule.Query{Open: v.Get("state") == "open", Mended: v.Get("state") == "ended", Task: v.Get("task")}
	if q.Since, err = time.Parse(time.RFC3339Nano, v.Get("since")); err != nil || v.Get("state") != "" && !q.Open && !q.Mended {
		return nil, problem(http.StatusBadRequest, "malformed", "since is one time as in RFC 3339, and state is open or ended")
	}
	return known.Trend(q), nil
}

func (s *Service) report(r *http.Request) (any, error) {
	known, err := s.onSchedule(r.Context())
	if err != nil {
		return nil, err
	}
	report, err := known.Report(r.PathValue("id"))
	if err != nil {
		return nil, problem(http.StatusNotFound, "unknown_report", "%v", err)
	}
	return report, nil
}

// Schedule says what is planned, with some of the last runs of each task.
func (c *Client) Schedule(ctx context.Context, runs int) (s schedule.Status, err error) {
	err = c.call(ctx, http.MethodGet, fmt.Sprintf("/v1/schedule?runs=%d", runs), nil, &s)
	return s, err
}

// RunScheduled begins a run of a task.
func (c *Client) RunScheduled(ctx context.Context, task string) (s Started, err error) {
	err = c.patient().call(ctx, http.MethodPost, "/v1/schedule/"+url.PathEscape(task)+"/run", struct{}{}, &s)
	return s, err
}

// Findings says what the schedule found, over time.
func (c *Client) Findings(ctx context.Context, q schedule.Query) (t schedule.Trend, err error) {
	v := url.Values{"since": {q.Since.UTC().Format(time.RFC3339Nano)}, "task": {q.Task}}
	switch {
	case q.Open:
		v.Set("state", "open")
	case q.Mended:
		v.Set("state", "ended")
	}
	err = c.call(ctx, http.MethodGet, "/v1/findings?"+v.Encode(), nil, &t)
	return t, err
}

// Report returns a report that was kept.
func (c *Client) Report(ctx context.Context, name string) (r *finding.Report, err error) {
	r = &finding.Report{}
	err = c.call(ctx, http.MethodGet, "/v1/reports/"+url.PathEscape(name), nil, r)
	return r, err
}
