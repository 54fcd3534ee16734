package people

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/people/pages"
	"pavise.dev/pavise/internal/authserver/people/sessions"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// What people are told. An unknown name and a wrong password are one.
const (
	textWrong     = "User name or password is wrong."
	textWrongCode = "This code is wrong, or was used before."
	textDisabled  = "This account is disabled. Ask whoever runs this service."
	textBusy      = "Many people are signing in at this moment. Try again in a few seconds."
	textExpired   = "That took too long. Sign in again."
	textChanged   = "The passwords are not the same. Type the new one twice."
	textAsBefore  = "This is the present password. Choose another one."
)

func (k *asking) showSignIn(status int, wrong string) error {
	if k.page != nil && k.r.Method != http.MethodPost && !k.r.URL.Query().Has(stopped) {
		return k.handOver() // not after a form: its page lets it lead to us and the application only
	}
	login := cut(k.LoginHint, 128)
	if k.r.Method == http.MethodPost && k.value("do") == "sign-in" {
		login = cut(k.value("username"), 128)
	}
	data := pages.SignInData{Form: k.pageForm("Sign in", wrong), Login: login, Password: !k.settings.NoPasswords, Device: k.Device}
	since := k.since()
	for _, p := range k.providers {
		if !since.IsZero() && !p.SaysWhen() {
			data.Unfit = append(data.Unfit, p.Title)
			continue
		}
		data.Ways = append(data.Ways, pages.Way{Name: p.Title, Address: k.wayTo(k.Action, p.Name)})
	}
	if k.page != nil {
		data.Ways = []pages.Way{{Name: "your account", Address: k.wayTo(k.Action, "")}}
	}
	if k.Client.ID != "" {
		data.App = k.app()
	}
	return k.show(status, pages.SignIn, data)
}

// password judges a name and a password.
func (k *asking) password() error {
	name, from := k.value("username"), shield.RemoteAddr(k.r)
	tried := triesOf(name)
	if k.settings.NoPasswords {
		return k.showSignIn(http.StatusForbidden, textWrong)
	}
	if wait := max(k.tries.Blocked("", from), k.tries.Blocked(tried, from)); wait > 0 {
		k.event(Event{Action: EventHeld, Client: k.Client.ID, Method: "password"})
		return k.showHeld(wait)
	}
	p, err := k.accounts.Password(k.r.Context(), name, k.value("password"))
	switch {
	case errors.Is(err, account.ErrBusy):
		k.w.Header().Set("Retry-After", "5")
		return k.showSignIn(http.StatusServiceUnavailable, textBusy)
	case errors.Is(err, account.ErrWrong):
		k.tries.Wrong(tried, from)
		k.event(Event{Action: EventSignInFailed, Client: k.Client.ID, Method: "password"})
		return k.showSignIn(http.StatusUnprocessableEntity, textWrong)
	case errors.Is(err, account.ErrDisabled):
		k.event(Event{Action: EventSignInFailed, Subject: p.User.Subject, Client: k.Client.ID, Method: "password", Detail: "the account is disabled"})
		return k.showSignIn(http.StatusForbidden, textDisabled)
	case err != nil:
		return err
	}
	k.tries.Right(tried, from)
	return k.proceed(p, []string{"pwd"})
}

// triesOf is under what wrong tries with a name are counted: unknown ones like others.
func triesOf(name string) string {
	if normal, err := account.NormaliseName(name); err == nil {
		return "user " + normal
	}
	return "user"
}

func (k *asking) showHeld(wait time.Duration) error {
	seconds := limit.RetryAfter(wait)
	k.w.Header().Set("Retry-After", seconds)
	return k.showSignIn(http.StatusTooManyRequests, "Too many wrong tries from here. Wait "+waitText(wait)+", then try again.")
}

func waitText(wait time.Duration) string {
	if wait <= time.Minute {
		return strconv.Itoa(int((wait+time.Second-1)/time.Second)) + " seconds"
	}
	return strconv.Itoa(int((wait+time.Minute-1)/time.Minute)) + " minutes"
}

