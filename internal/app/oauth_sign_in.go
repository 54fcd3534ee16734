package app

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"

	"pavise.dev/pavise/internal/authserver/people"
	"pavise.dev/pavise/internal/authserver/people/handover"
	"pavise.dev/pavise/internal/authserver/people/upstream"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/internal/tlsconf"
)

// signInOf is how people sign in, and what changes the pages; a theme of nil changes
// nothing. Providers are not asked anything yet: one that is away keeps nobody from
// starting.
func signInOf(f *config.File, from *files, fetcher *fetch.Client) (people.SignIn, fs.FS, error) {
	o := f.OAuth.SignIn
	s := people.SignIn{NoPasswords: !o.Passwords, MinPassword: o.MinPassword, Idle: o.Idle.Duration, Longest: o.Longest.Duration}
	var theme fs.FS
	if o.Theme != "" {
		theme = os.DirFS(f.Abs(o.Theme))
	}
	if o.URL != "" {
		keys, err := from.Read(o.Keys)
		if err != nil {
			return s, nil, fmt.Errorf("keys: %w", err)
		}
		s.Page = &handover.Settings{URL: o.URL, Keys: keys, Create: o.Accounts == string(upstream.Create)}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Providers)) {
		p, err := providerOf(f, name, from, fetcher)
		if err != nil {
			return s, nil, fmt.Errorf("providers.%s: %w", name, err)
		}
		s.Providers = append(s.Providers, p)
	}
	return s, theme, nil
}

func providerOf(f *config.File, name string, from *files, fetcher *fetch.Client) (upstream.Settings, error) {
	o := f.OAuth.SignIn.Providers[name]
	p := upstream.Settings{
		Name: name, Title: o.Title, Kind: upstream.OpenIDConnect, Issuer: o.IssuerName(), ClientID: o.ClientID, Scopes: o.Scopes,
		Accounts: upstream.Accounts(o.Accounts), AuthorizeURL: o.Authorize, TokenURL: o.Token, UserinfoURL: o.Userinfo,
		SubjectField: o.Subject, NameField: o.Name, EmailField: o.Email, VerifiedField: o.Verified,
	}
	if o.Plain() {
		p.Kind = upstream.OAuth2
	}
	for claim, values := range o.Require {
		if p.Require == nil {
			p.Require = map[string][]string{}
		}
		p.Require[claim] = values
	}
	if o.CA != "" {
		pool, err := tlsconf.ReadPool(f.Abs(o.CA))
		if err != nil {
			return p, err
		}
		own := fetcher.WithRoots(pool)
		p.Fetch = func() *http.Client { return own.HTTP(maxFetched) }
	}
	if o.Secret == "" {
		return p, nil
	}
	text, err := oneLine(from, o.Secret)
	p.ClientSecret = secret.New(text)
	return p, err
}

// maxFetched is the longest answer of others that the authorization server reads, in bytes.
const maxFetched = 1 << 20

// oneLine reads a secret that stands alone in a file. Its errors quote nothing of it.
func oneLine(from *files, name string) ([]byte, error) {
	text, err := from.Read(name)
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) == 0 || len(text) > 1024 || bytes.ContainsAny(text, "\r\n\x00") {
		return nil, fmt.Errorf("%s does not hold a secret of 1 to 1024 bytes in one line", name)
	}
	return text, nil
}
