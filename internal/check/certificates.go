package check

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield/mtls"
)

func rulesOfCertificates() []rule {
	return []rule{
		says("certificate-expired", high, "API8 ASVS-12.2.2 REC-API-9", "A certificate that is over", "Callers refuse it, or were told to look away, and look away from everybody else's too.", "renew it; acme, or the own authority, do that by themselves", certificateExpired),
		says("certificate-expiring", medium, "API8 ASVS-12.2.2 REC-API-9", "A certificate that ends soon", "On that day every caller is refused.", "renew it; acme, or the own authority, do that by themselves", certificateExpiring),
		says("certificate-long-lived", low, "API8 ASVS-12.2.2 REC-API-9", "A certificate for years", "A key that somebody copied is good for so long, and browsers refuse certificates for more than 398 days.", "let it live for 90 days, and renew it by a program", certificateLongLived),
		says("certificate-weak-key", high, "API8 ASVS-11.2.3 REC-API-9", "A key that can be computed", "RSA keys below 2048 bits, and curves below 256, are within reach: whoever has the key is the host.", "make a new key: P-256, Ed25519, or RSA of 3072 bits", certificateWeakKey),
		says("certificate-rsa-2048", info, "API8 ASVS-11.2.3 REC-API-9", "A key of 112 bits of strength", "RSA of 2048 bits holds for now; what is recorded today is read later.", "P-256, or RSA of 3072 bits, with the next renewal", certificateRSA2048),
		says("certificate-weak-signature", high, "API8 ASVS-11.4.1 REC-API-9", "A signature that can be forged", "With MD5 and SHA-1 a second certificate can be made that has the same signature.", "have it signed with SHA-256", certificateWeakSignature),
		says("certificate-self-signed", medium, "API8 ASVS-12.2.2 REC-API-9", "A certificate that nobody vouches for", "Callers have to be told to believe it, and most are told to believe anything.", "acme, or the own authority (pavise ca init) for callers of your own", certificateSelfSigned),
		says("certificate-local", low, "API8 ASVS-12.2.2 REC-API-9", "A certificate for trying out", "Callers from elsewhere do not trust it; they will be told to look away.", "certificate: acme, own, or files", certificateLocal),
		says("certificate-chain-incomplete", low, "API8 ASVS-12.2.2 REC-API-9", "A chain that lacks its middle", "Callers that know the root alone cannot build the chain; browsers that fetch the rest hide it from those who test.", "put the intermediate certificates behind the host's own into the file", certificateChainIncomplete),
		says("certificate-chain-broken", high, "API8 ASVS-12.2.2 REC-API-9", "A chain that does not hold", "A certificate of the file did not sign the one before it: callers that follow the chain refuse it.", "put them in order: the host's own, then whoever signed it, and so on", certificateChainBroken),
		says("certificate-purpose", high, "API8 ASVS-12.2.2 REC-API-9", "A certificate for another purpose", "It may not be used as it is here: strict callers refuse it.", "have one issued for server authentication (for clients: client authentication)", certificatePurpose),
		says("certificate-wildcard", info, "API8 ASVS-12.2.2 REC-API-9", "A certificate for every name below", "Whoever gets its key, from any machine that has it, is all of these hosts.", "a certificate for each host", certificateWildcard),
		says("trust-expired", medium, "API8 ASVS-12.3.4 REC-API-9", "An authority that is over", "Nothing it vouches for is accepted any more, or will be soon.", "take it out of the file, or put its successor in", trustExpired),
		says("trust-weak", high, "API8 ASVS-11.2.3 REC-API-9", "An authority with a weak key", "Whoever computes the key issues certificates for anybody.", "replace it by one with P-256, or RSA of 3072 bits", trustWeak),
		says("trust-no-authority", medium, "API8 ASVS-12.3.4 REC-API-9", "A bundle with certificates that are no authorities", "The certificate vouches for nobody but itself, or old software lets it vouch for everybody.", "name the authority that signed it; for one certificate alone use a pin (allow: [{pin: …}])", trustNoAuthority),
		says("trust-public", high, "API2 ASVS-12.1.3 ASVS-12.3.4 REC-API-11", "Callers of a public authority", "Everybody gets a certificate of it, for a name that is his: whoever has one has the first half of the proof.", "trust an authority of your own (pavise ca init), or bind callers with allow: [{dns: …}]", trustPublic),
		says("trust-many", low, "API2 ASVS-12.1.3 REC-API-11", "Callers of many authorities", "Each of them can issue a certificate for every name.", "an endpoint, or a rule of allow, for each partner and its authority", trustMany),
		says("mtls-unrevocable", medium, "API2 ASVS-12.1.4 REC-API-11", "Certificates that cannot be taken back", "When a partner loses a key, its certificate is good here until it ends.", "revocation: {ask: [ocsp, crl]}, or crl: the authority's list", mtlsUnrevocable),
		says("crl-stale", high, "API2 ASVS-12.1.4 REC-API-11", "A revocation list that is over", "Certificates of the authority are refused, or those that were revoked since then are accepted elsewhere.", "fetch it anew, by a program, before its end", crlStale),
	}
}

