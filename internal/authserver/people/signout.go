package people

import (
	"net/http"

	"pavise.dev/pavise/internal/authserver/people/pages"
)

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

func (k *asking) showSignedOut() error { return k.SignedOut(k.w, k.r) }

// SignedOut says that nobody is signed in.
func (s *Service) SignedOut(w http.ResponseWriter, _ *http.Request) error {
	return s.pages.Write(w, http.StatusOK, pages.Done, pages.DoneData{
		Form: pages.Form{Title: "Signed out"}, Text: "Nobody is signed in in this browser.", Next: s.base + "/account", More: "Sign in",
	}, "")
}