// proceed asks for what is missing after amr was proved, or signs in.
func (k *asking) proceed(p account.Proof, amr []string) error {
	switch {
	case p.User.HasTOTP && len(amr) == 1:
		return k.askSecond(p.User.Subject, amr, "")
	case p.User.MustChange && amr[0] == "pwd":
		return k.askPassword(http.StatusOK, p, amr, "")
	}
	via := ""
	if k.half {
		via = k.session.Via // of the first factor
	}
	return k.signIn(p.User, amr, via)
}

// signIn begins a session and goes on, by 303, to what the person was on the way to.
func (k *asking) signIn(u account.User, amr []string, via string) error {
	acr := ACROne
	if len(amr) > 1 {
		acr = ACRTwo
	}
	if err := k.beginSession(k.visit, u, sessions.Session{ACR: acr, AMR: amr, For: k.mark, Via: via}); err != nil {
		return err
	}
	k.event(Event{Action: EventSignIn, Subject: u.Subject, Client: k.Client.ID, Method: strings.Join(amr, "+")})
	pages.Redirect(k.w, k.Action)
	return nil
}

// beginSession gives the browser a new session; the one that it had ends.
func (s *Service) beginSession(v *visit, u account.User, n sessions.Session) error {
	ctx := v.r.Context()
	n.Subject, n.Epoch = u.Subject, u.Epoch
	n.Agent, n.Remote = cut(v.r.UserAgent(), 200), shield.RemoteAddr(v.r).String()
	secret, _, err := s.sessions.Begin(ctx, n)
	if err != nil {
		return err
	}
	if v.secret != "" {
		if err := s.sessions.End(ctx, v.secret); err != nil {
			return err
		}
	}
	setCookie(v.w, cookieSession, secret, 0)
	return nil
}

func (k *asking) askSecond(subject string, amr []string, wrong string) error {
	u, err := k.accounts.Get(k.r.Context(), subject)
	if err != nil {
		return err
	}
	stamp, err := k.accounts.Stamp(k.r.Context(), u.Subject)
	if err != nil {
		return err
	}
	sealed, err := k.seal(k.visit, k.Action, proof{Stage: stageSecond, Subject: subject, Stamp: stamp, AMR: amr})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if wrong != "" {
		status = http.StatusUnprocessableEntity
	}
	return k.show(status, pages.Second, pages.SecondData{Form: k.pageForm("Confirm that it is you", wrong), Proof: sealed})
}

// reopen returns what was proved before, and by whom.
func (s *Service) reopen(ctx context.Context, v *visit, action, stage string) (proof, account.Proof, error) {
	p, err := s.open(v, action, stage, v.value("proof"))
	if err != nil {
		return p, account.Proof{}, err
	}
	proven, err := s.accounts.Proven(ctx, p.Subject, p.Stamp)
	if errors.Is(err, account.ErrWrong) || errors.Is(err, account.ErrDisabled) {
		err = errProof
	}
	return p, proven, err
}

// secondFactor judges a code. Here the password was proved, so wrong codes count against
// the account from everywhere: whoever guesses codes knows the password already.
func (k *asking) secondFactor() error {
	ctx, from := k.r.Context(), shield.RemoteAddr(k.r)
	p, proven, err := k.reopen(ctx, k.visit, k.Action, stageSecond)
	if errors.Is(err, errProof) {
		return k.showSignIn(http.StatusUnprocessableEntity, textExpired)
	}
	if err != nil {
		return err
	}
	recovery, err := k.checkSecond(k.visit, p.Subject)
	switch {
	case errors.Is(err, account.ErrHeld):
		k.event(Event{Action: EventHeld, Subject: p.Subject, Client: k.Client.ID, Method: "totp"})
		return k.askSecond(p.Subject, p.AMR, "Too many wrong codes. Wait some minutes, then try again.")
	case errors.Is(err, account.ErrWrong):
		k.event(Event{Action: EventSignInFailed, Subject: p.Subject, Client: k.Client.ID, Method: "totp"})
		return k.askSecond(p.Subject, p.AMR, textWrongCode)
	case err != nil:
		return err
	}
	if recovery {
		k.event(Event{Action: EventRecoveryCode, Subject: p.Subject, Client: k.Client.ID})
	}
	k.tries.Right(triesOf(proven.User.Login), from)
	return k.proceed(proven, append(p.AMR[:len(p.AMR):len(p.AMR)], "otp"))
}