// chain is a certificate of ours with those that vouch for it.
type chain struct {
	path, name string // the setting, and the file
	host       string // whose it is; empty: it is for calls to others
	withKey    bool   // the file holds the private key too
	certs      []*x509.Certificate
}

// bundle are authorities that something trusts.
type bundle struct {
	path, name string
	callers    bool // it decides who may call
	rules      bool // and further rules do, too
	revocable  bool
	certs      []*x509.Certificate
}

func parseAll(text []byte) (all []*x509.Certificate) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all
		}
		if block.Type == "CERTIFICATE" {
			if c, err := x509.ParseCertificate(block.Bytes); err == nil {
				all = append(all, c)
			}
		}
	}
}

// readChains reads the certificates that are ours.
func (l *look) readChains() (all []chain) {
	add := func(path, name, host string, withKey bool) {
		text, err := readFile(l.File.Abs(name))
		if certs := parseAll(text); err == nil && len(certs) > 0 {
			all = append(all, chain{path, name, host, withKey, certs})
		}
	}
	for _, host := range sorted(l.File.Hosts) {
		if c := l.File.Hosts[host].Certificate; c.Source == "files" {
			add("hosts."+host+".certificate.cert", c.Cert, host, c.Key == c.Cert)
		}
	}
	for _, name := range sorted(l.File.APIs) {
		if c := l.File.APIs[name].Upstream.ClientCertificate; c != "" && c != "own" && c != "local" {
			add("apis."+name+".upstream.client_certificate", c, "", true)
		}
	}
	for _, name := range sorted(l.File.Log.Sinks) {
		if s := l.File.Log.Sinks[name].Syslog; s != nil && s.Certificate != "" {
			add("log.sinks."+name+".syslog.client_certificate", s.Certificate, "", true)
		}
	}
	return all
}

// readBundles reads the authorities that are trusted.
func (l *look) readBundles() (all []bundle) {
	add := func(path, name string, b bundle) {
		if name == "" {
			return
		}
		text, err := readFile(l.File.Abs(name))
		if b.certs = parseAll(text); err == nil && len(b.certs) > 0 {
			b.path, b.name = path, name
			all = append(all, b)
		}
	}
	for _, name := range sorted(l.File.Issuers) {
		add("issuers."+name+".ca", l.File.Issuers[name].CA, bundle{})
	}
	for _, name := range sorted(l.File.APIs) {
		add("apis."+name+".upstream.ca", l.File.APIs[name].Upstream.CA, bundle{})
	}
	for _, name := range sorted(l.File.Log.Sinks) {
		s := l.File.Log.Sinks[name]
		if s.Syslog != nil {
			add("log.sinks."+name+".syslog.ca", s.Syslog.CA, bundle{})
		} else if r := s.Receiver(); r != nil {
			add("log.sinks."+name+"."+s.Kind()+".ca", r.CA, bundle{})
		}
	}
	for _, name := range l.File.Proxies.Terminators {
		add("trusted_proxies.terminators", name, bundle{})
	}
	add("oauth.client_ca", l.File.OAuth.ClientCA, bundle{callers: true, rules: true, revocable: true})
	l.shields(func(s *config.Shield, path string) {
		if c, ok := s.Config.(*mtls.Config); ok {
			for _, name := range c.Trust {
				if name != "own" {
					add(path+".trust", name, bundle{callers: true, rules: len(c.Allow) > 0, revocable: len(c.CRL) > 0 || c.Revocation != nil})
				}
			}
		}
	})
	return all
}

func (l *look) leavesOfChains(visit func(c chain, leaf *x509.Certificate)) {
	for _, c := range l.chains {
		visit(c, c.certs[0])
	}
}

