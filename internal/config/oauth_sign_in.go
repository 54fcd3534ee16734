package config

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
)

// SignIn is how people sign in at the authorization server.
type SignIn struct {
	Passwords   bool                `yaml:"passwords" doc:"People have passwords here. false: they sign in through others only." default:"true"`
	MinPassword int                 `yaml:"min_password" doc:"Fewest characters of a password." default:"12" min:"8" max:"128"`
	Idle        Duration            `yaml:"idle" doc:"A sign-in ends when its browser was not seen for so long." default:"8h" min:"1m" max:"30d"`
	Longest     Duration            `yaml:"longest" doc:"A sign-in ends after so long in any case." default:"24h" min:"1m" max:"90d"`
	Theme       string              `yaml:"theme" doc:"Folder with a style sheet, a logo or pages of your own. Read at start and at each reload. Default: none."`
	URL         string              `yaml:"url" doc:"A sign-in page of your own, to which people are handed over; it takes the place of ours. https. Default: ours." pattern:"^https://[^ ]+$" hint:"write https://www.example.com/sign-in"`
	Keys        string              `yaml:"keys" doc:"File with the public keys that your page signs its answers with: PEM, or a JSON Web Key Set. Read at start and at each reload."`
	ACR         Words               `yaml:"acr" doc:"Ways of signing in that your page knows, as it says them in acr; applications may ask for these in acr_values, as for ours. Default: ours alone."`
	Accounts    string              `yaml:"accounts" doc:"Of whom your page sends: existing, whose account is there already; create, everybody." default:"existing" enum:"existing,create"`
	Providers   map[string]Provider `yaml:"providers" doc:"Others through whom people may sign in, by a name that stands in addresses and events."`
}

// Provider is where people may sign in instead: a provider of OpenID Connect, or with the
// last settings a service of plain OAuth 2.0.
type Provider struct {
	Title    string           `yaml:"title" doc:"What its button says. Default: its name."`
	Issuer   string           `yaml:"issuer" doc:"OpenID Connect: its issuer identifier, at which its metadata is found. OAuth 2.0: a name for where its subjects come from, which must never change; default: the origin of userinfo_url."`
	ClientID string           `yaml:"client_id" doc:"How this server is registered there." required:"yes"`
	Secret   string           `yaml:"client_secret_file" doc:"File that holds the client's secret in one line. Read at start and at each reload. Default: a client without a secret."`
	Scopes   Words            `yaml:"scopes" doc:"What is asked for there. Default: openid profile email; OAuth 2.0: nothing."`
	Accounts string           `yaml:"accounts" doc:"Who may come in: existing, who connected their account before; create, everybody, and who comes for the first time gets an account." default:"existing" enum:"existing,create"`
	Require  map[string]Words `yaml:"require" doc:"Claims, or fields of the userinfo answer, that must have one of the values: hd: example.com keeps strangers with a Google account out."`
	CA       string           `yaml:"ca" doc:"File with the CA that its certificate chains to. Default: the system's."`

	Authorize string `yaml:"authorize_url" doc:"OAuth 2.0: where people are sent."`
	Token     string `yaml:"token_url" doc:"OAuth 2.0: where codes are redeemed."`
	Userinfo  string `yaml:"userinfo_url" doc:"OAuth 2.0: what says who somebody is, as a JSON object."`
	Subject   string `yaml:"subject_field" doc:"OAuth 2.0: field that holds the person's id, which must never be given to somebody else; dots go down." default:"sub"`
	Name      string `yaml:"name_field" doc:"OAuth 2.0: field that holds the person's name." default:"name"`
	Email     string `yaml:"email_field" doc:"OAuth 2.0: field that holds the e-mail address." default:"email"`
	Verified  string `yaml:"verified_field" doc:"OAuth 2.0: field that is true if the e-mail address was verified. Default: it is not."`
}

// Plain reports whether the provider speaks OAuth 2.0 without OpenID Connect.
func (p Provider) Plain() bool { return p.Authorize != "" || p.Token != "" || p.Userinfo != "" }

// providerName is what can stand in an address.
var providerName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// acrName is what can stand in acr_values, and in a challenge.
var acrName = regexp.MustCompile(`^[!#-\[\]-~]{1,128}$`)

