package config

import (
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/alert"
)

// Telling says who is told of alerts, and what is done about them.
type Telling struct {
	Notify      map[string]Notifier `yaml:"notify" doc:"Who is told of alerts, by a name. What is told is in the log first, so that nothing is missed over a restart, or while a receiver is away." keys:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" hint:"a name has 1 to 64 letters, digits, dots, hyphens and underscores" restart:"yes"`
	MinSeverity string              `yaml:"min_severity" doc:"The least severity of which anybody is told." default:"low" enum:"info,low,medium,high,critical" restart:"yes"`
	Group       Duration            `yaml:"group" doc:"How long is waited after an alert for others that go into the same message. An Alertmanager groups by itself, and is told after a second." default:"30s" min:"0s" max:"10m" restart:"yes"`
	Respond     map[string]Response `yaml:"respond" doc:"What is done by itself when a detection finds something, by the detection's name. Default: nothing." keys:"^[a-z][a-z0-9_]{0,63}$" hint:"pavise log replay --list names the detections" restart:"yes"`
	Never       Words               `yaml:"respond_never" doc:"Networks, and names of clients, credentials and people, to which nothing is done by itself. Trusted proxies and this machine are always among them." restart:"yes"`
}

// Notifier tells one receiver. It is one of its kinds.
type Notifier struct {
	Webhook      *WebhookNotifier      `yaml:"webhook" doc:"Any receiver of POST requests with signed bodies."`
	Slack        *SlackNotifier        `yaml:"slack" doc:"A channel of Slack, or of what takes its incoming webhooks."`
	Alertmanager *AlertmanagerNotifier `yaml:"alertmanager" doc:"A Prometheus Alertmanager. Of several that belong together each is a notifier of its own."`
	SMTP         *SMTPNotifier         `yaml:"smtp" doc:"E-mail."`

	MinSeverity string   `yaml:"min_severity" doc:"Instead of that of alerts." enum:"info,low,medium,high,critical"`
	Group       Duration `yaml:"group" doc:"Instead of that of alerts." min:"100ms" max:"10m"`
	Recovery    bool     `yaml:"recovery" doc:"Tell when something has ended, too." default:"true"`
	PerHour     int      `yaml:"messages_per_hour" doc:"Messages within an hour, of which ten may follow each other at once. What is more waits, and goes together. Not for an Alertmanager, which has rules of its own." default:"30" min:"1" max:"3600"`
	Timeout     Duration `yaml:"timeout" doc:"Until a message must have been taken." default:"10s" min:"1s" max:"1m"`
}

// NotifyHTTP is what notifiers over HTTP with an address have in common.
type NotifyHTTP struct {
	URL   string `yaml:"url" doc:"Its address, https." pattern:"^https?://[^@# ]+$" hint:"write https://alerts.example.com, without a user" required:"yes"`
	CA    string `yaml:"ca_file" doc:"File with the CA that its certificate chains to. Default: the system's."`
	Plain string `yaml:"insecure_plain" doc:"Why alerts may cross the network without TLS. On this machine they may."`
}

// WebhookNotifier is any receiver.
type WebhookNotifier struct {
	NotifyHTTP

	Secret string `yaml:"secret_file" doc:"File with the secret under which bodies are signed (HMAC-SHA-256), at least 16 bytes. Read for each message. Default: they are not signed."`
	Token  string `yaml:"token_file" doc:"File with a bearer token. Read for each message."`
}

// SlackNotifier is an incoming webhook.
type SlackNotifier struct {
	Address string `yaml:"url_file" doc:"File with the webhook's address, which is its password. Read for each message." required:"yes"`
	CA      string `yaml:"ca_file" doc:"File with the CA that its certificate chains to. Default: the system's."`
}

// AlertmanagerNotifier is an Alertmanager.
type AlertmanagerNotifier struct {
	NotifyHTTP

	Token    string            `yaml:"token_file" doc:"File with a bearer token. Read for each message."`
	User     string            `yaml:"user" doc:"Sign in with this name and a password instead."`
	Password string            `yaml:"password_file" doc:"File with the password. Read for each message."`
	Labels   map[string]string `yaml:"labels" doc:"Labels that each alert gets beside its own." keys:"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$" hint:"a label has letters, digits and underscores"`
}

