package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"pavise.dev/pavise/internal/authserver/people"
)

// personKey is where a session and its grant carry who signed in, as JSON text.
const personKey = "person"

// person is what tokens say of whoever signed in.
type person struct {
	Name          string   `json:"name,omitempty"`
	Username      string   `json:"username,omitempty"`
	Email         string   `json:"email,omitempty"`
	EmailVerified bool     `json:"email_verified,omitempty"`
	AuthTime      int64    `json:"auth_time,omitempty"` // seconds; 0: nobody knows
	ACR           string   `json:"acr,omitempty"`
	AMR           []string `json:"amr,omitempty"`
}

func personOf(store map[string]any) (p person, ok bool) {
	text, ok := store[personKey].(string)
	if !ok {
		return p, false
	}
	return p, json.Unmarshal([]byte(text), &p) == nil
}

// askPerson asks whoever sits before the browser to sign in and to allow.
func (s *Server) askPerson(w http.ResponseWriter, r *http.Request, as *goidc.AuthnSession, c *goidc.Client) (goidc.Status, error) {
	if c := callOf(r.Context()); c != nil && c.unclear != nil {
		return goidc.StatusFailure, goidc.NewError(goidc.ErrorCode(c.unclear.Code), c.unclear.Description)
	}
	asked, err := s.asked(r, as)
	if err != nil {
		return goidc.StatusFailure, err
	}
	answer, err := s.options.People.Ask(w, r, asked)
	if err != nil {
		_ = away(r.Context(), err)      // the call knows, and answers so
		return goidc.StatusPending, nil // nothing was decided: the person may go on when it can be
	}
	switch answer.State {
	case people.Pending:
		return goidc.StatusPending, nil
	case people.Granted:
		if hinted, ok := as.IDTokenHintClaims[goidc.ClaimSubject]; ok && hinted != answer.Person.Subject { // OpenID Connect Core §3.1.2.1
			return goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeLoginRequired, "another person is signed in than the one of id_token_hint")
		}
		return goidc.StatusSuccess, s.granted(as, answer)
	case people.NeedsLogin:
		return goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeLoginRequired, "nobody is signed in, or not freshly enough")
	case people.NeedsConsent:
		return goidc.StatusFailure, goidc.NewError("consent_required", "the person has to be asked")
	}
	return goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeAccessDenied, "the person said no")
}

// asked is a session in the words of those who ask people.
func (s *Server) asked(r *http.Request, as *goidc.AuthnSession) (people.Asked, error) {
	known, err := s.client(r.Context(), as.ClientID)
	if err != nil {
		return people.Asked{}, err
	}
	scopes := strings.Fields(as.Scopes)
	if len(scopes) == 0 {
		scopes = known.Scopes
	}
	asked := people.Asked{
		ID: as.ID, Action: pathAuthorize + "/" + as.ID, Prompt: strings.Fields(string(as.Prompt)), ACR: strings.Fields(as.ACRValues),
		LoginHint: as.LoginHint, Lifetime: s.options.AccessToken,
		APIs: namesOf(targets(s.options.APIs, as.Resources, scopes)), Device: readableCode(as.UserCode),
		Client: people.Application{
			ID: known.ID, Name: known.Name, Contact: known.Contact, PolicyURI: known.PolicyURI,
			RedirectHost: redirectHost(as.RedirectURI), RedirectURI: as.RedirectURI, Unreviewed: known.Unreviewed,
		},
	}
	if known.refreshes(scopes) {
		asked.Offline, asked.Lifetime = true, s.options.RefreshToken
	}
	if as.DeviceCode != "" {
		asked.Action = pathDevice + "/" + as.ID
	}
	if as.MaxAuthnAgeSecs != nil {
		age := time.Duration(*as.MaxAuthnAgeSecs) * time.Second
		asked.MaxAge = &age
	}
	for _, name := range scopes {
		asked.Scopes = append(asked.Scopes, people.Scope{Name: name, Text: s.textOf(name)})
	}
	return asked, nil
}

// textOf are the words for a scope that a person is asked to allow.
func (s *Server) textOf(scope string) string { return TextOf(s.options.Scopes, scope) }

// TextOf are the words for a scope, of which a person reads when they are asked and later.
func TextOf(scopes []Scope, scope string) string {
	switch scope {
	case "openid":
		return "Know who you are"
	case "profile":
		return "See your name"
	case "email":
		return "See your e-mail address"
	case "offline_access":
		return "Go on when you are not there, until you withdraw this"
	}
	for _, known := range scopes {
		if known.Name == scope {
			return known.Text
		}
	}
	return scope
}

