package people

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pavise.dev/pavise/internal/rows"
)

// consent is what a person said to an application before, the newest last.
type consent struct {
	Subject string `json:"subject"`
	Client  string `json:"client"`
	Name    string `json:"name,omitempty"` // of the application, when it was asked for
	Host    string `json:"host,omitempty"`
	Said    []said `json:"said"`
}

// said is one answer of a person. It is remembered as it was given: who lets an
// application read at one API and write at another has not let it write at the first.
type said struct {
	Allowed  []string      `json:"allowed"`
	Declined []string      `json:"declined,omitempty"` // asked for, and left out
	APIs     []string      `json:"apis,omitempty"`
	Offline  bool          `json:"offline,omitempty"`
	Lifetime time.Duration `json:"lifetime"`
	Given    time.Time     `json:"given"`
}

func consentID(subject, client string) string { return rows.Digest("consent", subject, client) }

// given is when the person last said anything.
func (c *consent) given() time.Time {
	if len(c.Said) == 0 {
		return time.Time{}
	}
	return c.Said[len(c.Said)-1].Given
}

// allowed are the scopes that stand in any of the answers.
func (c *consent) allowed() []string {
	all := []string{}
	for _, one := range c.Said {
		all = append(all, without(one.Allowed, all)...)
	}
	return all
}

// add remembers a new answer. It is the newer word of each scope that it speaks of: what
// the older ones say of those is forgotten, and asked for again where the new one is silent.
func (c *consent) add(now said) {
	older := c.Said
	c.Said = nil
	for _, one := range older {
		one.Allowed, one.Declined = without(one.Allowed, now.Declined), without(one.Declined, now.Allowed)
		if !now.says(one) {
			c.Said = append(c.Said, one)
		}
	}
	c.Said = append(c.Said, now)
	for len(c.Said) > 0 && c.size() > maxSaid {
		c.Said = c.Said[1:]
	}
}

// maxSaid bounds what is remembered of one application, in bytes: a row has at most 40 KiB.
// What does not fit, the oldest first, is asked for again.
const maxSaid = 32 << 10

func (c *consent) size() int {
	text, err := json.Marshal(c.Said)
	if err != nil {
		return maxSaid + 1 // it cannot be: there is nothing in it that JSON does not know
	}
	return len(text)
}

// says reports whether s says everything that older says.
func (s said) says(older said) bool {
	return contains(s.Allowed, older.Allowed) && contains(s.Declined, older.Declined) && contains(s.APIs, older.APIs) &&
		(s.Offline || !older.Offline) && s.Lifetime >= older.Lifetime
}

// answers returns the scopes that this answer allows of what is asked for now; nil if it
// says nothing of a part of it, or no to all of it.
func (s said) answers(k *Asked) []string {
	away := k.Offline && !slices.Contains(s.Declined, offlineScope)
	if away && !s.Offline || k.Lifetime > s.Lifetime || !contains(s.APIs, k.APIs) {
		return nil
	}
	allowed := []string{}
	for _, scope := range k.Scopes {
		switch {
		case slices.Contains(s.Allowed, scope.Name):
			allowed = append(allowed, scope.Name)
		case !slices.Contains(s.Declined, scope.Name):
			return nil
		}
	}
	if len(k.Scopes) > 0 && !slices.ContainsFunc(allowed, func(scope string) bool { return scope != fixedScope || len(k.Scopes) == 1 }) {
		return nil
	}
	return allowed
}

// remembered returns what the person would allow again without being asked; nil: ask.
//
// Asked again are: who said no to all of it, whoever is asked for more than they once
// allowed at one time (a scope, an API, a longer life, access while away), devices, which
// somebody else may hold, and applications that anybody can pretend to be: those that
// nobody has reviewed, and those whose answers go to an address that any program on the
// person's machine can listen at (RFC 8252 §8.6).
func (k *asking) remembered() ([]string, error) {
	if k.Device != "" || k.Client.Unreviewed || isImpersonable(k.Client.RedirectURI) {
		return nil, nil
	}
	row, err := k.consents.Get(k.r.Context(), consentID(k.user.Subject, k.Client.ID))
	if errors.Is(err, rows.ErrMissing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, one := range slices.Backward(row.Value.Said) {
		if allowed := one.answers(&k.Asked); allowed != nil {
			return allowed, nil
		}
	}
	return nil, nil
}

// remember keeps what the person said to the application now.
func (k *asking) remember(ctx context.Context, now said) error {
	id := consentID(k.user.Subject, k.Client.ID)
	for range 2 {
		_, err := k.consents.Change(ctx, id, func(known *consent) error {
			known.Name, known.Host = k.Client.Name, k.Client.RedirectHost
			known.add(now)
			return nil
		})
		if !errors.Is(err, rows.ErrMissing) {
			return err
		}
		first := consent{Subject: k.user.Subject, Client: k.Client.ID, Name: k.Client.Name, Host: k.Client.RedirectHost}
		first.add(now)
		if err := k.consents.Add(ctx, id, first); !errors.Is(err, rows.ErrTaken) {
			return err
		}
	}
	return errors.New("keep a consent: it comes and goes")
}

// forget removes what a person said to an application.
func (s *Service) forget(ctx context.Context, subject, client string) error {
	for range 8 {
		row, err := s.consents.Get(ctx, consentID(subject, client))
		if errors.Is(err, rows.ErrMissing) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.consents.Take(ctx, row); !errors.Is(err, rows.ErrMissing) {
			return err
		}
	}
	return fmt.Errorf("forget what was said to %s: it changed each time", client)
}

// ForgetClients removes what everybody said to applications that are gone, so that another
// one of the same id, or the same one when it is back, is asked about anew. What was said a
// moment ago stays: not everybody may know of a new client yet.
func (s *Service) ForgetClients(ctx context.Context, isGone func(client string) (bool, error)) (int, error) {
	all, err := s.consents.All(ctx)
	if err != nil {
		return 0, err
	}
	gone, before := map[string]bool{}, s.now().Add(-time.Minute)
	for _, row := range all {
		client := row.Value.Client
		if _, known := gone[client]; known {
			continue
		}
		if gone[client], err = isGone(client); err != nil {
			return 0, fmt.Errorf("ask whether client %s is gone: %w", client, err)
		}
	}
	if !slices.Contains(slices.Collect(maps.Values(gone)), true) {
		return 0, nil
	}
	return s.consents.RemoveIf(ctx, func(c consent) bool { return gone[c.Client] && c.given().Before(before) })
}

func contains(all, some []string) bool { return len(without(some, all)) == 0 }

// without returns what is in some and not in all.
func without(some, all []string) []string {
	return slices.DeleteFunc(slices.Clone(some), func(one string) bool { return slices.Contains(all, one) })
}
