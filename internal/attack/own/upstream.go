package own

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/shell"
)

// upstreams tries to reach each service around the gateway, from where the test runs: GET / and
// nothing else, at the addresses of the configuration.
func (p *planner) upstreams() {
	asked := map[string]bool{}
	for _, name := range sortedNames(p.r.g.File.APIs) {
		for _, address := range p.r.g.File.APIs[name].Upstream.URL {
			if asked[address] {
				continue
			}
			asked[address] = true
			p.upstream(name, address)
		}
	}
}

func (p *planner) upstream(api, address string) {
	u, err := url.Parse(address)
	if err != nil {
		return // what is no address is refused when the configuration is read
	}
	p.addAt(p.r.hosts[0], "upstream-open", address, 0, 0, func(t *try) error { return t.around(api, u) })
}

func (t *try) around(api string, u *url.URL) error {
	prober, err := attack.NewProber(t.ctx, attack.Settings{Target: u.Scheme + "://" + u.Host, Roots: t.r.g.Roots, Now: t.r.g.Now, Wait: t.r.g.Wait, Timeout: t.r.timeout()})
	if err != nil {
		return fmt.Errorf("reach the service of %s around the gateway: %w", api, err)
	}
	defer prober.Close()
	var answered string
	err = prober.Talk(t.ctx, []string{"http/1.1"}, func(c *tls.Config) {
		c.InsecureSkipVerify = true // whoever goes around the gateway does not ask who is there, and nothing is said
	}, func(conn net.Conn) error {
		x, err := talkOnce(conn, []byte("GET / HTTP/1.1\r\nHost: "+u.Host+"\r\nUser-Agent: pavise-attack\r\nConnection: close\r\n\r\n"))
		if err == nil && x.code != silent {
			answered = x.String()
		}
		return err
	})
	if err != nil && answered == "" {
		return unreachable(err) // nobody gets there from here
	}
	switch {
	case answered == "" || strings.HasPrefix(answered, "401") || strings.HasPrefix(answered, "403"):
		return nil // it asks who is there
	case isHere(u.Hostname()):
		t.r.said = append(t.r.said, fmt.Sprintf("the service of %s at %s answers whoever is on this machine (%s)", api, u.Redacted(), answered))
		return nil
	}
	t.s.FoundBy("upstream "+u.Redacted(), "curl -i -k "+shell.Quoted(u.Redacted()+"/"), "the service of %s answers %s to a request that did not come through the gateway", api, answered)
	return nil
}

// unreachable is nil for an error that says that nobody answers there.
func unreachable(err error) error {
	if _, ok := errors.AsType[*net.OpError](err); ok || atHandshake(err) {
		return nil
	}
	return err
}

// isHere reports whether a name is of this machine alone.
func isHere(name string) bool {
	addr, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && addr.IsLoopback()
}
