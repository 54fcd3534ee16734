package people

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/people/pages"
	"pavise.dev/pavise/internal/authserver/people/sessions"
	"pavise.dev/pavise/internal/authserver/people/upstream"
	"pavise.dev/pavise/internal/rows"
)

// flow is what is remembered of somebody who was sent elsewhere to sign in, under the
// state that they bring back.
type flow struct {
	upstream.Flow
	Browser string    `json:"browser,omitempty"` // keyed hash of the cookie: only this browser may come back
	Action  string    `json:"action,omitempty"`  // where it goes on
	Mark    string    `json:"mark,omitempty"`
	Client  string    `json:"client,omitempty"`
	Join    string    `json:"join,omitempty"` // subject whose account is being connected
	Since   time.Time `json:"since,omitzero"` // the person was to sign in after
	Ends    time.Time `json:"ends"`
}

// flowLife is how long somebody may take elsewhere.
const flowLife = 10 * time.Minute

// viaOthers is the authentication method of who signed in elsewhere. RFC 8176 has no word
// for it.
const viaOthers = "fed"

func (s *Service) openProviders(o Options) error {
	for _, settings := range o.SignIn.Providers {
		p, err := upstream.New(settings, upstream.Options{Fetch: o.Fetch, Now: o.Now, Rand: o.Rand})
		if err != nil {
			return err
		}
		if slices.ContainsFunc(s.providers, func(other *upstream.Provider) bool { return other.Name == p.Name || other.Issuer == p.Issuer }) {
			return fmt.Errorf("provider %q: another one has this name or this issuer", p.Name)
		}
		s.providers = append(s.providers, p)
	}
	return nil
}

func (s *Service) provider(name string) *upstream.Provider {
	for _, p := range s.providers {
		if p.Name == name {
			return p
		}
	}
	return nil
}

func (s *Service) redirectOf(p *upstream.Provider) string {
	return s.origin + s.base + "/sign-in/" + p.Name + "/callback"
}

// wayTo is the address that sends a person elsewhere. It is a link, not a form: what
// follows are redirects over addresses of others, and browsers hold each of them against
// the form-action of the page with a form. The token keeps other sites from using it.
func (k *asking) wayTo(action, provider string) string {
	return action + "?" + url.Values{"with": {provider}, "token": {k.records.Name(k.bound("with", action, provider))}}.Encode()
}

// depart sends a person elsewhere; join is the subject whose account is to be connected.
func (k *asking) depart(join string) error {
	query := k.r.URL.Query()
	if k.page != nil {
		return k.departToPage(query.Get("token"))
	}
	p := k.provider(query.Get("with"))
	if p == nil || k.browser == "" || !k.is(query.Get("token"), k.bound("with", k.Action, p.Name)) {
		return k.forged(errForged)
	}
	since := k.since()
	if join != "" {
		since = time.Time{} // they signed in here for it; there, they only show which account is theirs
	}
	address, state, f, err := p.Start(k.r.Context(), k.redirectOf(p), since)
	if err != nil {
		return k.failProvider(k.visit, p, k.Action, k.Client.ID, err)
	}
	kept := flow{
		Flow: f, Browser: k.records.Name(browserText(k.visit)), Action: k.Action, Mark: k.mark, Client: k.Client.ID, Join: join, Ends: k.now().Add(flowLife).UTC(),
	}
	if err := k.flows.Add(k.r.Context(), k.flows.Name(state), kept); err != nil {
		return err
	}
	pages.Redirect(k.w, address)
	return nil
}

func browserText(v *visit) []byte { return []byte("browser " + v.browser) }

// serveCallback is where people come back to.
func (s *Service) serveCallback(w http.ResponseWriter, r *http.Request) {
	if err := s.comeBack(w, r); err != nil {
		s.failed(w, r, err)
	}
}

func (s *Service) comeBack(w http.ResponseWriter, r *http.Request) error {
	v, err := s.visit(w, r)
	if err != nil {
		return err
	}
	p := s.provider(r.PathValue("provider"))
	if p == nil {
		return s.ErrorPage(w, r, http.StatusNotFound, "unknown_provider", "There is no such way to sign in.", "")
	}
	back, err := upstream.ParseCallback(r.URL.RawQuery)
	if err != nil {
		return s.lost(v, p, err)
	}
	f, err := s.takeFlow(r.Context(), v, p, back.State)
	if err != nil {
		if errors.Is(err, errLost) {
			return s.lost(v, p, err)
		}
		return err
	}
	who, err := p.Finish(r.Context(), s.redirectOf(p), f.Flow, back)
	if err != nil {
		return s.failProvider(v, p, f.Action, f.Client, err)
	}
	if f.Join != "" {
		return s.join(v, p, f, who)
	}
	return s.arrive(v, p, f, who)
}