// granted writes into the session what the person allowed.
func (s *Server) granted(as *goidc.AuthnSession, answer people.Answer) error {
	p := answer.Person
	kept := person{Name: p.Name, Username: p.Username, Email: p.Email, EmailVerified: p.EmailVerified, ACR: p.ACR, AMR: p.AMR}
	if !p.AuthTime.IsZero() {
		kept.AuthTime = p.AuthTime.Unix()
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("encode who signed in: %w", err)
	}
	as.Subject, as.Username = p.Subject, p.Username
	as.GrantedScopes, as.GrantedResources = strings.Join(answer.Scopes, " "), as.Resources
	as.Store[personKey], as.Store[apisKey] = string(text), strings.Join(namesOf(targets(s.options.APIs, as.Resources, answer.Scopes)), " ")
	return nil
}

// idTokenClaims are the claims of OpenID Connect Core §2 that the library does not write.
// They follow the scopes of the tokens that are asked for, which may be fewer than the grant's.
func (s *Server) idTokenClaims(ctx context.Context, g *goidc.Grant) map[string]any {
	p, ok := personOf(g.Store)
	if !ok {
		return nil
	}
	scopes := g.Scopes
	if c := callOf(ctx); c != nil && isFor(c.request, pathToken) && c.request.PostForm.Get("scope") != "" {
		scopes = c.request.PostForm.Get("scope")
	}
	claims := profile(p, scopes)
	maps.Copy(claims, p.signIn())
	return claims
}

// signIn is what a token says of how somebody signed in, as far as it is known: an endpoint
// that wants to know is not told what nobody does (RFC 9470 §6).
func (p person) signIn() map[string]any {
	claims := map[string]any{goidc.ClaimAMR: p.AMR}
	if p.ACR != "" {
		claims[goidc.ClaimACR] = p.ACR
	}
	if p.AuthTime != 0 {
		claims[goidc.ClaimAuthTime] = p.AuthTime
	}
	return claims
}

// userInfoClaims are what the scopes let a client know of the person.
func (s *Server) userInfoClaims(ctx context.Context, g *goidc.Grant) map[string]any {
	c := callOf(ctx)
	if c == nil {
		return nil
	}
	p, _ := personOf(g.Store)
	return profile(p, c.scopes)
}

func profile(p person, scopes string) map[string]any {
	claims := map[string]any{}
	if isWord(scopes, "profile") {
		claims[goidc.ClaimName], claims[goidc.ClaimPreferredUsername] = p.Name, p.Username
	}
	if isWord(scopes, "email") && p.Email != "" {
		claims[goidc.ClaimEmail], claims[goidc.ClaimEmailVerified] = p.Email, p.EmailVerified
	}
	return claims
}

// promptDevice asks for the code that a device shows.
func (s *Server) promptDevice(w http.ResponseWriter, r *http.Request) error {
	return s.options.People.DevicePrompt(w, r, r.URL.Query().Get("user_code") != "")
}

// confirmDevice tells the person to go on at the device.
func (s *Server) confirmDevice(w http.ResponseWriter, r *http.Request) error {
	return s.options.People.DeviceDone(w, r, true)
}

// renderError answers a browser that cannot be sent back to its application.
func (s *Server) renderError(w http.ResponseWriter, r *http.Request, err error) error {
	if c := callOf(r.Context()); c != nil && c.away != nil {
		return nil // servePerson says so
	}
	fault := faultOf(err)
	if fault.Status == http.StatusUnauthorized {
		fault.Status = http.StatusBadRequest // nobody is asked for credentials here
	}
	if isFor(r, pathDevice) || strings.HasPrefix(r.URL.Path, pathDevice+"/") {
		if refusal, ok := errors.AsType[goidc.Error](err); ok && refusal.Code == goidc.ErrorCodeAccessDenied {
			return s.options.People.DeviceDone(w, r, false)
		}
	}
	return s.errorPage(w, r, fault)
}

func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, fault *Fault) error {
	s.options.Decline(r, fault)
	if fault.Wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(fault.Wait))
	}
	return s.options.People.ErrorPage(w, r, fault.Status, fault.Code, fault.Description, s.options.RequestID(r))
}
