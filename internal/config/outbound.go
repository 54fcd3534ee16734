package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
)

// Outbound is a file of `pavise serve --outbound`: how services on this machine call
// others.
type Outbound struct {
	Certificate *OutboundCertificate    `yaml:"certificate" doc:"A certificate of an authority, got and renewed by itself. It is presented to every destination that asks. Default: none."`
	Calls       map[string]OutboundCall `yaml:"calls" doc:"Destinations, each with the address at which services on this machine call it." required:"yes" hint:"a name has 1 to 64 letters, digits, dots, hyphens and underscores" keys:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"`

	// Dir is the folder of the file; relative paths start there.
	Dir  string `yaml:"-"`
	Path string `yaml:"-"`

	places places
}

// OutboundCertificate is a certificate that is got and renewed.
type OutboundCertificate struct {
	Server   string `yaml:"server" doc:"Where the authority answers (EST), like https://pki.example.com. Default: somebody else renews the files, which are watched." pattern:"^https://[^/?#@]+/?$" hint:"write https://pki.example.com"`
	ServerCA string `yaml:"server_ca" doc:"If the server's certificate is not the authority's: file with its CA, PEM, or system for what this machine trusts."`
	File     string `yaml:"file" doc:"File with the certificate, PEM. It is written when there is none." required:"yes"`
	Key      string `yaml:"key" doc:"File with its key, which may be the same. Default: for web.pem web-key.pem."`
	Roots    string `yaml:"roots" doc:"File with the authority's roots. Default: for web.pem web-roots.pem."`
	Token    string `yaml:"token_file" doc:"File with an enrolment token (pavise cert token). It is read when there is no certificate that could be renewed."`
}

// OutboundCall is one destination.
type OutboundCall struct {
	Listen     string   `yaml:"listen" doc:"Where services on this machine call it: 127.0.0.1:9001, or unix:/run/pavise/orders.sock, which its owner alone can use." required:"yes"`
	To         string   `yaml:"to" doc:"The destination, like https://orders.internal:8443." required:"yes" pattern:"^https://[^/?#@]+/?$" hint:"write https://orders.internal:8443, without a path: what the service asks for is sent as it is"`
	CA         string   `yaml:"ca" doc:"Who vouches for the destination: own (the roots of the authority that certificate is of), or a file, PEM. Default: the system's."`
	ServerName string   `yaml:"server_name" doc:"The name in the destination's certificate. With ca: own also a name with its type, like uri:spiffe://pavise.internal/orders. Default: the host of to."`
	Profiles   Words    `yaml:"profiles" doc:"Credentials, as profiles of pavise call: NAME, or FILE:NAME. Several make several proofs."`
	Timeout    Duration `yaml:"timeout" doc:"For the head of the answer." default:"30s" min:"100ms" max:"1h"`
	MaxSigned  Size     `yaml:"max_signed" doc:"The longest body that is held in memory, because a profile signs it; a longer one is refused with 413. Other bodies pass as they come." default:"1MiB" min:"1" max:"64MiB"`

	InsecureListen *Reason `yaml:"insecure_listen" doc:"Listen where others on the network can reach it, too. Needs a reason."`
}

const outboundBegin = "begin with calls: {orders: {listen: 127.0.0.1:9001, to: https://orders.internal:8443}}"

// LoadOutbound reads a file of `pavise serve --outbound`. The error is [Problems] if it can
// be read but cannot work.
func LoadOutbound(name string) (*Outbound, error) {
	absolute, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("find the file %s: %w", name, err)
	}
	text, err := readFile(absolute, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read the outbound calls %s: %s", name, reason(err))
	}
	src := &Source{Name: name, Text: text, Dir: filepath.Dir(absolute), begin: outboundBegin}
	o := &Outbound{Path: absolute, Dir: src.Dir, places: places{"": {src, Pos{name, 1, 1}, Pos{name, 1, 1}}}}
	l := &loader{file: &File{Dir: src.Dir, places: o.places}, name: name}
	if l.read(src, o, false) {
		l.checkOutbound(o)
	}
	if len(l.problems) > 0 {
		return nil, l.problems.sorted(name)
	}
	return o, nil
}