// SMTPNotifier is a mail server.
type SMTPNotifier struct {
	Address     string `yaml:"address" doc:"The server, host:port. With port 465 it is spoken to in TLS from the first byte, with another by STARTTLS; never without." pattern:"^[^/?#@ ]+:[0-9]{1,5}$" hint:"write smtp.example.com:587" required:"yes"`
	TLS         string `yaml:"tls" doc:"How TLS begins. Default: implicit for port 465, else starttls." enum:"starttls,implicit"`
	CA          string `yaml:"ca_file" doc:"File with the CA that its certificate chains to. Default: the system's."`
	ServerName  string `yaml:"server_name" doc:"Name that its certificate must carry. Default: the host of the address."`
	Certificate string `yaml:"client_certificate" doc:"File with certificate and key to show it, PEM. Read for each message."`
	User        string `yaml:"user" doc:"Name to sign in with. Default: nobody signs in."`
	Password    string `yaml:"password_file" doc:"File with the password. Read for each message."`
	Hello       string `yaml:"hello" doc:"Name of this machine in EHLO. Default: its own." pattern:"^[A-Za-z0-9.-]{1,255}$"`
	From        string `yaml:"from" doc:"Who writes: pavise@example.com, or Pavise <pavise@example.com>." required:"yes"`
	To          Words  `yaml:"to" doc:"Who is written to." required:"yes"`
}

// Response is what is done by itself. Each ends by itself, too.
type Response struct {
	Block   Duration `yaml:"block" doc:"Keep the network that an alert is about out for so long, as pavise block does; not where a credential is in good use there. Never wider than /24 (IPv6: /48)." min:"1m" max:"24h"`
	Suspend Duration `yaml:"suspend" doc:"Refuse the credential for so long whose secret the request held that raised the alert. One that was only named is left alone." min:"1m" max:"24h"`
	StepUp  Duration `yaml:"step_up" doc:"For so long, demand of the person whose token the request held a sign-in after the alert (RFC 9470). Of tokens that do not say when the person signed in, none is accepted then." min:"1m" max:"24h"`
}

// Kind names the kind of a notifier; "" if it is none, or several.
func (n *Notifier) Kind() string {
	kind, count := "", 0
	for name, is := range map[string]bool{"webhook": n.Webhook != nil, "slack": n.Slack != nil, "alertmanager": n.Alertmanager != nil, "smtp": n.SMTP != nil} {
		if is {
			kind, count = name, count+1
		}
	}
	if count != 1 {
		return ""
	}
	return kind
}

// Implicit reports whether TLS begins with the first byte.
func (s *SMTPNotifier) Implicit() bool {
	return s.TLS == "implicit" || s.TLS == "" && strings.HasSuffix(s.Address, ":465")
}

// checkTelling finds what cannot work of notifiers and responses.
func (l *loader) checkTelling() {
	for _, name := range sortedKeys(l.file.Alerts.Notify) {
		n, path := l.file.Alerts.Notify[name], "alerts.notify."+name
		switch n.Kind() {
		case "webhook":
			l.checkNotifyHTTP(path+".webhook", &n.Webhook.NotifyHTTP)
			l.checkSecretFiles(path+".webhook", map[string]string{"secret_file": n.Webhook.Secret, "token_file": n.Webhook.Token})
		case "slack":
			l.checkSlack(path+".slack", n.Slack)
		case "alertmanager":
			l.checkAlertmanager(path+".alertmanager", n.Alertmanager)
		case "smtp":
			l.checkSMTP(path+".smtp", n.SMTP)
		default:
			l.atKey(path, "write one of webhook, slack, alertmanager, smtp", "the notifier %s is none, or more than one", name)
		}
		if name == "all" {
			l.atKey(path, "choose another name", "all stands for every notifier")
		}
	}
	l.checkResponses()
	each("alerts.respond_never", l.file.Alerts.Never, func(path, word string) {
		if strings.Contains(word, "/") {
			if _, err := netip.ParsePrefix(word); err != nil {
				l.at(path, "write 10.0.0.0/8, or the name of a client, credential or person", "%q is no network", word)
			}
		}
	})
}

// checkResponses finds responses that would never act.
func (l *loader) checkResponses() {
	kinds := alert.Detections()
	for _, name := range sortedKeys(l.file.Alerts.Rules) {
		kinds = append(kinds, l.file.Alerts.Rules[name].rule(name).Kind())
	}
	for _, name := range sortedKeys(l.file.Alerts.Respond) {
		r, path := l.file.Alerts.Respond[name], "alerts.respond."+name
		i := slices.IndexFunc(kinds, func(k alert.Kind) bool { return k.Name == name })
		if i < 0 {
			var detections []string
			for _, k := range kinds {
				detections = append(detections, k.Name)
			}
			l.atKey(path, didYouMean(name, detections, "pavise log replay --list shows them"), "there is no detection %q, so that nothing would ever be done", name)
			continue
		}
		if r == (Response{}) {
			l.atKey(path, "write {block: 1h}, {suspend: 1h} or {step_up: 1h}", "nothing is to be done about %s", name)
			continue
		}
		l.checkResponse(path, &kinds[i], &r)
	}
}

