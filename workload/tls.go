package workload

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ClientConfig returns settings for connections to servers with certificates of the
// authority: the newest certificate is presented, and the server's is verified.
//
// Without names the server's certificate must be for the host that the connection is to
// (tls.Config.ServerName, which net/http sets). With names it must have one of exactly
// these, and the host does not matter: services that are known by a SPIFFE ID have no name
// of a host. Names are written with their type: "uri:spiffe://example.org/orders",
// "dns:orders.internal", "ip:10.0.0.7", "email:a@example.org".
//
// crypto/tls does not say to which IP address a connection was to be made: a URL with an
// address instead of a name is refused, unless the address stands among the names.
//
// The settings may be cloned; VerifyConnection does the verifying, and must stay.
func (c *Certificate) ClientConfig(servers ...string) *tls.Config {
	servers = slices.Clone(servers)
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Time: c.options.Now,
		// Whichever authorities the server names: it judges what it gets.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.Current() },
		InsecureSkipVerify:   true, //nolint:gosec // roots change in the life of the settings: VerifyConnection verifies, resumed sessions too
		VerifyConnection: func(s tls.ConnectionState) error {
			leaf, err := c.verify(s, x509.ExtKeyUsageServerAuth)
			switch {
			case err != nil:
			case len(servers) > 0:
				err = isOneOf(leaf, servers)
			case s.ServerName == "":
				err = errors.New(`it is not known for which host it should be; name it, as in ClientConfig("ip:10.0.0.7") where there is no name`)
			default:
				err = leaf.VerifyHostname(s.ServerName)
			}
			if err != nil {
				return fmt.Errorf("workload: the server's certificate: %w", err)
			}
			return nil
		},
	}
}

// ServerConfig returns settings for a server: the newest certificate is shown, and clients
// must present one of the authority. With names it must have one of exactly these, written
// as for [Certificate.ClientConfig]. [Names] tells a handler who calls.
//
// Sessions are resumed, and verified again each time: a ticket outlives neither the
// client's certificate nor a root.
func (c *Certificate) ServerConfig(clients ...string) *tls.Config {
	clients = slices.Clone(clients)
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Time: c.options.Now,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Current() },
		ClientAuth:     tls.RequireAnyClientCert, // VerifyConnection verifies it, against the roots of the moment
		VerifyConnection: func(s tls.ConnectionState) error {
			leaf, err := c.verify(s, x509.ExtKeyUsageClientAuth)
			if err == nil && len(clients) > 0 {
				err = isOneOf(leaf, clients)
			}
			if err != nil {
				return fmt.Errorf("workload: the client's certificate: %w", err)
			}
			return nil
		},
	}
}

// verify returns the certificate of the other end if it is in force, of the authority, and
// meant for the use. What else has to be asked of a peer belongs here.
func (c *Certificate) verify(s tls.ConnectionState, use x509.ExtKeyUsage) (*x509.Certificate, error) {
	if len(s.PeerCertificates) == 0 {
		return nil, errors.New("there is none")
	}
	leaf, between := s.PeerCertificates[0], x509.NewCertPool()
	for _, ca := range s.PeerCertificates[1:] {
		between.AddCert(ca)
	}
	if !slices.Contains(leaf.ExtKeyUsage, use) || leaf.IsCA {
		return nil, errors.New("it is not meant for this use: the profile service is for both ends, server for servers, person and device for clients")
	}
	var err error
	s.VerifiedChains, err = leaf.Verify(x509.VerifyOptions{
		Roots: c.roots.Load().pool, Intermediates: between, CurrentTime: c.options.Now(), KeyUsages: []x509.ExtKeyUsage{use},
	})
	if err != nil {
		return nil, err
	}
	if err = c.isRevoked(s); err == nil && c.options.Check != nil {
		err = c.options.Check(s)
	}
	return leaf, err
}

func isOneOf(leaf *x509.Certificate, wanted []string) error {
	has := Names(leaf)
	if slices.ContainsFunc(wanted, func(name string) bool { return slices.Contains(has, plain(name)) }) {
		return nil
	}
	return fmt.Errorf("it is of %s, and %s is wanted (names are written with their type: uri:spiffe://example.org/orders)", orNobody(has), strings.Join(wanted, " or "))
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

// plain writes a name as [Names] does.
func plain(name string) string {
	kind, text, _ := strings.Cut(name, ":")
	switch kind {
	case "dns":
		return "dns:" + strings.ToLower(strings.TrimSuffix(text, "."))
	case "ip":
		if addr, err := netip.ParseAddr(text); err == nil {
			return "ip:" + addr.Unmap().String()
		}
	}
	return name
}

// Names returns the names of a certificate with their types, such as
// "uri:spiffe://example.org/web": of r.TLS.PeerCertificates[0] it says who calls.
func Names(c *x509.Certificate) []string {
	var names []string
	for _, u := range c.URIs {
		names = append(names, "uri:"+u.String())
	}
	for _, name := range c.DNSNames {
		names = append(names, plain("dns:"+name))
	}
	for _, ip := range c.IPAddresses {
		names = append(names, plain("ip:"+ip.String()))
	}
	for _, address := range c.EmailAddresses {
		names = append(names, "email:"+address)
	}
	return names
}
