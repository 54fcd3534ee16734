package people

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/internal/authserver/people/pages"
	"pavise.dev/pavise/internal/rows"
)

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

// isImpersonable reports whether an answer to this address may be read by whatever program
// runs where the person is.
func isImpersonable(address string) bool {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address != ""
	}
	return scheme != "https" || strings.HasPrefix(rest, "localhost") || strings.HasPrefix(rest, "127.") || strings.HasPrefix(rest, "[::1]")
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
			Name: scope.Name, Text: textOf(scope), Fixed: scope.Name == fixedScope, Known: slices.Contains(known.Value.allowed(), scope.Name),
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
	next := said{Allowed: []string{}, APIs: k.APIs, Lifetime: k.Lifetime, Given: k.now().UTC()}
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
	if err := k.remember(k.r.Context(), next); err != nil {
		return Answer{}, err
	}
	k.event(Event{Action: EventConsent, Subject: k.user.Subject, Client: k.Client.ID, Detail: strings.Join(next.Allowed, " ")})
	return k.grant(next.Allowed), nil
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