// checkResponse refuses what could never be done about what a detection finds.
func (l *loader) checkResponse(path string, k *alert.Kind, r *Response) {
	instead := "nothing can be done about it by itself; let alerts.notify tell somebody"
	switch {
	case k.CanBlock() && k.CanHold():
		return
	case k.CanBlock():
		instead = "write {block: 1h}; or let alerts.notify tell somebody"
	case k.CanHold():
		instead = "write {suspend: 1h} or {step_up: 1h}; or let alerts.notify tell somebody"
	}
	about := "is about " + strings.Join(k.About, "s or ") + "s"
	if r.Block.Duration > 0 && !k.CanBlock() {
		l.at(path+".block", instead, "%s %s, never about a network, so that none would ever be blocked", k.Name, about)
	}
	if k.CanHold() {
		return
	}
	for word, asked := range map[string]bool{"suspend": r.Suspend.Duration > 0, "step_up": r.StepUp.Duration > 0} {
		if asked {
			l.at(path+"."+word, instead, "%s %s, and what raises it never proves a credential: it would never act", k.Name, about)
		}
	}
}

func (l *loader) checkNotifyHTTP(path string, h *NotifyHTTP) {
	u, err := url.Parse(h.URL)
	if err != nil || u.Hostname() == "" || u.User != nil {
		l.at(path+".url", "write https://alerts.example.com, without a user", "this is no address")
		return
	}
	l.checkPlain(path, ".url", "write https://", u.Hostname(), u.Scheme == "https", h.Plain)
	if h.CA != "" {
		l.checkFile(path+".ca_file", h.CA, authorities)
	}
}

// checkSlack reads the address, and shows nothing of it.
func (l *loader) checkSlack(path string, s *SlackNotifier) {
	if s.CA != "" {
		l.checkFile(path+".ca_file", s.CA, authorities)
	}
	if s.Address == "" {
		return
	}
	l.checkFile(path+".url_file", s.Address, func(text []byte) string {
		u, err := url.Parse(strings.TrimSpace(string(text)))
		if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && !isLocal(u.Hostname()) {
			return "holds no address: it is one line, https://hooks.slack.com/services/…"
		}
		return ""
	})
}

func isLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (l *loader) checkAlertmanager(path string, a *AlertmanagerNotifier) {
	l.checkNotifyHTTP(path, &a.NotifyHTTP)
	if strings.HasSuffix(strings.TrimSuffix(a.URL, "/"), "/api/v2/alerts") {
		l.at(path+".url", "leave /api/v2/alerts out", "the address of the Alertmanager is wanted, not that of a call")
	}
	l.checkSecretFiles(path, map[string]string{"token_file": a.Token, "password_file": a.Password})
	l.checkUser(path, a.User, a.Password)
	if a.User != "" && a.Token != "" {
		l.at(path+".token_file", "remove one of them", "there is a user, and a token")
	}
	if strings.Contains(a.User, ":") {
		l.at(path+".user", "write the name alone", "a user's name has no colon")
	}
	for _, name := range sortedKeys(a.Labels) {
		if slices.Contains([]string{"alertname", "job", "severity", "subject_kind", "subject", "node"}, name) {
			l.atKey(path+".labels."+name, "choose another name", "each alert has a label %s already", name)
		}
	}
}

func (l *loader) checkUser(path, user, password string) {
	switch {
	case user != "" && password == "":
		l.at(path+".user", "name the file with the password as password_file", "there is a user without a password")
	case user == "" && password != "":
		l.at(path+".password_file", "write user, too", "there is a password without a user")
	}
}

func (l *loader) checkSMTP(path string, s *SMTPNotifier) {
	if s.CA != "" {
		l.checkFile(path+".ca_file", s.CA, authorities)
	}
	if s.Certificate != "" {
		l.checkFile(path+".client_certificate", s.Certificate, keyPair)
	}
	l.checkSecretFiles(path, map[string]string{"password_file": s.Password})
	l.checkUser(path, s.User, s.Password)
	if _, err := mail.ParseAddress(s.From); err != nil && s.From != "" {
		l.at(path+".from", "write pavise@example.com", "%q is no address", s.From)
	}
	each(path+".to", s.To, func(path, word string) {
		if _, err := mail.ParseAddress(word); err != nil {
			l.at(path, "write ops@example.com", "%q is no address", word)
		}
	})
}