// checkSignIn finds what cannot work of signing in.
func (l *loader) checkSignIn() {
	s := l.file.OAuth.SignIn
	const path = "oauth.sign_in"
	if s.Idle.Duration > s.Longest.Duration {
		l.at(path+".idle", "write at most as long as longest", "a sign-in would end before it was idle for so long")
	}
	l.checkTheme(path+".theme", s.Theme)
	l.checkOwnPage(path, s)
	if !s.Passwords && s.URL == "" && len(s.Providers) == 0 {
		l.at(path+".passwords", "name providers, or a url", "nobody could sign in: there are neither passwords nor others")
	}
	issuers := map[string]string{}
	for _, name := range sortedKeys(s.Providers) {
		p := s.Providers[name]
		l.checkProvider(path+".providers."+name, name, p)
		issuer := p.IssuerName()
		if other, ok := issuers[issuer]; ok && issuer != "" {
			l.at(path+".providers."+name+".issuer", "one entry for each issuer", "is that of %s, too: people of both would be taken for each other", other)
		}
		issuers[issuer] = name
	}
}

func (l *loader) checkTheme(path, name string) {
	if name == "" || l.file.Dir == "" {
		return
	}
	if info, err := os.Stat(l.file.Abs(name)); err != nil || !info.IsDir() {
		l.at(path, "paths are relative to the main configuration file", "there is no folder %s", name)
	}
}

// checkOwnPage holds that a page of the operator's own comes with its keys, and alone.
func (l *loader) checkOwnPage(path string, s SignIn) {
	switch {
	case s.URL == "" && s.Keys != "":
		l.at(path+".keys", "name the page: url: https://…", "there is no page whose answers they could verify")
	case s.URL == "":
	case s.Keys == "":
		l.at(path+".url", "add keys: page.pem", "nobody could tell its answers from anybody's: its public keys are missing")
	default:
		l.checkFile(path+".keys", s.Keys, nil)
	}
	if s.URL == "" && len(s.ACR) > 0 {
		l.at(path+".acr", "remove it", "is for a sign-in page of your own: url names none")
	}
	for _, acr := range s.ACR {
		if !acrName.MatchString(acr) {
			l.at(path+".acr", "like urn:example:hardware-key", "%q is no name of a way to sign in: want 1 to 128 visible letters without spaces and quotes", acr)
		}
	}
	if s.URL != "" && len(s.Providers) > 0 {
		l.at(path+".providers", "let your page offer them", "a sign-in page of your own takes the place of ours: there can be no providers beside it")
	}
}

func (l *loader) checkProvider(path, name string, p Provider) {
	if !providerName.MatchString(name) || len(name) > 32 {
		l.at(path, "like google, or our-staff", "%q is no name for a provider: want 1 to 32 of a-z, 0-9 and single hyphens", name)
	}
	if p.Secret != "" {
		l.checkFile(path+".client_secret_file", p.Secret, nil)
	}
	if p.CA != "" {
		l.checkFile(path+".ca", p.CA, authorities)
	}
	if p.Plain() {
		l.checkPlainProvider(path, p)
		return
	}
	if p.Issuer == "" {
		l.at(path, "add issuer: https://…, or for plain OAuth 2.0 authorize_url, token_url and userinfo_url", "nothing says where people are sent")
		return
	}
	l.checkAsked(path+".issuer", p.Issuer)
	if len(p.Scopes) > 0 && !slices.Contains(p.Scopes, "openid") {
		l.at(path+".scopes", "add openid", "OpenID Connect needs the scope openid")
	}
	for _, field := range []struct{ name, value, usual string }{{"subject_field", p.Subject, "sub"}, {"name_field", p.Name, "name"}, {"email_field", p.Email, "email"}, {"verified_field", p.Verified, ""}} {
		if field.value != field.usual {
			l.at(path+"."+field.name, "remove it", "is for plain OAuth 2.0: OpenID Connect has names of its own")
		}
	}
}

func (l *loader) checkPlainProvider(path string, p Provider) {
	for _, address := range []struct{ name, value string }{{"authorize_url", p.Authorize}, {"token_url", p.Token}, {"userinfo_url", p.Userinfo}} {
		if address.value == "" {
			l.at(path, "plain OAuth 2.0 needs all three; for OpenID Connect write issuer alone", "%s is missing", address.name)
			continue
		}
		l.checkAsked(path+"."+address.name, address.value)
	}
}

// checkAsked wants an https address, or one of this machine.
func (l *loader) checkAsked(path, address string) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		l.at(path, "write https://…", "%q is no address over TLS", address)
	}
}

// IssuerName names where the provider's subjects come from.
func (p Provider) IssuerName() string {
	if p.Issuer != "" || !p.Plain() {
		return p.Issuer
	}
	u, err := url.Parse(p.Userinfo)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}
