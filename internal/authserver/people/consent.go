package people

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/internal/authserver/people/pages"
	"pavise.dev/pavise/internal/authserver/people/rows"
)

// consent is what a person said to an application before.
type consent struct {
	Subject  string        `json:"subject"`
	Client   string        `json:"client"`
	Name     string        `json:"name,omitempty"` // of the application, when it was asked for
	Host     string        `json:"host,omitempty"`
	Allowed  []string      `json:"allowed"`
	Declined []string      `json:"declined,omitempty"` // asked for, and left out
	APIs     []string      `json:"apis,omitempty"`
	Offline  bool          `json:"offline,omitempty"`
	Lifetime time.Duration `json:"lifetime"`
	Given    time.Time     `json:"given"`
}

// fixedScope is granted with any other: it only says that the answer tells who signed in.
const fixedScope = "openid"

// offlineScope asks for access while the person is away (OpenID Connect Core §11).
const offlineScope = "offline_access"

// textOf is what people read of a scope: the configuration's words, else ours for what
// OpenID Connect defines (§5.4, §11), else its name.
func textOf(scope Scope) string {
	if scope.Text != "" {
		return cut(scope.Text, 300)
	}
	switch scope.Name {
	case fixedScope:
		return "Know who you are here"
	case "profile":
		return "See your name and your user name"
	case "email":
		return "See your e-mail address"
	case "phone":
		return "See your telephone number"
	case "address":
		return "See your postal address"
	case offlineScope:
		return "Keep its access while you are away"
	}
	return cut(scope.Name, 128)
}

func consentID(subject, client string) string { return rows.Digest("consent", subject, client) }

// remembered returns what the person would allow again without being asked; nil: ask.
//
// Asked again are: who said no to all of it, whoever is asked for more than before (a
// scope, an API, a longer life, access while away), devices, which somebody else may hold,
// and applications that anybody can pretend to be: those that nobody has reviewed, and
// those whose answers go to an address that any program on the person's machine can listen
// at (RFC 8252 §8.6).
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
	known := row.Value
	away := k.Offline && !slices.Contains(known.Declined, offlineScope)
	if away && !known.Offline || k.Lifetime > known.Lifetime || !contains(known.APIs, k.APIs) {
		return nil, nil
	}
	allowed := []string{}
	for _, scope := range k.Scopes {
		switch {
		case slices.Contains(known.Allowed, scope.Name):
			allowed = append(allowed, scope.Name)
		case !slices.Contains(known.Declined, scope.Name):
			return nil, nil
		}
	}
	if len(k.Scopes) > 0 && !slices.ContainsFunc(allowed, func(scope string) bool { return scope != fixedScope || len(k.Scopes) == 1 }) {
		return nil, nil
	}
	return allowed, nil
}

// isImpersonable reports whether an answer to this address may be read by whatever program
// runs where the person is.
func isImpersonable(address string) bool {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address != ""
	}
	return scheme != "https" || strings.HasPrefix(rest, "localhost") || strings.HasPrefix(rest, "127.") || strings.HasPrefix(rest, "[::1]")
}

func contains(all, some []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}

func (k *asking) showConsent(status int, wrong string) error {
	known, err := k.consents.Get(k.r.Context(), consentID(k.user.Subject, k.Client.ID))
	if err != nil && !errors.Is(err, rows.ErrMissing) {
		return err
	}
	data := pages.ConsentData{
		Form: k.pageForm(k.Client.Name+" asks for access", wrong), App: *k.app(), Who: whoOf(k.user), APIs: texts(k.APIs),
		Lifetime: lifetimeText(k.Lifetime), Offline: k.Offline, Device: k.Device, Unreviewed: k.Client.Unreviewed,
		Account: k.base + "/account",
	}
	for _, scope := range k.Scopes {
		data.Items = append(data.Items, pages.Item{
			Name: scope.Name, Text: textOf(scope), Fixed: scope.Name == fixedScope, Known: slices.Contains(known.Value.Allowed, scope.Name),
		})
	}
	if len(data.Items) == 0 {
		data.Items = []pages.Item{{Text: "Know that you are signed in", Fixed: true}}
	}
	return k.show(status, pages.Consent, data)
}

