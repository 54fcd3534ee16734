package own

import (
	"bytes"
	"crypto/tls"
	"net"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/shield"
)

// transport tries what stands below HTTP.
func (p *planner) transport() {
	for _, h := range p.r.hosts {
		for version, flag := range map[uint16]string{tls.VersionTLS10: "-tls1", tls.VersionTLS11: "-tls1_1"} {
			p.addAt(h, "old-tls", h.name+": "+tls.VersionName(version), 123, 0, func(t *try) error { return t.oldVersion(h, version, flag) })
		}
		for _, suite := range tls.InsecureCipherSuites() {
			p.addAt(h, "old-tls", h.name+": "+suite.Name, 123, 0, func(t *try) error { return t.weakSuite(h, suite) })
		}
		p.addAt(h, "old-tls", h.name+": without TLS", 123, 0, func(t *try) error { return t.plain(h) })
		p.addAt(h, "wrong-host", h.name+": a handshake for another name", 82, 0, func(t *try) error { return t.otherName(h, "pavise-attack.example") })
		for _, other := range p.r.hosts {
			if other != h {
				p.addAt(h, "wrong-host", h.name+": a handshake for "+other.name, 170, 0, func(t *try) error { return t.otherName(h, other.name) })
			}
		}
	}
}

func (t *try) oldVersion(h *host, version uint16, flag string) error {
	state, err := t.s.Prober().Handshake(t.ctx, &tls.Config{
		ServerName: h.name, InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, CipherSuites: attack.EverySuite(), //nolint:gosec // it is what is looked for, and nothing is sent
	})
	if err == nil && state.Version == version {
		at := t.s.Prober().Scope().Base().Host
		t.s.FoundBy("TLS "+at, attack.OpenSSL(t.r.g.Address, h.name, flag+" -cipher 'ALL:@SECLEVEL=0'"), "it speaks %s", tls.VersionName(version))
	}
	return t.ctx.Err()
}

func (t *try) weakSuite(h *host, suite *tls.CipherSuite) error {
	state, err := t.s.Prober().Handshake(t.ctx, &tls.Config{
		ServerName: h.name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}, //nolint:gosec // as above
	})
	if err == nil && state.CipherSuite == suite.ID {
		t.s.FoundBy("TLS "+t.s.Prober().Scope().Base().Host, attack.OpenSSL(t.r.g.Address, h.name, "-tls1_2 -cipher 'ALL:@SECLEVEL=0'"), "it accepts %s", suite.Name)
	}
	return t.ctx.Err()
}

// plain speaks HTTP to the port of TLS.
func (t *try) plain(h *host) error {
	answer, _, err := t.s.Prober().Plain(t.ctx, []byte("GET / HTTP/1.1\r\nHost: "+h.name+"\r\nConnection: close\r\n\r\n"))
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.")) || len(answer) < 12 {
		return nil
	}
	if status := answer[9]; status == '2' || status == '5' {
		t.s.FoundBy("http://"+t.s.Prober().Scope().Base().Host, "curl -i 'http://"+t.r.g.Address+"/'", "it answers %s without TLS", answer[9:12])
	}
	return nil
}

// otherName shakes hands for one name and asks for another: the certificate rules of the two may
// differ.
func (t *try) otherName(h *host, name string) error {
	demanded := refused(shield.Misdirected, shield.UnknownHost, silent)
	at, proofs, err := t.entrance(h, false)
	if err != nil {
		return err
	}
	x, err := t.until(demanded, func() (*reply, error) {
		r, _, err := t.signed(at, proofs)
		if err != nil {
			return nil, err
		}
		carry(r, partsOf(proofs))
		var x *reply
		err = t.s.Prober().Talk(t.ctx, []string{"http/1.1"}, func(c *tls.Config) {
			c.ServerName, c.InsecureSkipVerify = name, true // it is the target all the same, as its address says
		}, func(conn net.Conn) error {
			x, err = talkOnce(conn, append(text(r, r.URL.RequestURI(), "Connection: close"), "\r\n"...))
			return err
		})
		if atHandshake(err) {
			return &reply{status: 421, code: silent}, nil
		}
		return x, err
	})
	if err != nil {
		return err
	}
	t.judge(t.where(at), x, demanded, "a connection for "+name+", a request for "+h.name)
	return nil
}
