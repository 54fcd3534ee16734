package app

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/access/cedar"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/review"
)

// Granted is what a configuration and what the store holds allow: that of which `pavise review`
// says whether it was used.
func Granted(f *config.File, clients []client.Client, credentials []client.Credential, now time.Time) (*review.Granted, error) {
	resolved, err := f.Resolve()
	if err != nil {
		return nil, err
	}
	g := &review.Granted{Clients: clients, Credentials: credentials, Standing: []string{"openid", "profile", "email", "phone", "address", "offline_access"}}
	files, err := policyFiles(f)
	if err != nil {
		return nil, err
	}
	text := ""
	for _, one := range files {
		text += one.Text + "\n"
	}
	for _, e := range resolved {
		out := review.Configured{API: e.API, Pattern: e.Pattern, Public: e.Shield.Kind == "public", File: e.Pos.File, Line: e.Pos.Line, Column: e.Pos.Column}
		if !e.Any {
			out.Scopes = e.Scopes
		}
		out.Named = namedScopes(f, &e, e.When+"\n"+text, out.Scopes)
		g.Endpoints = append(g.Endpoints, out)
	}
	if g.Since, err = EndpointsSince(f, now); err != nil {
		return nil, err
	}
	g.Policies, err = policiesOf(files, g)
	return g, err
}

// Holding is what an installation has granted.
type Holding struct {
	Granted     *review.Granted
	Clients     []client.Client
	Credentials []client.Credential
}

// GrantsOf asks the administration for what is granted. That it is asked puts what has happened into
// the log's files.
func GrantsOf(ctx context.Context, f *config.File, c *admin.Client, now time.Time) (h *Holding, err error) {
	h = &Holding{}
	if _, err = c.Events(ctx, audit.Query{Limit: 1}); err != nil {
		return nil, err
	}
	if h.Clients, err = c.Clients(ctx); err != nil {
		return nil, err
	}
	if h.Credentials, err = c.Credentials(ctx, "", ""); err != nil {
		return nil, err
	}
	if h.Granted, err = Granted(f, h.Clients, h.Credentials, now); err != nil || f.OAuth.Issuer == "" {
		return h, err
	}
	allowed, err := c.Grants(ctx, admin.GrantQuery{})
	if err != nil {
		return nil, err
	}
	for _, g := range allowed {
		h.Granted.Grants = append(h.Granted.Grants, review.Grant{
			ID: g.ID, Client: g.Client, Subject: g.Subject, User: g.User, Scopes: g.Scopes, Created: g.Created, Used: g.Used, Ends: g.Ends,
		})
	}
	return h, nil
}

// namedScopes are those of which a condition, a policy or a field of GraphQL speaks: whether a request
// needed them does not stand in the log.
func namedScopes(f *config.File, e *config.Resolved, conditions string, demanded []string) (named []string) {
	speaks := strings.Contains(conditions, "scopes")
	for scope := range f.Scopes {
		is := speaks && strings.Contains(conditions, `"`+scope+`"`)
		if e.GraphQL != nil {
			for _, words := range e.GraphQL.Scopes {
				is = is || slices.Contains(words, scope)
			}
		}
		if is && !slices.Contains(demanded, scope) {
			named = append(named, scope)
		}
	}
	slices.Sort(named)
	return named
}

func policyFiles(f *config.File) (all []cedar.File, err error) {
	for _, name := range f.Policies {
		text, err := os.ReadFile(f.Abs(name))
		if err != nil {
			return nil, fmt.Errorf("policies: %w", err)
		}
		all = append(all, cedar.File{Name: name, Text: string(text)})
	}
	return all, nil
}

// policiesOf says whom and what each policy can be about.
func policiesOf(files []cedar.File, g *review.Granted) ([]review.Policy, error) {
	heads, err := cedar.Heads(files)
	if err != nil {
		return nil, err
	}
	var all []review.Policy
	for i := range heads {
		h := &heads[i]
		p := review.Policy{
			Name: h.Name, File: h.File, Line: h.Line, Forbid: h.Forbid, Conditional: h.Conditional, Anybody: h.Anybody, Anything: h.Anything, People: h.People,
		}
		for _, e := range g.Endpoints {
			if h.About(e.API, e.Pattern) {
				p.Reaches = append(p.Reaches, e.String())
			}
		}
		for _, c := range g.Clients {
			if h.LetsIn(c.ID, c.Tenant) {
				p.Clients = append(p.Clients, c.ID)
			}
		}
		for n := range heads {
			if n != i && heads[n].Shadows(h) && !(n > i && h.Shadows(&heads[n])) { // of two that say the same, the later is in the shadow
				p.Shadow = heads[n].Name
				break
			}
		}
		all = append(all, p)
	}
	return all, nil
}