// checkSecond checks the code of a form, and counts wrong ones.
func (s *Service) checkSecond(v *visit, subject string) (recovery bool, err error) {
	from, nowhere := shield.RemoteAddr(v.r), noAddress()
	counted := "second " + subject
	if s.tries.Blocked(counted, from) > 0 || s.seconds.Blocked(counted, nowhere) > 0 {
		return false, account.ErrHeld
	}
	recovery, err = s.accounts.Second(v.r.Context(), subject, v.value("code"))
	switch {
	case errors.Is(err, account.ErrWrong):
		s.tries.Wrong(counted, from)
		s.seconds.Wrong(counted, nowhere)
		return false, err
	case err != nil:
		return false, err
	}
	s.tries.Right(counted, from)
	s.seconds.Right(counted, nowhere)
	return recovery, nil
}

func (k *asking) askPassword(status int, p account.Proof, amr []string, wrong string) error {
	sealed, err := k.seal(k.visit, k.Action, proof{Stage: stagePassword, Subject: p.User.Subject, Stamp: p.Stamp, AMR: amr})
	if err != nil {
		return err
	}
	return k.show(status, pages.Password, pages.PasswordData{
		Form: k.pageForm("Choose a new password", wrong), Proof: sealed, Login: p.User.Login, Minimum: k.accounts.Rules().Minimum,
	})
}

// newPassword replaces a password that must be changed, and signs in.
func (k *asking) newPassword() error {
	ctx := k.r.Context()
	p, proven, err := k.reopen(ctx, k.visit, k.Action, stagePassword)
	if errors.Is(err, errProof) {
		return k.showSignIn(http.StatusUnprocessableEntity, textExpired)
	}
	if err != nil {
		return err
	}
	fresh, fault, err := k.choosePassword(ctx, k.visit, p.Subject)
	switch {
	case err != nil:
		return err
	case fault != "":
		return k.askPassword(http.StatusUnprocessableEntity, proven, p.AMR, fault)
	}
	k.event(Event{Action: EventPasswordChanged, Subject: p.Subject, Client: k.Client.ID})
	return k.signIn(fresh.User, p.AMR, "")
}

// choosePassword reads and keeps a new password; fault is what the person is told if it
// cannot be.
func (s *Service) choosePassword(ctx context.Context, v *visit, subject string) (p account.Proof, fault string, err error) {
	password := v.value("new")
	if password != v.value("again") {
		return p, textChanged, nil
	}
	same, err := s.accounts.SamePassword(ctx, subject, password)
	switch {
	case errors.Is(err, account.ErrBusy):
		return p, textBusy, nil
	case err != nil:
		return p, "", err
	case same:
		return p, textAsBefore, nil
	}
	p, err = s.accounts.SetPassword(ctx, subject, password)
	switch {
	case errors.Is(err, account.ErrBusy):
		return p, textBusy, nil
	case isAccountFault(err):
		return p, sentence(err), nil
	case err != nil:
		return p, "", fmt.Errorf("change the password: %w", err)
	}
	return p, "", nil
}

// sentence writes an error for a person.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

func (k *asking) showChoice() error {
	return k.show(http.StatusOK, pages.Choose, pages.ChooseData{
		Form: k.pageForm("Which account?", ""), App: k.app(), Who: whoOf(k.user), Login: k.user.Login,
	})
}

// whoOf is how a person is addressed.
func whoOf(u account.User) string {
	if u.Name != "" {
		return u.Name
	}
	return u.Login
}
