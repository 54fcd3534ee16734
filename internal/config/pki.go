package config

import (
	"net/url"
	"slices"
)

// PKI is what the certificate authority does beyond its command line.
type PKI struct {
	Host     string                        `yaml:"host" doc:"One of hosts, where programs get certificates and renew them (EST, RFC 7030). It must ask for client certificates, by which they renew. Default: nowhere."`
	Status   string                        `yaml:"status" doc:"Address under which others reach listen.http, such as http://pki.example.com. Revocation lists and OCSP answers are had below it, and certificates name it. Default: nowhere." pattern:"^http://[^/?#@]+$" hint:"write http://pki.example.com, without a path: revocation lists are signed, and had without TLS"`
	Profiles map[string]CertificateProfile `yaml:"profiles" doc:"How long certificates live, by profile: service, server, person, device." keys:"^(service|server|person|device)$" hint:"there are service, server, person and device"`

	EnrolPerMinute int `yaml:"enrol_per_minute" doc:"How many certificates one address (IPv6: one /64) may ask for within a minute. Behind one stand many services." default:"600" min:"1" max:"1000000"`
	RenewPerMinute int `yaml:"renew_per_minute" doc:"How often one client may renew within a minute." default:"300" min:"1" max:"1000000"`
}

// CertificateProfile is how long certificates of a profile live.
type CertificateProfile struct {
	Life    Duration `yaml:"life" doc:"Unless something else is asked for. Default 24h; for device 365d." min:"5m" max:"825d"`
	MaxLife Duration `yaml:"max_life" doc:"The longest that may be asked for. Default 30d; for server 90d, for device 825d." min:"5m" max:"825d"`
}

// EnrolAPI is the name of the built-in API by which programs get certificates.
const EnrolAPI = "enrolment"

// checkPKI finds what cannot work of the certificate authority.
func (l *loader) checkPKI() {
	p := l.file.PKI
	for name, profile := range p.Profiles {
		if profile.MaxLife.Duration > 0 && profile.Life.Duration > profile.MaxLife.Duration {
			l.at("pki.profiles."+name+".life", "write at most max_life", "certificates would live longer than they may")
		}
	}
	if p.Status != "" && l.file.Listen.HTTP == "" {
		l.at("pki.status", "write listen: {http: \":80\"}", "revocation lists are had without TLS, and there is no plain listener")
	}
	if u, err := url.Parse(p.Status); p.Status != "" && (err != nil || u.Hostname() == "") {
		l.at("pki.status", "write http://pki.example.com", "%q is no address", p.Status)
	}
	if p.Host == "" {
		return
	}
	host, ok := l.file.Hosts[p.Host]
	switch {
	case !ok:
		l.at("pki.host", didYouMean(p.Host, sortedKeys(l.file.Hosts), "name it under hosts"), "host %q is not named under hosts", p.Host)
	case host.ClientCertificates != "ask":
		l.at("pki.host", "write hosts: {"+p.Host+": {client_certificates: ask}}", "host %q never asks for a client certificate, so that nobody could renew one there", p.Host)
	}
	if api, ok := l.file.APIs[EnrolAPI]; ok && slices.Contains(api.Host, p.Host) {
		l.at("apis."+EnrolAPI, "give it another name", "the name %q belongs to the certificate authority on this host", EnrolAPI)
	}
}