// checkOutbound finds what cannot work.
func (l *loader) checkOutbound(o *Outbound) {
	if o.Calls != nil && len(o.Calls) == 0 {
		l.at("calls", outboundBegin, "there are no calls")
	}
	if c := o.Certificate; c != nil {
		if c.Server == "" && c.Token != "" {
			l.at("certificate.token_file", "name the server, or remove it", "a token is of no use without a server")
		}
		if c.ServerCA != "" && c.ServerCA != "system" {
			l.checkFile("certificate.server_ca", c.ServerCA, authorities)
		}
	}
	taken := map[string]string{}
	for _, name := range sortedKeys(o.Calls) {
		call, path := o.Calls[name], "calls."+name
		l.checkLocal(path, call)
		if other, ok := taken[call.Listen]; ok && !strings.HasSuffix(call.Listen, ":0") {
			l.at(path+".listen", "give each call an address of its own", "%s is the address of %s already", call.Listen, other)
		}
		taken[call.Listen] = name
		l.checkDestination(path, o, call)
	}
}

// checkLocal refuses addresses that others can reach.
func (l *loader) checkLocal(path string, c OutboundCall) {
	const hint = "write 127.0.0.1:9001, or unix:/run/pavise/orders.sock"
	if c.Listen == "" {
		return // it is missing, which is told
	}
	if socket, ok := strings.CutPrefix(c.Listen, "unix:"); ok {
		switch {
		case !filepath.IsAbs(socket) || len(socket) > 100:
			l.at(path+".listen", "write a path that begins with / and has at most 100 bytes", "%q is no path of a socket", socket)
		case c.InsecureListen != nil:
			l.at(path+".insecure_listen", "remove it", "a socket is reached by its owner alone")
		}
		return
	}
	addr, err := netip.ParseAddrPort(c.Listen)
	switch {
	case err != nil:
		l.at(path+".listen", hint, "%q is no IP address with a port", c.Listen)
	case !addr.Addr().IsLoopback() && c.InsecureListen == nil:
		l.at(path+".listen", hint+`; if others have to reach it, add insecure_listen: {reason: "…"}`, "whoever reaches %s would call with this machine's credentials", addr)
	case addr.Addr().IsLoopback() && c.InsecureListen != nil:
		l.at(path+".insecure_listen", "remove it", "%s is reached from this machine alone", addr)
	}
}

func (l *loader) checkDestination(path string, o *Outbound, c OutboundCall) {
	if u, err := url.Parse(c.To); c.To != "" && strings.HasPrefix(c.To, "https://") && (err != nil || u.Hostname() == "" || !isPort(u.Port())) {
		l.at(path+".to", "write https://orders.internal:8443", "%q is no address", c.To)
	}
	switch {
	case c.CA == "own" && o.Certificate == nil:
		l.at(path+".ca", "add certificate, or name a file with the CA", "own is the authority of certificate, and there is none")
	case c.CA != "" && c.CA != "own":
		l.checkFile(path+".ca", c.CA, authorities)
	}
	if c.CA != "own" && strings.Contains(c.ServerName, ":") {
		l.at(path+".server_name", "write ca: own, or the name of a host", "names with their type are for certificates of the own authority")
	}
}

// Abs returns a path of the file as an absolute one.
func (o *Outbound) Abs(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(o.Dir, name)
}

// Fault is a problem of a setting that shows only when it is put to use.
func (o *Outbound) Fault(path string, err error) Problem {
	return o.places.problem(path, "", "%v", err)
}

// Insecure lists what weakens protection.
func (o *Outbound) Insecure() []Weakness {
	w := &weaknesses{places: o.places}
	w.structure(reflect.ValueOf(o).Elem(), "")
	return w.found
}