// allow keeps what the person allowed.
func (k *asking) allow() (Answer, error) {
	chosen := k.r.PostForm["scope"]
	next := consent{
		Subject: k.user.Subject, Client: k.Client.ID, Name: k.Client.Name, Host: k.Client.RedirectHost,
		Allowed: []string{}, APIs: k.APIs, Lifetime: k.Lifetime, Given: k.now().UTC(),
	}
	some := len(k.Scopes) == 0
	for _, scope := range k.Scopes {
		fixed := scope.Name == fixedScope
		if fixed || slices.Contains(chosen, scope.Name) {
			next.Allowed = append(next.Allowed, scope.Name)
			some = some || !fixed || len(k.Scopes) == 1
		} else {
			next.Declined = append(next.Declined, scope.Name)
		}
	}
	if !some {
		return Answer{}, k.showConsent(http.StatusUnprocessableEntity, "Choose at least one thing that it may do, or refuse.")
	}
	next.Offline = k.Offline && !slices.Contains(next.Declined, offlineScope)
	if err := k.keep(k.r.Context(), next); err != nil {
		return Answer{}, err
	}
	k.event(Event{Action: EventConsent, Subject: k.user.Subject, Client: k.Client.ID, Detail: strings.Join(next.Allowed, " ")})
	return k.grant(next.Allowed), nil
}

// keep joins what was said now with what was said before: the newer word counts for each
// scope, and nothing else is forgotten.
func (s *Service) keep(ctx context.Context, now consent) error {
	id := consentID(now.Subject, now.Client)
	now.Allowed, now.Declined, now.APIs = join(now.Allowed, nil, nil), join(now.Declined, nil, nil), join(now.APIs, nil, nil)
	for range 2 {
		_, err := s.consents.Change(ctx, id, func(known *consent) error {
			known.Name, known.Host = now.Name, now.Host
			known.Allowed = join(now.Allowed, known.Allowed, now.Declined)
			known.Declined = join(now.Declined, known.Declined, now.Allowed)
			known.APIs = join(now.APIs, known.APIs, nil)
			known.Offline = known.Offline || now.Offline
			known.Lifetime, known.Given = max(known.Lifetime, now.Lifetime), now.Given
			return nil
		})
		if !errors.Is(err, rows.ErrMissing) {
			return err
		}
		if err := s.consents.Add(ctx, id, now); !errors.Is(err, rows.ErrTaken) {
			return err
		}
	}
	return errors.New("keep a consent: it comes and goes")
}

// maxRemembered bounds the scopes that are remembered of one application: a row has at
// most 40 KiB. What does not fit is asked for again.
const maxRemembered = 96

// join returns a, and what b has besides, without what is in c.
func join(a, b, c []string) []string {
	all := slices.Clone(a[:min(len(a), maxRemembered)])
	for _, one := range b {
		if !slices.Contains(all, one) && !slices.Contains(c, one) && len(all) < maxRemembered {
			all = append(all, one)
		}
	}
	return all
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
	return errors.New("forget a consent: it changed each time")
}

// ForgetClient removes what everybody said to an application that is gone, so that
// another one of its id is asked about anew.
func (s *Service) ForgetClient(ctx context.Context, client string) (int, error) {
	return s.consents.RemoveIf(ctx, func(c consent) bool { return c.Client == client })
}

func lifetimeText(d time.Duration) string {
	for _, unit := range []struct {
		name string
		long time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}} {
		if n := int64((d + unit.long/2) / unit.long); d >= unit.long {
			if n == 1 {
				return "1 " + unit.name
			}
			return strconv.FormatInt(n, 10) + " " + unit.name + "s"
		}
	}
	return "This once"
}
