package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
)

// Trail is the log as far as it can be proved, and what it holds of a person taken out.
type Trail interface {
	Checkpoint() (audit.Checkpoint, error)
	Erase(context.Context, audit.Erasure) (audit.Erased, error)
}

// Note is a signed checkpoint of everything that is recorded, and the key that verifies it.
type Note struct {
	Checkpoint audit.Checkpoint `json:"checkpoint"`
	Key        string           `json:"key"`
}

// NewErasure asks to take one person's data out of the log. Exactly one of the first
// four is set.
type NewErasure struct {
	User    string       `json:"user,omitempty"`
	Subject string       `json:"subject,omitempty"`
	Client  string       `json:"client,omitempty"`
	Address netip.Prefix `json:"address,omitzero"`
	Reason  string       `json:"reason,omitempty"`
}

// longTime is what calls may take that read the whole log.
const longTime = time.Hour

// patient lets a call take long.
func patient(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longTime)) // in the same process there is none
		next(w, r)
	}
}

// patient returns a client that waits for such calls.
func (c *Client) patient() *Client {
	return &Client{http.Client{Transport: c.http.Transport, Timeout: longTime}}
}

func (s *Service) trail() (Trail, error) {
	if s.Trail == nil {
		return nil, problem(http.StatusConflict, "not_running", "nothing here writes the event log")
	}
	return s.Trail, nil
}

func (s *Service) checkpoint(r *http.Request) (any, error) {
	if err := decode(r, &struct{}{}); err != nil {
		return nil, err
	}
	return s.signed()
}

// signed signs what is recorded.
func (s *Service) signed() (n Note, err error) {
	trail, err := s.trail()
	if err != nil {
		return n, err
	}
	if n.Checkpoint, err = trail.Checkpoint(); err != nil {
		return n, wrapped("log_unreadable", err, "sign a checkpoint")
	}
	n.Key = audit.VerifierKey(n.Checkpoint.Node, s.Public)
	return n, nil
}

// Wanted names an event by its id.
type Wanted struct {
	ID string `json:"id"`
}

func (s *Service) prove(r *http.Request) (any, error) {
	var q Wanted
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	n, err := s.signed()
	if err != nil {
		return nil, err
	}
	evidence, err := audit.Prove(r.Context(), s.LogDir, q.ID, n.Checkpoint)
	if errors.Is(err, audit.ErrNoEvent) {
		return nil, fmt.Errorf("event %.80q: %w", q.ID, errNoRecord)
	}
	if err != nil {
		return nil, wrapped("log_unreadable", err, "prove an event")
	}
	return evidence, nil
}

// Earlier holds a checkpoint that somebody has kept.
type Earlier struct {
	Checkpoint audit.Checkpoint `json:"checkpoint"`
}

func (s *Service) consistency(r *http.Request) (any, error) {
	var q Earlier
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	if !q.Checkpoint.Signed(s.Public) {
		return nil, problem(http.StatusUnprocessableEntity, "foreign_checkpoint", "the checkpoint was not signed with the key of this log: it is of another log, or was changed")
	}
	n, err := s.signed()
	if err != nil {
		return nil, err
	}
	growth, err := audit.Extend(s.LogDir, q.Checkpoint, n.Checkpoint)
	if _, rewritten := errors.AsType[*audit.Fault](err); rewritten {
		return nil, problem(http.StatusConflict, "log_rewritten", "%v", err)
	}
	if err != nil {
		return nil, wrapped("log_unreadable", err, "prove that the log grew")
	}
	return growth, nil
}

func (n *NewErasure) erasure(actor string) audit.Erasure {
	return audit.Erasure{User: n.User, Subject: n.Subject, Client: n.Client, Address: n.Address, Reason: n.Reason, Actor: actor}
}

func (s *Service) countErasure(r *http.Request) (any, error) {
	var n NewErasure
	trail, err := s.trail()
	if err == nil {
		err = decode(r, &n)
	}
	if err != nil {
		return nil, err
	}
	e := n.erasure("")
	e.Dry = true
	return trail.Erase(r.Context(), e)
}

// erase takes one person's data out. The log itself tells of each segment; the act's own
// event names the person by a pseudonym, too.
func (s *Service) erase(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "log.erasure"}
	var n NewErasure
	trail, err := s.trail()
	if err == nil {
		err = decode(r, &n)
	}
	if err != nil {
		return nil, change, err
	}
	erasure := n.erasure(named(actorOf(r.Context())))
	beside, err := s.forget(&erasure) // first: what is open there would write of the person again
	if err != nil {
		return nil, change, err
	}
	done, err := trail.Erase(r.Context(), erasure)
	change.Target = done.About
	if err != nil {
		return nil, change, err
	}
	change.Text = fmt.Sprintf("%d records in %d segments; %s", done.Records, done.Segments, n.Reason)
	if beside > 0 {
		change.Text += fmt.Sprintf("; and %d silences and alerts that named them", beside)
	}
	return done, change, nil
}

// forget takes a person out of what is kept beside the log.
func (s *Service) forget(e *audit.Erasure) (int, error) {
	if err := e.Check(); err != nil || s.Forget == nil {
		return 0, err
	}
	beside, err := s.Forget(e)
	if err != nil {
		return beside, wrapped("alerts_unreadable", err, "erase in what is kept of alerts")
	}
	return beside, nil
}

// Checkpoint signs a checkpoint of everything that is recorded.
func (c *Client) Checkpoint(ctx context.Context) (n Note, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/events/checkpoint", struct{}{}, &n)
	return n, err
}

// Prove shows that an event is in the log.
func (c *Client) Prove(ctx context.Context, id string) (e audit.Evidence, err error) {
	err = c.patient().call(ctx, http.MethodPost, "/v1/events/prove", Wanted{id}, &e)
	return e, err
}

// Consistency shows that the log of today begins with that of an earlier checkpoint.
func (c *Client) Consistency(ctx context.Context, before audit.Checkpoint) (g audit.Growth, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/events/consistency", Earlier{before}, &g)
	return g, err
}

// CountErasure says how many records an erasure would reach.
func (c *Client) CountErasure(ctx context.Context, n NewErasure) (e audit.Erased, err error) {
	err = c.patient().call(ctx, http.MethodPost, "/v1/events/count", n, &e)
	return e, err
}

// Erase takes one person's data out of the log.
func (c *Client) Erase(ctx context.Context, n NewErasure) (e audit.Erased, err error) {
	err = c.patient().call(ctx, http.MethodPost, "/v1/events/erase", n, &e)
	return e, err
}
