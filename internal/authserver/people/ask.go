package people

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/people/pages"
	"pavise.dev/pavise/shield"
)

// Ask asks a person what an application wants. It is called for the request that begins
// an authorization, whatever its address, and then for each request to a.Action, until
// the answer is not [Pending]. If it is, a page or a redirect was written; otherwise
// nothing was, and the caller goes on. Cookies may have been set in both cases. An error
// says that nothing could be decided, and that nothing was written.
func (s *Service) Ask(w http.ResponseWriter, r *http.Request, a Asked) (Answer, error) {
	v, err := s.visit(w, r)
	if err != nil {
		return Answer{}, err
	}
	k := &asking{Service: s, visit: v, Asked: a, mark: markOf(a.ID)}
	k.Client = bounded(a.Client)
	switch {
	case r.URL.Path != a.Action:
		return k.begin()
	case !isMarked(v, a.ID):
		return Answer{}, k.explain(http.StatusForbidden, "This page belongs to another browser",
			"A sign-in goes on where it began. Go back to the application and begin again here; cookies have to be allowed.", "other_browser")
	case r.Method == http.MethodPost:
		return k.act()
	case r.URL.Query().Has("with"):
		return Answer{}, k.depart("")
	}
	return k.look()
}

// asking is one request of an authorization.
type asking struct {
	*Service
	*visit
	Asked
	mark string
}

// begin is the first request. The page is written here, not behind a redirect, unless the
// request was a form of the application's, with which browsers send no cookies.
func (k *asking) begin() (Answer, error) {
	if slices.Contains(k.Prompt, "none") {
		return k.silent()
	}
	if err := k.know(k.visit); err != nil {
		return Answer{}, err
	}
	mark(k.visit, k.ID)
	if k.r.Method == http.MethodPost {
		pages.Redirect(k.w, k.Action)
		return Answer{}, nil
	}
	return k.look()
}

// silent answers for prompt=none (OpenID Connect Core §3.1.2.1): without a page.
func (k *asking) silent() (Answer, error) {
	switch k.wanting() {
	case nothing, consentOnly:
	default:
		return Answer{State: NeedsLogin}, nil
	}
	known, err := k.remembered()
	switch {
	case err != nil:
		return Answer{}, err
	case known == nil:
		return Answer{State: NeedsConsent, Person: k.person()}, nil
	}
	return k.grant(known), nil
}

// want is what has to happen before the person can be asked for consent.
type want int

const (
	nothing     want = iota
	consentOnly      // the person is to be asked even if the answer is known
	signIn
	second // a second factor, for who is signed in already
	choice // of the account
)

func (k *asking) wanting() want {
	if k.half {
		return second
	}
	if !k.signed {
		return signIn
	}
	fresh := k.mark != ownMark && k.session.For == k.mark // signed in for this authorization
	if !fresh && slices.Contains(k.Prompt, "login") {
		return signIn
	}
	if !fresh && k.MaxAge != nil && (k.session.Vague || k.now().Sub(k.session.AuthTime) > *k.MaxAge) {
		return signIn
	}
	if !fresh && k.page != nil && k.mark != ownMark && len(k.ACR) > 0 && !slices.Contains(k.ACR, k.session.ACR) {
		return signIn // how one signs in there, and what is known of it, is the page's word
	}
	if k.wantsTwo() && k.session.ACR == ACROne && k.user.HasTOTP {
		return second
	}
	if !fresh && slices.Contains(k.Prompt, "select_account") {
		return choice
	}
	if slices.Contains(k.Prompt, "consent") {
		return consentOnly
	}
	return nothing
}

// wantsTwo reports whether two factors are asked for: by name, and not only as good as one.
func (k *asking) wantsTwo() bool {
	two, one := slices.Index(k.ACR, ACRTwo), slices.Index(k.ACR, ACROne)
	return two >= 0 && (one < 0 || two < one)
}

// look shows what comes next, or is done.
func (k *asking) look() (Answer, error) {
	switch k.wanting() {
	case signIn:
		return Answer{}, k.showSignIn(http.StatusOK, "")
	case second:
		return Answer{}, k.askSecond(k.user.Subject, k.session.AMR, "")
	case choice:
		return Answer{}, k.showChoice()
	case consentOnly:
		return Answer{}, k.showConsent(http.StatusOK, "")
	}
	return k.consentOrGrant()
}