func certificateExpired(l *look) {
	for _, c := range l.chains {
		for _, cert := range c.certs {
			if l.Now.After(cert.NotAfter) {
				l.found(c.path, "%s of %s ended %s ago", certificateName(cert), c.name, days(l.Now.Sub(cert.NotAfter)))
			}
		}
	}
}

// soon is how long before its end a certificate should have a successor: a third of its life,
// thirty days at most.
func soon(c *x509.Certificate) time.Duration {
	return min(30*day, c.NotAfter.Sub(c.NotBefore)/3)
}

func certificateExpiring(l *look) {
	for _, c := range l.chains {
		for _, cert := range c.certs {
			if left := cert.NotAfter.Sub(l.Now); left >= 0 && left < soon(cert) {
				l.found(c.path, "%s of %s ends in %s", certificateName(cert), c.name, days(left))
			}
		}
	}
}

func certificateLongLived(l *look) {
	l.leavesOfChains(func(c chain, leaf *x509.Certificate) {
		if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 398*day {
			l.found(c.path, "it lives for %s", days(life))
		}
	})
}

// bits is the size of a key; weak says that it is within reach.
func bits(c *x509.Certificate) (kind string, n int, weak bool) {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return "RSA", key.N.BitLen(), key.N.BitLen() < 2048
	case *ecdsa.PublicKey:
		n := key.Curve.Params().BitSize
		return "ECDSA", n, n < 256
	case ed25519.PublicKey:
		return "Ed25519", 256, false
	}
	return "unknown", 0, true
}

func certificateWeakKey(l *look) {
	l.leavesOfChains(func(c chain, leaf *x509.Certificate) {
		if kind, n, weak := bits(leaf); weak {
			l.found(c.path, "%s has an %s key of %d bits", certificateName(leaf), kind, n)
		}
	})
}

func certificateRSA2048(l *look) {
	l.leavesOfChains(func(c chain, leaf *x509.Certificate) {
		if kind, n, weak := bits(leaf); kind == "RSA" && !weak && n < 3072 {
			l.found(c.path, "%s has an RSA key of %d bits", certificateName(leaf), n)
		}
	})
}

func isWeakSignature(c *x509.Certificate) bool {
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		return true
	}
	return false
}

func certificateWeakSignature(l *look) {
	for _, c := range l.chains {
		for _, cert := range c.certs {
			if isWeakSignature(cert) && !isSelfIssued(cert) {
				l.found(c.path, "%s is signed with %s", certificateName(cert), cert.SignatureAlgorithm)
			}
		}
	}
}

func isSelfIssued(c *x509.Certificate) bool { return string(c.RawIssuer) == string(c.RawSubject) }

func certificateSelfSigned(l *look) {
	l.leavesOfChains(func(c chain, leaf *x509.Certificate) {
		if c.host != "" && isSelfIssued(leaf) && !isHere(c.host) {
			l.found(c.path, "%s signed itself", certificateName(leaf))
		}
	})
}

// isHere reports whether a host is this machine.
func isHere(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && addr.IsLoopback()
}

func certificateLocal(l *look) {
	for _, name := range sorted(l.File.Hosts) {
		if l.File.Hosts[name].Certificate.Source == "local" && !isHere(name) && !isReserved(name) {
			l.found("hosts."+name+".certificate", "%s has a certificate that was made here for trying out", name)
		}
	}
}

// isReserved reports whether a name is one that nobody has (RFC 2606, RFC 6761).
func isReserved(name string) bool {
	for _, zone := range []string{"test", "example", "invalid", "localhost", "example.com", "example.net", "example.org"} {
		if name == zone || strings.HasSuffix(name, "."+zone) {
			return true
		}
	}
	return false
}

func certificateChainIncomplete(l *look) {
	l.leavesOfChains(func(c chain, leaf *x509.Certificate) {
		if len(c.certs) == 1 && !isSelfIssued(leaf) && c.host != "" && len(leaf.IssuingCertificateURL) > 0 {
			l.found(c.path, "%s holds %s alone, and not %s, who signed it", c.name, certificateName(leaf), leaf.Issuer.CommonName)
		}
	})
}

func certificateChainBroken(l *look) {
	for _, c := range l.chains {
		for i := 1; i < len(c.certs); i++ {
			if err := c.certs[i-1].CheckSignatureFrom(c.certs[i]); err != nil {
				l.found(c.path, "%s of %s was not signed by %s behind it", certificateName(c.certs[i-1]), c.name, certificateName(c.certs[i]))
				break
			}
		}
	}
}

