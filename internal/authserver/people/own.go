package people

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"rsc.io/qr"

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
		all = append(all, pages.GrantRow{
			ID: "grant " + g.ID, Name: cut(cmp.Or(g.Application, g.Client), 80), Host: cut(g.Host, 253), Scopes: texts(g.Scopes),
			Since: dayText(g.Created), Until: dayText(g.Ends), Used: dayText(g.Used),
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
			ID: "consent " + c.Client, Name: cut(cmp.Or(c.Name, c.Client), 80), Host: cut(c.Host, 253), Scopes: texts(c.Allowed), Since: dayText(c.Given),
		})
	}
	return all, nil
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
		if err := k.part(ctx, id); err != nil {
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

func (k *asking) showPassword(wrong string) error {
	status := http.StatusOK
	if wrong != "" {
		status = http.StatusUnprocessableEntity
	}
	return k.pages.Write(k.w, status, pages.Password, pages.PasswordData{
		Form: k.pageForm("Choose a new password", wrong), Login: k.user.Login, Minimum: k.accounts.Rules().Minimum, Current: true,
	}, "")
}

// actPassword changes the password. Whoever sits at an unlocked computer does not know the
// present one.
func (k *asking) actPassword() error {
	ctx := k.r.Context()
	right, wait, err := k.checkPassword(k.visit, k.user, k.value("current"))
	switch {
	case wait > 0:
		return k.showPassword("Too many wrong tries from here. Wait " + waitText(wait) + ", then try again.")
	case errors.Is(err, account.ErrBusy):
		return k.showPassword(textBusy)
	case err != nil:
		return err
	case !right:
		return k.showPassword("The present password is wrong.")
	}
	fresh, fault, err := k.choosePassword(ctx, k.visit, k.user.Subject)
	switch {
	case err != nil:
		return err
	case fault != "":
		return k.showPassword(fault)
	}
	if _, err := k.sessions.EndAll(ctx, k.user.Subject); err != nil {
		return err
	}
	k.event(Event{Action: EventPasswordChanged, Subject: k.user.Subject})
	next := sessions.Session{AuthTime: k.session.AuthTime, ACR: k.session.ACR, AMR: k.session.AMR, Via: k.session.Via, For: ownMark}
	if err := k.beginSession(k.visit, fresh.User, next); err != nil {
		return err
	}
	pages.Redirect(k.w, k.base+"/account")
	return nil
}

// checkPassword checks the password of who is signed in, and counts wrong ones.
func (s *Service) checkPassword(v *visit, u account.User, password string) (right bool, wait time.Duration, err error) {
	tried, from := triesOf(u.Login), remote(v)
	if wait = s.tries.Blocked(tried, from); wait > 0 {
		return false, wait, nil
	}
	right, err = s.accounts.SamePassword(v.r.Context(), u.Subject, password)
	if err == nil && !right {
		s.tries.Wrong(tried, from)
		s.tell(v, Event{Action: EventSignInFailed, Subject: u.Subject, Method: "password"})
	}
	return right, 0, err
}

func (k *asking) showTOTP(wrong string) error {
	secret, err := k.accounts.TOTPSecret()
	if err != nil {
		return err
	}
	return k.askTOTP(secret, wrong)
}

func (k *asking) askTOTP(secret []byte, wrong string) error {
	stamp, err := k.accounts.Stamp(k.r.Context(), k.user.Subject)
	if err != nil {
		return err
	}
	sealed, err := k.seal(k.visit, k.Action, proof{Stage: stageTOTP, Subject: k.user.Subject, Stamp: stamp, Secret: secret})
	if err != nil {
		return err
	}
	text, uri := k.accounts.TOTPKey(k.user.Login, secret)
	picture, err := pictureOf(uri)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if wrong != "" {
		status = http.StatusUnprocessableEntity
	}
	return k.pages.Write(k.w, status, pages.TOTP, pages.TOTPData{
		Form: k.pageForm("Set up an authenticator app", wrong), Proof: sealed, Secret: groups(text), URI: template.URL(uri), Picture: picture, //nolint:gosec // made by us, of letters and digits
	}, "")
}

func (k *asking) actTOTP() error {
	p, _, err := k.reopen(k.r.Context(), k.visit, k.Action, stageTOTP)
	if errors.Is(err, errProof) || err == nil && p.Subject != k.user.Subject {
		return k.showTOTP("That took too long. Here is a new key.")
	}
	if err != nil {
		return err
	}
	codes, err := k.accounts.SetTOTP(k.r.Context(), k.user.Subject, p.Secret, k.value("code"))
	switch {
	case errors.Is(err, account.ErrWrong):
		return k.askTOTP(p.Secret, "This code does not fit the key. Is the clock of your device right?")
	case err != nil:
		return err
	}
	k.event(Event{Action: EventTOTPSet, Subject: k.user.Subject})
	return k.pages.Write(k.w, http.StatusOK, pages.Codes, pages.CodesData{
		Form: k.pageForm("Your recovery codes", ""), Codes: codes, Next: k.base + "/account",
	}, "")
}

// pictureOf draws a QR code.
func pictureOf(text string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("draw the code: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg role="img" aria-label="Code to scan with an authenticator app; the key below says the same" viewBox="0 0 %d %d" width="196" height="196" shape-rendering="crispEdges"><path fill="#000" d="`, code.Size, code.Size)
	for y := range code.Size {
		for x := range code.Size {
			if code.Black(x, y) {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x, y)
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return template.HTML(b.String()), nil //nolint:gosec // digits and letters of ours
}

func (k *asking) showSignOut(string) error {
	return k.pages.Write(k.w, http.StatusOK, pages.SignOut, pages.SignOutData{Form: k.pageForm("Sign out?", ""), Who: whoOf(k.user)}, "")
}

// AskSignOut asks whoever is signed in whether they want to sign out, because an
// application wants it (OpenID Connect RP-Initiated Logout §2): for the request that began
// it, and for each that follows to action, a path. Done says that nobody is signed in any
// more and that nothing was written; the caller sends the person on. Onward is where to,
// empty: nowhere.
func (s *Service) AskSignOut(w http.ResponseWriter, r *http.Request, action, onward string) (done bool, err error) {
	v, err := s.visit(w, r)
	if err != nil {
		return false, err
	}
	if !v.signed {
		return true, nil
	}
	if err := s.know(v); err != nil {
		return false, err
	}
	k := &asking{Service: s, visit: v, Asked: Asked{Action: action}}
	k.Client.RedirectURI = onward
	if r.Method != http.MethodPost || r.URL.Path != action {
		return false, k.show(http.StatusOK, pages.SignOut, pages.SignOutData{Form: k.pageForm("Sign out?", ""), Who: whoOf(k.user)})
	}
	if err := k.form(v, action); err != nil {
		return false, k.forged(err)
	}
	return true, k.signOut()
}

func (k *asking) actSignOut() error {
	if err := k.signOut(); err != nil {
		return err
	}
	pages.Redirect(k.w, k.Action)
	return nil
}

// signOut ends the session, or all of them if the form says so.
func (k *asking) signOut() error {
	ctx := k.r.Context()
	event := Event{Action: EventSignOut, Subject: k.user.Subject}
	if k.value("do") == "everywhere" {
		event.Action = EventSignOutAll
		if _, err := k.EndSessions(ctx, k.user.Subject); err != nil {
			return err
		}
	} else if err := k.sessions.End(ctx, k.secret); err != nil {
		return err
	}
	setCookie(k.w, cookieSession, "", -1)
	setCookie(k.w, cookieBrowser, "", -1)
	k.event(event)
	return nil
}

func (k *asking) showSignedOut() error {
	return k.pages.Write(k.w, http.StatusOK, pages.Done, pages.DoneData{
		Form: pages.Form{Title: "Signed out"}, Text: "Nobody is signed in in this browser.", Next: k.base + "/account", More: "Sign in",
	}, "")
}
