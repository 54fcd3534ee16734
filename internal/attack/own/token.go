package own

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/shield"
)

// token asks the installation's own authorization server for a token, as a client that acts for
// itself (RFC 6749 §4.4).
func (h *holder) token(ctx context.Context, w wish) (*proof, error) {
	secret, err := h.registration(ctx, w)
	if err != nil {
		return nil, err
	}
	issuer, err := url.Parse(h.run.g.File.OAuth.Issuer)
	if err != nil {
		return nil, fmt.Errorf("read the address of the authorization server: %w", err)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if resources := h.run.g.File.Resources(w.api); len(resources) > 0 {
		form.Set("resource", resources[0])
	}
	if scopes := h.asked(w); len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	path, err := h.tokenPath(ctx, issuer)
	if err != nil {
		return nil, err
	}
	answer, err := h.ask(ctx, issuer, http.MethodPost, path, form, func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(w.client), url.QueryEscape(secret)) })
	if err != nil {
		return nil, err
	}
	var got struct {
		Token   string `json:"access_token"`
		Expires int64  `json:"expires_in"`
		Error   string `json:"error"`
	}
	if err := json.Unmarshal(answer, &got); err != nil || got.Token == "" {
		return nil, fmt.Errorf("the authorization server gives no token to %s: %.60q", w.client, got.Error)
	}
	made, err := signing(w.part, shield.Credential{Kind: w.part.kind.Name, ID: w.client, Secret: got.Token, Now: h.run.g.Now})
	if err != nil {
		return nil, err
	}
	if life := time.Duration(got.Expires) * time.Second; life < w.life {
		made.until = h.run.g.Now().Add(life / 2)
	}
	return made, nil
}

// asked are the scopes to ask for: those of the API's endpoints, where the wish names none.
func (h *holder) asked(w wish) (all []string) {
	if w.scopes != nil || w.client == h.run.none {
		return w.scopes
	}
	seen := map[string]bool{}
	for _, p := range h.run.places {
		for _, scope := range p.Scopes {
			if p.API == w.api && !seen[scope] {
				seen[scope] = true
				all = append(all, scope)
			}
		}
	}
	return all
}

// registration makes the client's registration, once for a run.
func (h *holder) registration(ctx context.Context, w wish) (string, error) {
	if known := h.secret[w.client]; known != "" {
		return known, nil
	}
	only := w
	only.scopes = nil
	settings := map[string]string{"grants": "client_credentials"}
	made, err := h.create(ctx, only, "oauth", settings)
	if err != nil {
		// That of a run which did not come to its end may still be in force.
		if _, ended := h.run.g.Admin.Revoke(ctx, admin.Revoke{ID: w.client, Reason: "the next test begins"}); ended != nil {
			return "", err
		}
		if made, err = h.create(ctx, only, "oauth", settings); err != nil {
			return "", err
		}
	}
	h.secret[w.client] = made.Secret
	return made.Secret, nil
}

func (h *holder) tokenPath(ctx context.Context, issuer *url.URL) (string, error) {
	if h.tokens != "" {
		return h.tokens, nil
	}
	answer, err := h.ask(ctx, issuer, http.MethodGet, "/.well-known/oauth-authorization-server", nil, nil)
	if err != nil {
		return "", err
	}
	var metadata struct {
		Endpoint string `json:"token_endpoint"`
	}
	if err := json.Unmarshal(answer, &metadata); err != nil {
		return "", fmt.Errorf("read the metadata of the authorization server: %w", err)
	}
	u, err := url.Parse(metadata.Endpoint)
	if err != nil || u.Path == "" {
		return "", errors.New("the metadata of the authorization server name no token endpoint")
	}
	h.tokens = u.EscapedPath()
	return h.tokens, nil
}

// ask sends a request to the authorization server, where the gateway is.
func (h *holder) ask(ctx context.Context, issuer *url.URL, method, path string, form url.Values, change func(*http.Request)) ([]byte, error) {
	for _, at := range h.run.hosts {
		if at.name != issuer.Hostname() {
			continue
		}
		r, err := http.NewRequestWithContext(ctx, method, "https://"+at.prober.Scope().Base().Host+path, strings.NewReader(form.Encode()))
		if err != nil {
			return nil, fmt.Errorf("ask the authorization server: %w", err)
		}
		r.Host = issuer.Host
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if change != nil {
			change(r)
		}
		answer, err := at.prober.Send(r)
		if err != nil {
			return nil, fmt.Errorf("ask the authorization server: %w", err)
		}
		return answer.Body, nil
	}
	return nil, fmt.Errorf("the authorization server's host %s is not one of hosts", issuer.Hostname())
}