var errLost = errors.New("nobody of this browser was sent to this provider a moment ago")

// takeFlow returns what is remembered under a state, once, in the browser that was sent
// away and to the address of the provider that it was sent to.
func (s *Service) takeFlow(ctx context.Context, v *visit, p *upstream.Provider, state string) (flow, error) {
	row, err := s.flows.Find(ctx, state)
	if errors.Is(err, rows.ErrMissing) {
		return flow{}, errLost
	}
	if err != nil {
		return flow{}, err
	}
	f := row.Value
	if v.browser == "" || !s.is(f.Browser, browserText(v)) || f.Provider != p.Name || !s.now().Before(f.Ends) {
		return flow{}, errLost
	}
	if err := s.flows.Take(ctx, row); errors.Is(err, rows.ErrMissing) {
		return flow{}, errLost
	} else if err != nil {
		return flow{}, err
	}
	return f, nil
}

// lost answers to who comes back with what nobody here has asked for.
func (s *Service) lost(v *visit, p *upstream.Provider, err error) error {
	s.tell(v, Event{Action: EventSignInFailed, Method: p.Name, Detail: err.Error()})
	return s.showLost(v)
}

func (s *Service) showLost(v *visit) error {
	return s.pages.Write(v.w, http.StatusBadRequest, pages.Error, pages.ErrorData{
		Form: pages.Form{Title: "This sign-in cannot go on"}, Code: "lost_sign_in",
		Text: "It began in another browser, was used before, or took too long. Go back to the application and begin again.",
	}, "")
}

// failProvider says what went wrong elsewhere, and where to go on.
func (s *Service) failProvider(v *visit, p *upstream.Provider, action, client string, err error) error {
	if errors.Is(err, upstream.ErrDenied) {
		s.tell(v, Event{Action: EventSignInFailed, Client: client, Method: p.Name, Detail: err.Error()})
		pages.Redirect(v.w, action)
		return nil
	}
	status, text := http.StatusBadGateway, p.Title+" answered in a way that cannot be trusted. Try again, or sign in another way."
	switch {
	case errors.Is(err, upstream.ErrAway):
		status, text = http.StatusServiceUnavailable, p.Title+" cannot be reached at the moment. Try again later, or sign in another way."
	case errors.Is(err, upstream.ErrNotFresh):
		status, text = http.StatusForbidden, "You are asked to sign in anew, and "+p.Title+" does not confirm that you did. Sign in another way."
	case errors.Is(err, upstream.ErrStranger):
		status, text = http.StatusForbidden, "Your account at "+p.Title+" is not one that may sign in here."
	case !errors.Is(err, upstream.ErrRejected):
		return err
	}
	s.tell(v, Event{Action: EventProviderFailed, Client: client, Method: p.Name, Detail: err.Error()})
	return s.pages.Write(v.w, status, pages.Error, pages.ErrorData{
		Form: pages.Form{Title: "Signing in with " + p.Title + " did not work"}, Code: "provider_failed", Text: text, Next: action, More: "Back to signing in",
	}, "")
}

// arrive signs in whoever came back.
func (s *Service) arrive(v *visit, p *upstream.Provider, f flow, who upstream.Identity) error {
	u, err := s.accountOf(v, p, f, who)
	switch {
	case errors.Is(err, account.ErrUnknown):
		s.tell(v, Event{Action: EventSignInFailed, Client: f.Client, Method: p.Name, Detail: "no account is connected"})
		return s.pages.Write(v.w, http.StatusForbidden, pages.Error, pages.ErrorData{
			Form: pages.Form{Title: "No account is connected"}, Code: "unknown_account", Next: f.Action, More: "Back to signing in",
			Text: "Nobody here has connected this account at " + p.Title + ". Sign in another way first, and connect it at your account.",
		}, "")
	case err != nil:
		return err
	case u.Disabled != "":
		s.tell(v, Event{Action: EventSignInFailed, Subject: u.Subject, Client: f.Client, Method: p.Name, Detail: "the account is disabled"})
		return s.ErrorPage(v.w, v.r, http.StatusForbidden, "account_disabled", textDisabled, "")
	}
	n := sessions.Session{
		AuthTime: who.AuthTime, Vague: who.AuthTime.IsZero(), ACR: ACROne, AMR: []string{viaOthers}, For: f.Mark, Via: p.Name, Half: u.HasTOTP,
	}
	if err := s.beginSession(v, u, n); err != nil {
		return err
	}
	if !u.HasTOTP {
		s.tell(v, Event{Action: EventSignIn, Subject: u.Subject, Client: f.Client, Method: p.Name})
	}
	pages.Redirect(v.w, f.Action)
	return nil
}

