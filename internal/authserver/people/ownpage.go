package people

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/people/handover"
	"pavise.dev/pavise/internal/authserver/people/pages"
	"pavise.dev/pavise/internal/authserver/people/sessions"
	"pavise.dev/pavise/internal/rows"
)

// returnPath is where the operator's own sign-in page sends people back to.
const returnPath = "/sign-in/return"

// stopped marks the address of an authorization whose person came back without having
// signed in: otherwise they would be sent away again at once.
const stopped = "stopped"

func (s *Service) openPage(o Options) (err error) {
	if o.SignIn.Page == nil {
		return nil
	}
	if len(o.SignIn.Providers) > 0 {
		return errors.New("a sign-in page of your own takes the place of ours: there can be no providers beside it")
	}
	s.settings.NoPasswords = true
	s.page, err = handover.New(*o.SignIn.Page, handover.Options{
		Issuer: s.issuer, Return: s.origin + s.base + returnPath, Key: o.Key, Now: o.Now,
	})
	return err
}

// departToPage sends a person to the operator's page because they asked for it; whoever is
// signed in wants another account.
func (k *asking) departToPage(token string) error {
	if k.browser == "" || !k.is(token, k.bound("with", k.Action, "")) {
		return k.forged(errForged)
	}
	if k.signed && !slices.Contains(k.Prompt, "login") {
		k.Prompt = append(slices.Clone(k.Prompt), "login")
	}
	return k.handOver()
}

// handOver sends a person to the operator's page.
func (k *asking) handOver() error {
	since := k.since()
	wanted := handover.Wanted{Client: k.Client.ID, LoginHint: cut(k.LoginHint, 128), Prompt: k.Prompt, ACR: k.ACR, Since: since}
	if k.Client.ID != "" {
		wanted.Application = k.Client.Name
	}
	for _, scope := range k.Scopes {
		wanted.Scopes = append(wanted.Scopes, scope.Name)
	}
	if err := k.know(k.visit); err != nil {
		return err
	}
	id, err := k.sealRequest(k.visit, flow{Action: k.Action, Mark: k.mark, Client: cut(k.Client.ID, 128), Since: since.UTC(), Ends: k.now().Add(flowLife).UTC()})
	if err != nil {
		return err
	}
	address, err := k.page.Request(id, wanted)
	if err != nil {
		return err
	}
	pages.Redirect(k.w, address)
	return nil
}

