package issuertest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// The client that may ask the issuer about tokens.
const (
	AskerID     = "pavise gateway"
	AskerSecret = "canary: the asker's secret"
)

// IntrospectionURL is where the issuer may be asked about tokens (RFC 7662).
func (i *Issuer) IntrospectionURL() string { return i.URL + "/introspect" }

// Opaque returns an opaque token that is active, with the claims of [Issuer.Claims].
func (i *Issuer) Opaque(changes map[string]any) string {
	claims := i.Claims(changes)
	claims["active"], claims["token_type"] = true, "Bearer"
	change(claims, changes)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made++
	token := fmt.Sprintf("opaque-%d-%s", i.made, strings.Repeat("x", 24))
	if i.opaque == nil {
		i.opaque = map[string]map[string]any{}
	}
	i.opaque[token] = claims
	return token
}

// Withdraw makes an opaque token inactive.
func (i *Issuer) Withdraw(token string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.opaque, token)
}

// Asked returns how often the issuer was asked about a token.
func (i *Issuer) Asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// AnswerAsked replaces the answer at [Issuer.IntrospectionURL]; nil restores it.
func (i *Issuer) AnswerAsked(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answerAsked = h
}

func (i *Issuer) serveIntrospection(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.asked++
	answer := i.answerAsked
	i.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	} else { // RFC 6749 §2.3.1
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	}
	if id != AskerID || secret != AskerSecret {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	i.mu.Lock()
	claims, ok := i.opaque[r.PostFormValue("token")]
	i.mu.Unlock()
	if !ok {
		claims = map[string]any{"active": false}
	}
	writeJSON(w, claims)
}
