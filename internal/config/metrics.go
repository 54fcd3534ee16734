package config

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Metrics is the listener of those who watch the gateway.
type Metrics struct {
	Address string `yaml:"address" doc:"Address of the listener, host:port, best 127.0.0.1:9464. Elsewhere than on this machine's own addresses it needs host, and token_file or client_ca." required:"yes"`
	Host    string `yaml:"host" doc:"One of hosts, whose certificate it shows: it speaks TLS then. Default: no TLS."`
	Token   string `yaml:"token_file" doc:"File with a token of 32 characters or more in one line, which scrapers send as Authorization: Bearer. Read again when it changes."`
	CA      string `yaml:"client_ca" doc:"File with CAs, PEM: who shows a certificate of theirs for TLS clients may read, too. Read at the start. It needs host."`
	Open    string `yaml:"insecure_open" doc:"Why others on the network may read it without TLS, or without showing who they are."`
}

// MinToken is the shortest token of scrapers, in characters.
const MinToken = 32

// SetScalar takes the short form: the address.
func (m *Metrics) SetScalar(value string) error {
	m.Address = value
	return nil
}

// IsLocal reports whether the listener is reached from this machine alone.
func (m *Metrics) IsLocal() bool {
	host, _, err := net.SplitHostPort(m.Address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// checkMetrics refuses a listener that tells strangers how the gateway is.
func (l *loader) checkMetrics() {
	const path = "listen.metrics"
	m, listen := l.file.Listen.Metrics, l.file.Listen
	if m == nil || m.Address == "" {
		return // a missing address is told
	}
	if !isAddress(m.Address) {
		l.at("listen.metrics.address", "write 127.0.0.1:9464", "%q is no address to listen on", m.Address)
		return
	}
	if !strings.HasSuffix(m.Address, ":0") && (m.Address == listen.HTTPS || m.Address == listen.HTTP) {
		l.at("listen.metrics.address", "give it a port of its own, for example 127.0.0.1:9464", "%s is the address of another listener", m.Address)
	}
	if _, known := l.file.Hosts[m.Host]; m.Host != "" && !known {
		l.at(path+".host", didYouMean(m.Host, sortedKeys(l.file.Hosts), "name one of hosts"), "host %q is not named under hosts", m.Host)
	}
	if m.CA != "" {
		if m.Host == "" {
			l.at(path+".client_ca", "add host: the name whose certificate is shown", "certificates are shown within TLS alone")
		}
		l.checkFile(path+".client_ca", m.CA, authorities)
	}
	if m.Token != "" {
		l.checkFile(path+".token_file", m.Token, func(text []byte) string {
			if len(bytes.TrimSpace(text)) < MinToken {
				return fmt.Sprintf("holds fewer than %d characters; openssl rand -hex 32 makes a token", MinToken)
			}
			return ""
		})
	}
	l.checkMetricsOpen(m)
}

func (l *loader) checkMetricsOpen(m *Metrics) {
	const hint = "listen on 127.0.0.1:9464, or %s; if the network is yours alone, write insecure_open with why"
	shown := m.Token != "" || m.CA != ""
	switch {
	case m.Open != "" && (m.IsLocal() || m.Host != "" && shown):
		l.at("listen.metrics.insecure_open", "remove it", "nobody else can read it without it, either")
	case m.IsLocal() || m.Open != "":
	case m.Host == "":
		l.at("listen.metrics.address", strings.Replace(hint, "%s", "add host (whose certificate is shown) and token_file", 1), "what is told at %s would cross the network without TLS", m.Address)
	case !shown:
		l.at("listen.metrics.address", strings.Replace(hint, "%s", "add token_file or client_ca", 1), "whoever reaches %s would learn how the gateway is", m.Address)
	}
}
