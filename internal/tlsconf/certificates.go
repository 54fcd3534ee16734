package tlsconf

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Source says where the certificate of a host comes from.
type Source struct {
	Kind      string // "local", "own", "files" or "acme"
	Cert, Key string // files, absolute
	Email     string // ACME
	Directory string // ACME; empty: Let's Encrypt
	Roots     string // ACME: file with the CA of the directory; empty: the system's
}

// Certificates gives each host its certificate. It is safe for concurrent use.
type Certificates struct {
	hosts map[string]func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	pairs []*Pair
	local *Local
	acme  *acme // nil: no host asks by ACME
	now   func() time.Time
}

// Options are what Open needs beside the sources.
type Options struct {
	Folder string // data folder: the local CA and ACME accounts live below it
	Now    func() time.Time
	Own    func(host string) (*tls.Certificate, error) // of the installation's certificate authority
}

// Open readies the certificates of hosts, and begins to ask for those by ACME.
// Call Close when they are no longer needed.
func Open(hosts map[string]Source, o Options) (*Certificates, error) {
	c := &Certificates{hosts: map[string]func(*tls.ClientHelloInfo) (*tls.Certificate, error){}, now: o.Now}
	for name, source := range hosts {
		get, err := c.open(name, source, o)
		if err != nil {
			c.Close() // the upkeep of hosts before this one has begun
			return nil, fmt.Errorf("host %s: %w", name, err)
		}
		c.hosts[name] = get
	}
	return c, nil
}

func (c *Certificates) open(name string, source Source, o Options) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	switch source.Kind {
	case "local":
		local, err := c.localCA(o)
		if err != nil {
			return nil, err
		}
		return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return local.Server(name) }, nil
	case "own":
		if _, err := o.Own(name); err != nil {
			return nil, err
		}
		return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return o.Own(name) }, nil
	case "files":
		pair, err := OpenPair(source.Cert, source.Key, o.Now())
		if err != nil {
			return nil, err
		}
		c.pairs = append(c.pairs, pair)
		return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Certificate(), nil }, nil
	case "acme":
		if c.acme == nil {
			var err error
			if c.acme, err = newACME(o.Folder + "/acme"); err != nil {
				return nil, err
			}
		}
		return c.acme.open(name, source)
	}
	return nil, fmt.Errorf("certificate source %q: want local, own, files or acme", source.Kind)
}

func (c *Certificates) localCA(o Options) (*Local, error) {
	if c.local != nil {
		return c.local, nil
	}
	var err error
	c.local, err = OpenLocal(o.Folder+"/local-ca", o.Now)
	return c.local, err
}

// GetCertificate chooses by the server name; a client that sends none gets the
// certificate of the address that it reached.
func (c *Certificates) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	if name == "" && hello.Conn != nil {
		if local, err := netip.ParseAddrPort(hello.Conn.LocalAddr().String()); err == nil {
			name = local.Addr().Unmap().String()
		}
	}
	get, ok := c.hosts[name]
	if !ok {
		return nil, fmt.Errorf("no certificate for %q", name)
	}
	return get(hello)
}

// Local returns the local CA, or nil if no host uses it.
func (c *Certificates) Local() *Local { return c.local }

// Reload reads changed files again and returns what was wrong with any of them,
// and why certificates that were asked for by ACME since the last call did not come.
func (c *Certificates) Reload() []error {
	var faults []error
	if c.acme != nil {
		faults = c.acme.failures()
	}
	for _, pair := range c.pairs {
		if _, err := pair.Reload(c.now()); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// Close stops the upkeep of ACME certificates and waits for it to end. Certificates
// that are known can still be had.
func (c *Certificates) Close() {
	if c.acme != nil {
		c.acme.close()
	}
}