// consentOrGrant asks unless the answer is known.
func (k *asking) consentOrGrant() (Answer, error) {
	known, err := k.remembered()
	switch {
	case err != nil:
		return Answer{}, err
	case known == nil:
		return Answer{}, k.showConsent(http.StatusOK, "")
	}
	return k.grant(known), nil
}

// act does what a form says.
func (k *asking) act() (Answer, error) {
	if err := k.form(k.visit, k.Action); err != nil {
		return Answer{}, k.forged(err)
	}
	switch k.value("do") {
	case "cancel":
		return k.refuse()
	case "sign-in":
		return Answer{}, k.password()
	case "second":
		return Answer{}, k.secondFactor()
	case "password":
		return Answer{}, k.newPassword()
	case "other":
		return Answer{}, k.showSignIn(http.StatusOK, "")
	case "restart":
		return Answer{}, k.restart()
	}
	return k.decide()
}

// restart begins the sign-in anew.
func (k *asking) restart() error {
	if k.half {
		if err := k.sessions.End(k.r.Context(), k.secret); err != nil {
			return err
		}
	}
	pages.Redirect(k.w, k.Action)
	return nil
}

// decide does what only somebody can say who is signed in as this authorization wants.
func (k *asking) decide() (Answer, error) {
	do, wanted := k.value("do"), k.wanting()
	switch {
	case wanted == signIn || wanted == second:
		return k.look()
	case do == "continue" && wanted == choice:
		if slices.Contains(k.Prompt, "consent") {
			return Answer{}, k.showConsent(http.StatusOK, "")
		}
		return k.consentOrGrant()
	case do == "refuse":
		return k.refuse()
	case do == "allow":
		return k.allow()
	}
	return k.look()
}

func (k *asking) refuse() (Answer, error) {
	subject := ""
	if k.signed {
		subject = k.user.Subject
	}
	k.event(Event{Action: EventRefused, Subject: subject, Client: k.Client.ID})
	return Answer{State: Refused}, nil
}

// grant is the answer of somebody who allowed it.
func (k *asking) grant(scopes []string) Answer {
	return Answer{State: Granted, Person: k.person(), Scopes: scopes}
}

func (k *asking) person() Person { return personOf(k.visit) }

func personOf(v *visit) Person {
	p := Person{
		Subject: v.user.Subject, Username: v.user.Login, Name: v.user.Name, Email: v.user.Email,
		EmailVerified: v.user.EmailVerified, AuthTime: v.session.AuthTime, ACR: v.session.ACR, AMR: slices.Clone(v.session.AMR),
	}
	if v.session.Vague {
		p.AuthTime = time.Time{}
	}
	return p
}

// since is after when the person has to have signed in; zero: it does not matter.
func (k *asking) since() time.Time {
	switch {
	case slices.Contains(k.Prompt, "login"):
		return k.now()
	case k.MaxAge != nil:
		return k.now().Add(-*k.MaxAge)
	}
	return time.Time{}
}

func (k *asking) app() *pages.App {
	return &pages.App{Name: k.Client.Name, Host: k.Client.RedirectHost, Contact: k.Client.Contact, Policy: k.Client.PolicyURI}
}

// show writes a page whose forms may lead to the application.
func (k *asking) show(status int, name string, data any) error {
	return k.pages.Write(k.w, status, name, data, k.Client.RedirectURI)
}

func (k *asking) pageForm(title, wrong string) pages.Form {
	return pages.Form{Action: k.Action, Token: k.token(k.visit, k.Action), Title: title, Error: wrong}
}

// explain writes an error page.
func (k *asking) explain(status int, title, text, code string) error {
	return k.pages.Write(k.w, status, pages.Error, pages.ErrorData{Form: pages.Form{Title: title}, Text: text, Code: code}, "")
}

func (k *asking) event(e Event) { k.tell(k.visit, e) }

// tell records an event with where it comes from.
func (s *Service) tell(v *visit, e Event) {
	e.Remote = shield.RemoteAddr(v.r)
	s.record(e)
}

// isAccountFault reports whether an error is about what a person typed.
func isAccountFault(err error) bool {
	for _, fault := range []error{account.ErrShort, account.ErrLong, account.ErrCommon, account.ErrOwn, account.ErrText} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}