// sealRequest returns the id of a request, which is what has to be remembered of it, under
// a keyed hash that binds it to the browser. So nothing is kept for those who are sent away
// and never come back: anybody can be sent away, by an address alone.
func (s *Service) sealRequest(v *visit, f flow) (string, error) {
	random := make([]byte, browserBytes/2)
	if _, err := io.ReadFull(s.random, random); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	f.Nonce = base64.RawURLEncoding.EncodeToString(random) // no two are the same
	body, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("encode a request: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(body)
	return text + "." + s.records.Name(requestText(v, text)), nil
}

// openRequest returns what was remembered in the id of a request of this browser.
func (s *Service) openRequest(v *visit, id string) (flow, error) {
	text, hash, _ := strings.Cut(id, ".")
	if v.browser == "" || !s.is(hash, requestText(v, text)) {
		return flow{}, errLost
	}
	var f flow
	body, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || json.Unmarshal(body, &f) != nil || !s.now().Before(f.Ends) {
		return flow{}, errLost
	}
	return f, nil
}

func requestText(v *visit, text string) []byte {
	return fmt.Appendf(nil, "request %d:%s%s", len(v.browser), v.browser, text)
}

func (s *Service) serveReturn(w http.ResponseWriter, r *http.Request) {
	if err := s.returned(w, r); err != nil {
		s.failed(w, r, err)
	}
}

// returned takes the word of the operator's page: once, in the browser that was sent there.
func (s *Service) returned(w http.ResponseWriter, r *http.Request) error {
	v, err := s.visit(w, r)
	if err != nil {
		return err
	}
	answer, err := s.page.Read(r.URL.RawQuery)
	if err != nil {
		return s.rejected(v, err)
	}
	f, err := s.takeRequest(v, answer)
	if errors.Is(err, errLost) {
		return s.rejected(v, err)
	}
	if err != nil {
		return err
	}
	if answer.Error != "" {
		s.tell(v, Event{Action: EventSignInFailed, Client: f.Client, Method: methodPage, Detail: "the page says " + answer.Error})
		pages.Redirect(w, f.Action+"?"+stopped)
		return nil
	}
	if answer.AuthTime.Before(f.Since.Add(-clockLeeway)) {
		return s.rejected(v, errors.New("the person was to sign in anew, and did not"))
	}
	return s.received(v, f, answer)
}

// methodPage is how somebody signed in, in events.
const methodPage = "sign_in_page"

// clockLeeway is between the clocks of two machines.
const clockLeeway = 5 * time.Second

// takeRequest uses up an answer, and the request that it answers.
func (s *Service) takeRequest(v *visit, answer handover.Answer) (flow, error) {
	f, err := s.openRequest(v, answer.Request)
	if err != nil {
		return flow{}, err
	}
	for what, ends := range map[string]time.Time{
		rows.Digest("answer", answer.ID):       answer.Ends.Add(time.Minute),
		rows.Digest("request", answer.Request): f.Ends,
	} {
		switch err := s.flows.Add(v.r.Context(), what, flow{Ends: ends.UTC()}); {
		case errors.Is(err, rows.ErrTaken):
			return flow{}, errLost
		case err != nil:
			return flow{}, err
		}
	}
	return f, nil
}

func (s *Service) rejected(v *visit, err error) error {
	s.tell(v, Event{Action: EventHandOverRejected, Method: methodPage, Detail: err.Error()})
	return s.showLost(v)
}

func (s *Service) received(v *visit, f flow, answer handover.Answer) error {
	u, err := s.accountOfPage(v, f, answer)
	switch {
	case errors.Is(err, account.ErrUnknown):
		s.tell(v, Event{Action: EventSignInFailed, Client: f.Client, Method: methodPage, Detail: "there is no account"})
		return s.ErrorPage(v.w, v.r, http.StatusForbidden, "unknown_account", "There is no account for you here. Ask whoever runs this service.", "")
	case err != nil:
		return err
	case u.Disabled != "":
		s.tell(v, Event{Action: EventSignInFailed, Subject: u.Subject, Client: f.Client, Method: methodPage, Detail: "the account is disabled"})
		return s.ErrorPage(v.w, v.r, http.StatusForbidden, "account_disabled", textDisabled, "")
	}
	n := sessions.Session{
		AuthTime: answer.AuthTime.UTC(), ACR: cmp.Or(answer.ACR, ACROne), AMR: answer.AMR, For: f.Mark, Via: methodPage,
	}
	if err := s.beginSession(v, u, n); err != nil {
		return err
	}
	s.tell(v, Event{Action: EventSignIn, Subject: u.Subject, Client: f.Client, Method: strings.Join(append([]string{methodPage}, answer.AMR...), "+")})
	pages.Redirect(v.w, f.Action)
	return nil
}

func (s *Service) accountOfPage(v *visit, f flow, answer handover.Answer) (account.User, error) {
	ctx := v.r.Context()
	u, err := s.accounts.Federated(ctx, s.page.URL, answer.Subject)
	if !errors.Is(err, account.ErrUnknown) || !s.page.Create {
		return u, err
	}
	id := account.Identity{Issuer: s.page.URL, Subject: answer.Subject, Via: "page", Since: s.now().UTC()}
	u, err = s.accounts.CreateFederated(ctx, id, cut(answer.Name, 80), cut(answer.Email, 200), answer.EmailVerified)
	if errors.Is(err, account.ErrTaken) {
		return s.accounts.Federated(ctx, s.page.URL, answer.Subject)
	}
	if err != nil {
		return u, fmt.Errorf("make an account: %w", err)
	}
	s.tell(v, Event{Action: EventAccountCreated, Subject: u.Subject, Client: f.Client, Method: methodPage})
	return u, nil
}
