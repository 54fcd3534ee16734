package people

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/people/pages"
	"pavise.dev/pavise/internal/authserver/people/sessions"
)

// ownPage is one of a person's own pages.
type ownPage struct {
	path string
	sure bool // who changes how to sign in has to have signed in a moment ago, with all factors
	show func(*asking, string) error
	act  func(*asking) error
}

// sureFor is how old a sign-in may be for what changes how to sign in.
const sureFor = 10 * time.Minute

func (s *Service) ownPages() []ownPage {
	return []ownPage{
		{"/account", false, (*asking).showAccount, (*asking).actAccount},
		{"/account/password", true, (*asking).showPassword, (*asking).actPassword},
		{"/account/totp", true, (*asking).showTOTP, (*asking).actTOTP},
		{"/account/connect", true, (*asking).connect, func(k *asking) error { return k.connect("") }},
		{"/sign-out", false, (*asking).showSignOut, (*asking).actSignOut},
	}
}

// own serves a page of a person's own: for who is not signed in, it is the way to.
func (s *Service) own(page ownPage) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.serveOwn(page, w, r); err != nil {
			s.failed(w, r, err)
		}
	})
}

// failed answers for what could not be done, if nothing was answered yet.
func (s *Service) failed(w http.ResponseWriter, r *http.Request, err error) {
	id := s.fault(r, err)
	_ = s.ErrorPage(w, r, http.StatusServiceUnavailable, "temporarily_unavailable", "This cannot be done at the moment. Try again later.", id) // nobody is left to tell
}

func (s *Service) serveOwn(page ownPage, w http.ResponseWriter, r *http.Request) error {
	v, err := s.visit(w, r)
	if err != nil {
		return err
	}
	if err := s.know(v); err != nil {
		return err
	}
	k := &asking{Service: s, visit: v, Asked: Asked{Action: s.base + page.path}, mark: ownMark}
	if page.sure {
		age := sureFor
		k.MaxAge, k.ACR = &age, []string{ACRTwo}
	}
	wanted := k.wanting()
	if r.Method == http.MethodPost {
		if err := k.form(v, k.Action); err != nil {
			return k.forged(err)
		}
		switch {
		case wanted != nothing:
			return k.signInStep()
		default:
			return page.act(k)
		}
	}
	switch {
	case wanted == signIn && page.path == "/sign-out":
		return k.showSignedOut()
	case wanted == signIn && r.URL.Query().Has("with"):
		return k.depart("")
	case wanted == signIn:
		return k.showSignIn(http.StatusOK, "")
	case wanted == second:
		return k.askSecond(k.user.Subject, k.session.AMR, "")
	}
	return page.show(k, "")
}

// ownMark is of no authorization: a sign-in at one's own pages is good for what its age
// allows, and for nothing besides.
const ownMark = ""

// signInStep does what a form of signing in says.
func (k *asking) signInStep() error {
	switch k.value("do") {
	case "sign-in":
		return k.password()
	case "second":
		return k.secondFactor()
	case "password":
		return k.newPassword()
	}
	return k.restart()
}

func (k *asking) forged(err error) error {
	k.event(Event{Action: EventForged, Client: k.Client.ID, Detail: err.Error()})
	return k.pages.Write(k.w, http.StatusForbidden, pages.Error, pages.ErrorData{
		Form: pages.Form{Title: "This page is too old"}, Code: "forged_form", Next: k.Action, More: "Try again",
		Text: "The form does not come from a page that this browser was shown a moment ago. Nothing was done.",
	}, "")
}

func (k *asking) showAccount(note string) error {
	ctx := k.r.Context()
	data := pages.AccountData{
		Form: k.pageForm("Your account", ""), Who: whoOf(k.user), Login: k.user.Login, Email: k.user.Email,
		HasPassword: k.user.HasPassword, HasTOTP: k.user.HasTOTP, Codes: k.user.RecoveryCodes,
		SignOut: k.base + "/sign-out", PasswordPage: k.base + "/account/password", TOTP: k.base + "/account/totp",
	}
	data.Note = note
	var err error
	if data.Grants, err = k.grantRows(ctx); err != nil {
		return err
	}
	all, err := k.sessions.Of(ctx, k.user.Subject, k.user.Epoch)
	if err != nil {
		return err
	}
	for _, one := range all {
		data.Sessions = append(data.Sessions, sessionRow(one, k.session.ID))
	}
	data.Links = k.linkRows()
	return k.pages.Write(k.w, http.StatusOK, pages.Account, data, "")
}

