package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pavise.dev/pavise/shield"
)

// `pavise attack` has clients of its own, whose names nobody else can have: two, so that
// credentials can be crossed, and one without any scope. What they hold ends within [TesterLife] and is bound to a
// network. Requests of theirs that are accepted are answered by the gateway itself; those of
// the pair that goes through reach the upstream, for whoever wants that.
//
// A tester's credential can do nothing that an ordinary one cannot, and mostly less: that a
// token of somebody else's names such a client is no way around anything.
const (
	TesterA        = "pavise-tester-a"
	TesterB        = "pavise-tester-b"
	TesterNone     = "pavise-tester-none"
	TesterThroughA = "pavise-tester-through-a"
	TesterThroughB = "pavise-tester-through-b"

	TesterLife = 15 * time.Minute
)

// IsTester reports whether a client is one of `pavise attack`.
func IsTester(id string) bool {
	return IsAnswered(id) || id == TesterThroughA || id == TesterThroughB
}

// IsAnswered reports whether the gateway itself answers what is accepted of a client.
func IsAnswered(id string) bool { return id == TesterA || id == TesterB || id == TesterNone }

var errTester = errors.New("the name belongs to `pavise attack`; choose another")

// OpenTester makes or wakes a client of `pavise attack`, with scopes.
func (r *Registry) OpenTester(ctx context.Context, id string, scopes shield.Scopes) (Change, error) {
	if !IsTester(id) {
		return Change{}, fmt.Errorf("%s is no client of `pavise attack`", quote(id))
	}
	c := Client{ID: id, Contact: "pavise attack", Scopes: scopes}
	change, err := r.createClient(ctx, c)
	if !errors.Is(err, ErrExists) {
		return change, err
	}
	return r.updateClient(ctx, id, "test", func(known *Client) error {
		known.Scopes, known.Disabled = scopes, false
		return nil
	})
}

// CloseTester ends all that a client of `pavise attack` holds, and puts it to rest.
func (r *Registry) CloseTester(ctx context.Context, id string) (Change, error) {
	if !IsTester(id) {
		return Change{}, fmt.Errorf("%s is no client of `pavise attack`", quote(id))
	}
	_, ended := r.RevokeClient(ctx, id, "the test is over")
	change, err := r.updateClient(ctx, id, "test_end", func(c *Client) error {
		c.Scopes, c.Disabled = nil, true
		return nil
	})
	if errors.Is(ended, ErrMissing) { // it held nothing, or never was
		ended = nil
	}
	return change, errors.Join(ended, err)
}

// checkTester refuses what no credential of `pavise attack` may be.
func (c *Credential) checkTester() error {
	switch end := c.End(); {
	case end.IsZero() || end.After(c.Created.Add(TesterLife)):
		return fmt.Errorf("a credential of `pavise attack` ends after %s at most", TesterLife)
	case len(c.Networks) == 0:
		return errors.New("a credential of `pavise attack` is bound to a network")
	}
	return nil
}