func certificatePurpose(l *look) {
	l.leavesOfChains(func(c chain, leaf *x509.Certificate) {
		want, name := x509.ExtKeyUsageServerAuth, "server"
		if c.host == "" {
			want, name = x509.ExtKeyUsageClientAuth, "client"
		}
		if len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, want) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
			l.found(c.path, "%s is not for %s authentication", certificateName(leaf), name)
		}
	})
}

func certificateWildcard(l *look) {
	l.leavesOfChains(func(c chain, leaf *x509.Certificate) {
		for _, name := range leaf.DNSNames {
			if strings.HasPrefix(name, "*.") && c.host != "" {
				l.found(c.path, "%s is for %s", c.name, name)
				return
			}
		}
	})
}

func trustExpired(l *look) {
	for _, b := range l.bundles {
		for _, c := range b.certs {
			if left := c.NotAfter.Sub(l.Now); left < 0 {
				l.found(b.path, "%s of %s ended %s ago", certificateName(c), b.name, days(-left))
			} else if left < soon(c) {
				l.found(b.path, "%s of %s ends in %s", certificateName(c), b.name, days(left))
			}
		}
	}
}

func trustWeak(l *look) {
	for _, b := range l.bundles {
		for _, c := range b.certs {
			if kind, n, weak := bits(c); weak {
				l.found(b.path, "%s of %s has an %s key of %d bits", certificateName(c), b.name, kind, n)
			} else if isWeakSignature(c) && !isSelfIssued(c) {
				l.found(b.path, "%s of %s is signed with %s", certificateName(c), b.name, c.SignatureAlgorithm)
			}
		}
	}
}

func trustNoAuthority(l *look) {
	for _, b := range l.bundles {
		for _, c := range b.certs {
			if !c.IsCA {
				l.found(b.path, "%s of %s is no authority", certificateName(c), b.name)
				break
			}
		}
	}
}

// publicAuthorities are names of those of whom everybody gets a certificate.
func publicAuthorities() []string {
	return []string{
		"let's encrypt", "internet security research group", "digicert", "globalsign", "sectigo", "comodo", "google trust services", "entrust", "godaddy",
		"amazon trust", "starfield", "identrust", "zerossl", "usertrust", "certum", "buypass", "actalis", "ssl.com", "harica", "quovadis", "t-systems", "d-trust", "swisssign",
	}
}

func trustPublic(l *look) {
	for _, b := range l.bundles {
		if !b.callers || b.rules {
			continue
		}
		for _, c := range b.certs {
			name := strings.ToLower(c.Subject.String())
			if slices.ContainsFunc(publicAuthorities(), func(known string) bool { return strings.Contains(name, known) }) {
				l.found(b.path, "%s of %s issues certificates to everybody", certificateName(c), b.name)
				break
			}
		}
	}
}

func trustMany(l *look) {
	for _, b := range l.bundles {
		if roots := len(b.certs); b.callers && !b.rules && roots > 8 {
			l.found(b.path, "%s holds %d authorities", b.name, roots)
		}
	}
}

func mtlsUnrevocable(l *look) {
	for _, b := range l.bundles {
		if b.callers && !b.revocable && !l.isLocal(b.name) {
			l.found(b.path, "nobody is asked whether certificates of %s are revoked", b.name)
		}
	}
}

// isLocal reports whether a bundle is of the authority that is made for trying out.
func (l *look) isLocal(name string) bool {
	return filepath.Dir(l.File.Abs(name)) == filepath.Join(l.File.State.Folder, "local-ca")
}

func crlStale(l *look) {
	l.shields(func(s *config.Shield, path string) {
		c, ok := s.Config.(*mtls.Config)
		if !ok {
			return
		}
		for _, name := range c.CRL {
			text, err := readFile(l.File.Abs(name))
			if err != nil {
				continue
			}
			if block, _ := pem.Decode(text); block != nil {
				text = block.Bytes
			}
			if list, err := x509.ParseRevocationList(text); err == nil && !list.NextUpdate.IsZero() && l.Now.After(list.NextUpdate) {
				l.found(path+".crl", "%s", fmt.Sprintf("%s of %s ended %s ago", name, list.Issuer.CommonName, days(l.Now.Sub(list.NextUpdate))))
			}
		}
	})
}