// grantRows are the applications that have access, and those that would get it again
// without being asked for.
func (k *asking) grantRows(ctx context.Context) ([]pages.GrantRow, error) {
	granted, err := k.grants.OfPerson(ctx, k.user.Subject)
	if err != nil {
		return nil, fmt.Errorf("read what was granted: %w", err)
	}
	slices.SortFunc(granted, func(a, b Grant) int { return b.Created.Compare(a.Created) })
	var all []pages.GrantRow
	for _, g := range granted {
		when := dayText
		if !g.Ends.IsZero() && g.Ends.Sub(g.Created) < 48*time.Hour {
			when = momentText
		}
		all = append(all, pages.GrantRow{
			ID: "grant " + g.ID, Name: cut(cmp.Or(g.Application, g.Client), 80), Host: cut(g.Host, 253), Scopes: k.scopeTexts(g.Scopes),
			Since: when(g.Created), Until: when(g.Ends), Used: when(g.Used),
		})
	}
	kept, err := k.consents.All(ctx)
	if err != nil {
		return nil, err
	}
	for _, row := range kept {
		c := row.Value
		if c.Subject != k.user.Subject || slices.ContainsFunc(granted, func(g Grant) bool { return g.Client == c.Client }) {
			continue
		}
		all = append(all, pages.GrantRow{
			ID: "consent " + c.Client, Name: cut(cmp.Or(c.Name, c.Client), 80), Host: cut(c.Host, 253), Scopes: k.scopeTexts(c.allowed()), Since: dayText(c.given()),
		})
	}
	return all, nil
}

// scopeTexts say what was allowed in the words of the question.
func (s *Service) scopeTexts(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = textOf(Scope{Name: name, Text: s.scopeText(name)})
	}
	return all
}

func sessionRow(one sessions.Session, this string) pages.SessionRow {
	return pages.SessionRow{
		ID: one.ID, Agent: agentText(one.Agent), From: one.Remote, Since: momentText(one.AuthTime), Seen: momentText(one.Seen), This: one.ID == this,
	}
}

func (k *asking) actAccount() error {
	ctx, id := k.r.Context(), k.value("id")
	switch k.value("do") {
	case "withdraw":
		if err := k.withdraw(ctx, id); err != nil {
			return err
		}
	case "part":
		switch err := k.part(ctx, id); {
		case errors.Is(err, account.ErrLast):
			return k.showAccount(textLast)
		case err != nil:
			return err
		}
	case "end":
		if err := k.sessions.EndOne(ctx, k.user.Subject, id); err != nil && !errors.Is(err, sessions.ErrNone) {
			return err
		}
		k.event(Event{Action: EventSignOut, Subject: k.user.Subject, Detail: "another session"})
	}
	pages.Redirect(k.w, k.Action)
	return nil
}

// withdraw takes access away from an application, and forgets that it was allowed. Only
// what is this person's own can be named.
func (k *asking) withdraw(ctx context.Context, id string) error {
	kind, name, _ := strings.Cut(id, " ")
	app := name
	if kind == "grant" {
		granted, err := k.grants.OfPerson(ctx, k.user.Subject)
		if err != nil {
			return fmt.Errorf("read what was granted: %w", err)
		}
		i := slices.IndexFunc(granted, func(g Grant) bool { return g.ID == name })
		if i < 0 {
			return nil
		}
		app = granted[i].Client
		if err := k.grants.Revoke(ctx, k.user.Subject, name); err != nil {
			return fmt.Errorf("revoke what was granted: %w", err)
		}
	}
	if err := k.forget(ctx, k.user.Subject, app); err != nil {
		return err
	}
	k.event(Event{Action: EventWithdrawn, Subject: k.user.Subject, Client: app})
	return nil
}
