package config

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/route"
)

// Quota is one, as it is written: 100000/month per client.
type Quota struct {
	limit.Quota
	Pos Pos
}

// Honeypots are paths that only intruders ask for.
type Honeypots struct {
	Common bool     `yaml:"common" doc:"Take the paths that scanners look for first, such as /.env and /wp-login.php; those that an endpoint serves are left out."`
	Paths  Words    `yaml:"paths" doc:"Paths of your own, exact. No endpoint may serve them." pattern:"^/[!$&-:=@-Z_a-z~%]{1,255}$" hint:"write a path without a query: /backup.sql"`
	Block  Duration `yaml:"block" doc:"Keep the network of whoever asks for one out for so long (an IPv4 address, an IPv6 /64). Never a trusted proxy, this machine itself, or a caller whose browser was sent by another site. Default: only the event is left." min:"1s" max:"90d"`
}

// commonTraps are what scanners look for first, and nothing that Pavise serves by itself.
func commonTraps() []string {
	return []string{
		"/.env", "/.env.local", "/.env.production", "/.git/config", "/.git/HEAD", "/.svn/entries", "/.aws/credentials",
		"/.ssh/id_rsa", "/.DS_Store", "/.htpasswd", "/.vscode/sftp.json", "/actuator/env", "/actuator/heapdump",
		"/backup.sql", "/backup.zip", "/dump.sql", "/database.sql", "/config.php", "/wp-config.php",
		"/wp-login.php", "/wp-admin/install.php", "/xmlrpc.php", "/phpinfo.php", "/info.php", "/phpmyadmin/index.php",
		"/adminer.php", "/cgi-bin/luci", "/boaform/admin/formLogin", "/HNAP1/", "/manager/html", "/solr/admin/info/system",
		"/_ignition/execute-solution", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "/server-status", "/telescope/requests",
		"/id_rsa", "/credentials.json", "/secrets.yml", "/docker-compose.yml", "/web.config", "/owa/auth/logon.aspx",
	}
}

// Traps are the paths of all honeypots, without those that an endpoint serves.
func (f *File) Traps() []string {
	if !f.Honeypots.Common {
		return f.Honeypots.Paths
	}
	common := slices.DeleteFunc(commonTraps(), func(path string) bool {
		return slices.Contains(f.Honeypots.Paths, path) || f.server(path) != ""
	})
	return append(common, f.Honeypots.Paths...)
}

// server names the endpoint that serves a path on some host; "" for none.
func (f *File) server(path string) string {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return ""
	}
	for _, name := range sortedKeys(f.APIs) {
		for _, pattern := range sortedKeys(f.APIs[name].Endpoints) {
			method, _, _ := strings.Cut(pattern, " ")
			table := route.New[bool]()
			if table.Add(pattern, true) != nil {
				continue // told elsewhere
			}
			if _, err := table.Match(&http.Request{Method: method, URL: u, RequestURI: path}); err == nil {
				return fmt.Sprintf("%s of the API %s", pattern, name)
			}
		}
	}
	return ""
}

// checkHoneypots refuses paths that are served: an honest caller would be taken for an
// intruder.
func (l *loader) checkHoneypots() {
	h := l.file.Honeypots
	each("honeypots.paths", h.Paths, func(own, path string) {
		if _, ok := l.file.places[own]; !ok {
			own = "honeypots.paths"
		}
		if served := l.file.server(path); served != "" {
			l.at(own, "remove it, or the endpoint", "%s serves %s, so that honest callers would ask for it", served, path)
		}
	})
	if h.Block.Duration > 0 && len(h.Paths) == 0 && !h.Common {
		l.at("honeypots.block", "write common: true, or paths", "there is no honeypot for which a network could be kept out")
	}
}

// checkLoad refuses rates and bounds before the guard that cannot be.
func (l *loader) checkLoad() {
	if _, err := limit.ParseRate(l.file.Limits.Handshakes); err != nil {
		f := limitFault(err)
		l.at("limits.handshakes", f.hint, "%s", f.message)
	}
}

// checkFloods looks at what an API or endpoint says of quotas and places.
func (r *resolver) checkFloods(path string, s *Shield, quotas []Quota, per, total int) {
	if total > 0 && per > total {
		r.at(path+".concurrency", "no more for one client than in all", "%d requests of one client at once are more than the %d of all", per, total)
	}
	for i, q := range quotas {
		own := fmt.Sprintf("%s.quota.%d", path, i)
		if _, ok := r.file.places[own]; !ok {
			own = path + ".quota"
		}
		if isPublic(s) && q.Per != limit.PerEndpoint {
			r.at(own, "write per endpoint, or a rate: limit: 100/hour per address", "nobody is known at a public endpoint, so that there is no %s to count for", q.Per)
		}
	}
}

// inherited are the quotas of an API that hold at an endpoint: where nobody is known, no client
// and no user is counted for.
func inherited(shared []limit.Quota, s *Shield) []limit.Quota {
	if !isPublic(s) {
		return shared
	}
	return slices.DeleteFunc(slices.Clone(shared), func(q limit.Quota) bool { return q.Per != limit.PerEndpoint })
}

// nameQuotas gives quotas names as limits have them, with the period.
func (r *resolver) nameQuotas(api, pattern string, quotas []Quota) []limit.Quota {
	named := make([]limit.Quota, 0, len(quotas))
	for _, q := range quotas {
		one := q.Quota
		one.Name = r.unique(limitName(api, pattern, string(q.Per), string(q.Period)))
		named = append(named, one)
	}
	return named
}

func parseQuota(into *limit.Quota, text string) *fault {
	parsed, err := limit.ParseQuota(text)
	if err != nil {
		return limitFault(err)
	}
	*into = parsed
	return nil
}
