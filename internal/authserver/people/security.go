package people

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"rsc.io/qr"

	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/people/pages"
	"pavise.dev/pavise/internal/authserver/people/sessions"
)

func (k *asking) showPassword(wrong string) error {
	if !k.user.HasPassword {
		return k.pages.Write(k.w, http.StatusOK, pages.Done, pages.DoneData{
			Form: k.pageForm("You have no password here", ""), Text: "You sign in through others: there is nothing to change.", Next: k.base + "/account", More: "Your account",
		}, "")
	}
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
	if !k.user.HasPassword {
		return k.showPassword("")
	}
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
	next := sessions.Session{AuthTime: k.session.AuthTime, ACR: k.session.ACR, AMR: k.session.AMR, Via: k.session.Via, Vague: k.session.Vague, For: ownMark}
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
		Form: k.pageForm("Set up an authenticator app", wrong), Proof: sealed, Secret: groups(text), URI: template.URL(uri), Picture: picture, // made by us, of letters and digits
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
	return template.HTML(b.String()), nil // digits and letters of ours
}