// accountOf finds the account of an identity, by issuer and subject only, or makes one if
// the provider's settings say so.
func (s *Service) accountOf(v *visit, p *upstream.Provider, f flow, who upstream.Identity) (account.User, error) {
	ctx := v.r.Context()
	u, err := s.accounts.Federated(ctx, who.Issuer, who.Subject)
	if !errors.Is(err, account.ErrUnknown) || p.Accounts != upstream.Create {
		return u, err
	}
	u, err = s.accounts.CreateFederated(ctx, s.identityOf(p, who), cut(who.Name, 80), cut(who.Email, 200), who.EmailVerified)
	if errors.Is(err, account.ErrTaken) { // by the same person, in another tab
		return s.accounts.Federated(ctx, who.Issuer, who.Subject)
	}
	if err == nil {
		s.tell(v, Event{Action: EventAccountCreated, Subject: u.Subject, Client: f.Client, Method: p.Name})
	}
	return u, err
}

func (s *Service) identityOf(p *upstream.Provider, who upstream.Identity) account.Identity {
	return account.Identity{Issuer: who.Issuer, Subject: who.Subject, Via: p.Name, Since: s.now().UTC()}
}

// join connects an identity with the account of who is signed in: the same person who
// asked for it.
func (s *Service) join(v *visit, p *upstream.Provider, f flow, who upstream.Identity) error {
	if !v.signed || v.user.Subject != f.Join {
		return s.lost(v, p, errLost)
	}
	_, err := s.accounts.Join(v.r.Context(), v.user.Subject, s.identityOf(p, who))
	if errors.Is(err, account.ErrTaken) {
		return s.pages.Write(v.w, http.StatusConflict, pages.Error, pages.ErrorData{
			Form: pages.Form{Title: "It is connected already"}, Code: "identity_taken", Next: s.base + "/account", More: "Your account",
			Text: "This account at " + p.Title + " is connected with an account here. Disconnect it there first.",
		}, "")
	}
	if err != nil {
		return err
	}
	s.tell(v, Event{Action: EventIdentityJoined, Subject: v.user.Subject, Method: p.Name})
	pages.Redirect(v.w, s.base+"/account")
	return nil
}

// connectPath is where one's own account is connected with one elsewhere.
const connectPath = "/account/connect"

func (k *asking) connect(string) error {
	if k.r.Method == http.MethodGet && k.r.URL.Query().Has("with") {
		return k.depart(k.user.Subject)
	}
	pages.Redirect(k.w, k.base+"/account")
	return nil
}

func (k *asking) linkRows() []pages.LinkRow {
	var all []pages.LinkRow
	for _, p := range k.providers {
		row := pages.LinkRow{Name: p.Title, ID: p.Name, Address: k.wayTo(k.base+connectPath, p.Name)}
		for _, id := range k.user.Federated {
			if id.Issuer == p.Issuer {
				row.Joined, row.Since, row.Last = true, dayText(id.Since), !k.user.HasPassword && len(k.user.Federated) == 1
			}
		}
		all = append(all, row)
	}
	return all
}

// textLast is what is said to who wants to do without their only way in.
const textLast = "This is your only way to sign in: without it nobody could reach this account. It stays connected."

// part disconnects an identity; [account.ErrLast] if nothing would be left to sign in with.
func (k *asking) part(ctx context.Context, name string) error {
	p := k.provider(name)
	if p == nil {
		return nil
	}
	_, err := k.accounts.Part(ctx, k.user.Subject, p.Issuer)
	if errors.Is(err, account.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	k.event(Event{Action: EventIdentityParted, Subject: k.user.Subject, Method: p.Name})
	_, err = k.sessions.EndVia(ctx, k.user.Subject, p.Name, k.session.ID)
	return err
}
