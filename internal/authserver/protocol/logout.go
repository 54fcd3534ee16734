package protocol

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/internal/strictjson"
)

const (
	pathEndSession = "/end-session"

	maxState = 1 << 10 // bytes
	maxHint  = 8 << 10
)

// leaving is what an application wants that signs a person out (OpenID Connect RP-Initiated
// Logout 1.0 §2). It travels in the address of the page that asks the person; everything in
// it is judged again each time.
type leaving struct {
	Client string `json:"c,omitempty"`
	To     string `json:"t,omitempty"` // where the person goes then; empty: nowhere
	State  string `json:"s,omitempty"`
}

// serveEndSession asks whoever is signed in whether they want to sign out, and then sends
// them to the address that the application has registered for that, or nowhere.
func (s *Server) serveEndSession(w http.ResponseWriter, r *http.Request) {
	c, r := s.newCall(r)
	l, fault := c.leaving()
	if fault != nil {
		_ = s.errorPage(w, r, fault) // the answer has begun, or nobody reads it
		return
	}
	text, err := json.Marshal(l)
	if err != nil {
		_ = s.errorPage(w, r, undecided(err)) // as above
		return
	}
	done, err := s.options.People.AskSignOut(w, r, pathEndSession+"/"+base64.RawURLEncoding.EncodeToString(text), l.To)
	switch {
	case err != nil:
		_ = s.errorPage(w, r, undecided(err)) // as above
	case !done:
	case l.To == "":
		_ = s.options.People.SignedOut(w, r) // as above
	default:
		w.Header().Set("Location", l.address())
		w.WriteHeader(http.StatusSeeOther)
	}
}

// address is where the person goes, with the application's state.
func (l *leaving) address() string {
	u, err := url.Parse(l.To)
	if err != nil || l.State == "" {
		return l.To
	}
	separator := "?"
	if u.RawQuery != "" || u.ForceQuery {
		separator = "&"
	}
	return l.To + separator + url.Values{"state": {l.State}}.Encode()
}

// leaving reads and judges what is asked: in the query or the form of the first request,
// in the path of those that follow.
func (c *call) leaving() (*leaving, *Fault) {
	l := &leaving{}
	if packed := c.request.PathValue("request"); packed != "" {
		text, err := base64.RawURLEncoding.Strict().DecodeString(packed)
		if err != nil || len(text) > maxHint || json.Unmarshal(text, l) != nil {
			return nil, badRequest("the address cannot be read")
		}
		return l, c.mayReturn(l)
	}
	values, err := url.ParseQuery(c.request.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the address cannot be read")
	}
	if c.request.Method == http.MethodPost {
		if fault := c.form(); fault != nil {
			return nil, fault
		}
		values = c.request.PostForm
	}
	if fault := once(values); fault != nil {
		return nil, fault
	}
	l.Client, l.To, l.State = values.Get("client_id"), values.Get("post_logout_redirect_uri"), values.Get("state")
	if hint := values.Get("id_token_hint"); hint != "" {
		client, fault := c.hinted(hint)
		switch {
		case fault != nil:
			return nil, fault
		case l.Client != "" && l.Client != client:
			return nil, badRequest("id_token_hint is of another client than client_id")
		}
		l.Client = client
	}
	return l, c.mayReturn(l)
}

// mayReturn lets people be sent only to an address that the client has registered for it.
func (c *call) mayReturn(l *leaving) *Fault {
	switch {
	case len(l.State) > maxState:
		return badRequest("state is too long")
	case l.To == "":
		return nil
	case l.Client == "":
		return badRequest("post_logout_redirect_uri needs client_id or id_token_hint")
	}
	known, err := c.server.client(c.request.Context(), l.Client)
	if errors.Is(err, ErrNoClient) {
		return badRequest("there is no such client")
	}
	if err != nil {
		return undecided(err)
	}
	c.client = l.Client
	if !slices.Contains(known.PostLogout, l.To) {
		return badRequest("post_logout_redirect_uri is not registered for the client")
	}
	return nil
}

// hinted is the client for which an ID token of ours was made. That it has ended does not
// matter (§2): it authorises nothing.
func (c *call) hinted(hint string) (client string, fault *Fault) {
	wrong := badRequest("id_token_hint is no ID token of this server")
	if len(hint) > maxHint {
		return "", wrong
	}
	algorithms := []jose.SignatureAlgorithm{}
	for _, name := range c.server.published() {
		algorithms = append(algorithms, jose.SignatureAlgorithm(name))
	}
	signed, err := jose.ParseSignedCompact(hint, algorithms)
	if err != nil {
		return "", wrong
	}
	header := signed.Signatures[0].Header
	for _, key := range c.server.options.Keys.Public() {
		if key.ID != header.KeyID || key.Algorithm != header.Algorithm {
			continue
		}
		payload, err := signed.Verify(key.Key)
		if err != nil {
			return "", wrong
		}
		claims, err := strictjson.Object(payload)
		if err != nil || claims["iss"] != c.server.options.Issuer {
			return "", wrong
		}
		audience, ok := claims["aud"].(string)
		if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); !ok || strings.EqualFold(typ, "at+jwt") {
			return "", wrong
		}
		return audience, nil
	}
	return "", wrong
}
