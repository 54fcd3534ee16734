package against

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/shell"
	"pavise.dev/pavise/shield"
)

// call is a request that could be made, and the credentials with which. It is sent any number
// of times, each time with credentials of its own.
type call struct {
	host, method string
	path, query  string // as they are written
	header       map[string]string
	body         []byte
	length       int64 // of the body, which is filled up with spaces; 0: as it is
	media        string
	scopes       shield.Scopes
	tenant       string
	attributes   map[string]any
	proofs       []proof
	respect      string // in which respect it goes to a bound; plain: in none
	note         string // what is peculiar to it, for people
	network      string // the address it comes from; empty: one of its own
	name         string // of the client; empty: one of its own
	strangers    bool   // each request is a person's of its own
	keyed        bool   // it has an Idempotency-Key
	at           string // the pattern of the other configuration to whose path it goes; empty: none

	// While it is sent:
	world   *world
	number  int
	client  string
	request *http.Request
	chain   []*x509.Certificate
}

// with is a copy that goes to a bound in some respect.
func (c *call) with(respect, note string, change func(*call)) *call {
	next := *c
	next.header = map[string]string{}
	for name, value := range c.header {
		next.header[name] = value
	}
	next.respect, next.note = respect, note
	change(&next)
	return &next
}

// noted adds to what is peculiar to the call.
func (c *call) noted(more string) string {
	if c.note == "" {
		return more
	}
	return c.note + "; " + more
}

// key tells calls apart that may be decided differently.
func (c *call) key() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %q %q %d %q %q %t %q %v", c.method, c.host, c.target(), c.body, c.media, c.length, c.scopes, c.tenant, c.keyed, c.network, c.header)
	for _, p := range c.proofs {
		b.WriteString("\x00" + p.kind + "\x00" + p.what + "\x00" + p.same)
	}
	return b.String()
}

// person is who signed in.
func (c *call) person() string {
	if c.strangers {
		return fmt.Sprintf("person-%d", c.number)
	}
	return "person-1"
}

func (c *call) target() string {
	if c.query == "" {
		return c.path
	}
	return c.path + "?" + c.query
}

// what names the credentials, and what is peculiar.
func (c *call) what() string {
	var words []string
	for _, p := range c.proofs {
		words = append(words, p.what)
	}
	text := strings.Join(words, " and ")
	if len(c.scopes) > 0 {
		text += ", of a client with " + strings.Join(c.scopes, " ")
	} else if text != "no credential" {
		text += ", of a client without scopes"
	}
	if c.note != "" {
		text += "; " + c.note
	}
	return text
}

// shown is the request for people; credentials are named, not written.
func (c *call) shown() string {
	text := "curl -X " + shell.Word(c.method) + " " + shell.Quoted("https://"+c.host+c.target())
	for _, name := range slices.Sorted(maps.Keys(c.header)) {
		text += " -H " + shell.Quoted(name+": "+c.header[name])
	}
	if c.keyed {
		text += " -H 'Idempotency-Key: …'"
	}
	if c.media != "" {
		text += " -H " + shell.Quoted("Content-Type: "+c.media)
	}
	if c.length > int64(len(c.body)) {
		text += fmt.Sprintf(" # a body of %d bytes", c.length)
	} else if len(c.body) > 0 && len(c.body) < 300 {
		text += " --data-raw " + shell.Quoted(string(c.body))
	} else if len(c.body) > 0 {
		text += fmt.Sprintf(" # a body of %d bytes", len(c.body))
	}
	return text
}

// send makes the request.
func (c *call) send(w *world, number int, asks bool) (*http.Request, error) {
	c.world, c.number, c.client, c.chain = w, number, c.name, nil
	if c.client == "" {
		c.client = fmt.Sprintf("client-%d", number)
	}
	u, err := url.ParseRequestURI(c.target())
	if err != nil {
		return nil, fmt.Errorf("make a request to %s: %w", c.target(), err)
	}
	u.Scheme, u.Host = "https", c.host
	r := &http.Request{
		Method: c.method, URL: u, Host: c.host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RequestURI: c.target(), Body: http.NoBody,
		TLS: &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true}, RemoteAddr: c.network,
	}
	if addr, err := netip.ParseAddr(c.host); err != nil {
		r.TLS.ServerName = c.host
	} else if addr.Is6() {
		r.Host = "[" + c.host + "]"
	}
	if r.RemoteAddr == "" {
		r.RemoteAddr = addressOf(number)
	}
	c.fill(r)
	for name, value := range c.header {
		r.Header.Set(name, value)
		if strings.Contains(name, "_") {
			r.Header[name] = r.Header[http.CanonicalHeaderKey(name)]
		}
	}
	if c.keyed {
		r.Header.Set("Idempotency-Key", fmt.Sprintf("key-%d", number))
	}
	c.request = r
	for _, p := range c.proofs {
		if err := p.make(c); err != nil {
			return nil, fmt.Errorf("make %s: %w", p.what, err)
		}
	}
	if !asks {
		r.TLS.PeerCertificates = nil // the handshake never asks for one
	}
	return r, nil
}

// addressOf is an address of its own, in a network of its own.
func addressOf(number int) string {
	n := uint32(number)
	return fmt.Sprintf("[2a0e:%x:%x::1]:4000", n>>16+1, n&0xffff)
}

// fill gives the request its body.
func (c *call) fill(r *http.Request) {
	n := max(c.length, int64(len(c.body)))
	if n == 0 {
		return
	}
	r.ContentLength = n
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(c.body), io.LimitReader(spaces{}, n-int64(len(c.body)))))
	if c.media != "" {
		r.Header.Set("Content-Type", c.media)
	}
}

// spaces never ends.
type spaces struct{}

func (spaces) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}
