package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Addresses of the server, below its issuer.
const (
	pathAuthorize  = "/authorize"
	pathToken      = "/token"
	pathPAR        = "/par"
	pathIntrospect = "/introspect"
	pathRevoke     = "/revoke"
	pathUserInfo   = "/userinfo"
	pathDeviceAuth = "/device_authorization"
	pathDevice     = "/device"
	pathJWKS       = "/jwks"
	pathMetadata   = "/.well-known/oauth-authorization-server" // RFC 8414 §3
	pathOpenID     = "/.well-known/openid-configuration"
)

// Endpoint is one address of the server.
type Endpoint struct {
	Pattern string // method and path, as http.ServeMux reads them
	Handler http.Handler
	Pages   bool // people see it: no script of another origin may read it
}

// Endpoints returns every address that the server has.
func (s *Server) Endpoints() []Endpoint {
	clients := func(pattern string) Endpoint {
		return Endpoint{Pattern: pattern, Handler: http.HandlerFunc(s.serveClient)}
	}
	pages := func(pattern string) Endpoint {
		return Endpoint{Pattern: pattern, Handler: http.HandlerFunc(s.servePerson), Pages: true}
	}
	leave := func(pattern string) Endpoint {
		return Endpoint{Pattern: pattern, Handler: http.HandlerFunc(s.serveEndSession), Pages: true}
	}
	describe := http.HandlerFunc(s.serveMetadata)
	all := []Endpoint{
		{Pattern: "GET " + pathMetadata, Handler: describe},
		{Pattern: "GET " + pathOpenID, Handler: describe},
		{Pattern: "GET " + pathJWKS, Handler: http.HandlerFunc(s.serveKeys)},
		clients("POST " + pathToken), clients("POST " + pathIntrospect), clients("POST " + pathRevoke),
	}
	if s.options.People == nil {
		return all
	}
	return append(all,
		clients("POST "+pathPAR), clients("POST "+pathDeviceAuth),
		Endpoint{Pattern: "GET " + pathUserInfo, Handler: http.HandlerFunc(s.serveUserInfo)},
		pages("GET "+pathAuthorize), pages("POST "+pathAuthorize),
		pages("GET "+pathAuthorize+"/{secret}"), pages("POST "+pathAuthorize+"/{secret}"),
		pages("GET "+pathDevice), Endpoint{Pattern: "POST " + pathDevice, Handler: http.HandlerFunc(s.serveDeviceCode), Pages: true},
		pages("GET "+pathDevice+"/{secret}"), pages("POST "+pathDevice+"/{secret}"),
		leave("GET "+pathEndSession), leave("POST "+pathEndSession),
		leave("GET "+pathEndSession+"/{request}"), leave("POST "+pathEndSession+"/{request}"),
	)
}

// serveClient answers a request of a client: with the registered codes, and never with
// anything that the library says of its own accord.
func (s *Server) serveClient(w http.ResponseWriter, r *http.Request) {
	c, r := s.newCall(r)
	for _, step := range []func() *Fault{c.form, c.targets, c.identify, c.unsupported, c.pollsTooFast, c.prove} {
		if fault := step(); fault != nil {
			c.sendFault(w, fault)
			return
		}
	}
	answer := newKept()
	s.library.ServeHTTP(answer, r)
	c.tellEnded()
	if c.away != nil {
		c.sendFault(w, undecided(c.away))
		return
	}
	if fault := c.fault; fault != nil {
		s.softened(c, fault, w)
		return
	}
	if answer.status >= http.StatusBadRequest {
		c.sendFault(w, badRequest("the request is not accepted"))
		return
	}
	if c.nonce != "" {
		answer.header.Set("DPoP-Nonce", c.nonce)
	}
	if isFor(c.request, pathToken) {
		answer.edit(func(all map[string]any) { delete(all, "resources") }) // the library's own word
	}
	if isFor(c.request, pathDeviceAuth) {
		answer.edit(func(all map[string]any) {
			code, _ := all["user_code"].(string)
			all["user_code"] = readableCode(code)
		})
	}
	answer.send(w)
}

// softened sends a refusal of the library; for a token of somebody else, what is
// answered for a token that does not exist (RFC 7662 §2.2, RFC 7009 §2.2).
func (s *Server) softened(c *call, fault *Fault, w http.ResponseWriter) {
	if fault.Code != "access_denied" || !isFor(c.request, pathIntrospect) && !isFor(c.request, pathRevoke) {
		c.sendFault(w, fault)
		return
	}
	s.options.Decline(c.request, fault)
	answer := newKept()
	if isFor(c.request, pathIntrospect) {
		answer.header.Set("Content-Type", "application/json")
		_, _ = answer.Write([]byte("{\"active\":false}\n")) // into memory
	}
	answer.send(w)
}

func (c *call) unsupported() *Fault {
	if !isFor(c.request, pathPAR) && !isFor(c.request, pathDeviceAuth) {
		return nil
	}
	form := c.request.PostForm
	plain(form)
	if kind := form.Get("response_type"); isFor(c.request, pathPAR) && kind != "" && kind != "code" {
		return refuse(http.StatusBadRequest, "unsupported_response_type", "only code is supported")
	}
	if mode := form.Get("response_mode"); mode != "" && mode != "query" {
		return badRequest("only response_mode query is supported")
	}
	if fault := unsupported(form); fault != nil {
		return fault
	}
	return unclear(form)
}

// servePerson answers a browser.
func (s *Server) servePerson(w http.ResponseWriter, r *http.Request) {
	c, r := s.newCall(r)
	if fault := c.browserRequest(); fault != nil {
		_ = s.errorPage(w, r, fault) // the answer has begun, or nobody reads it
		return
	}
	answer := newKept() // a page is shown only if what it is about could be kept
	s.library.ServeHTTP(&pageWriter{ResponseWriter: answer, call: c}, r)
	if c.away != nil {
		_ = s.errorPage(w, r, undecided(c.away)) // as above
		return
	}
	answer.send(w)
}

// serveDeviceCode takes the code that a person typed, and goes on as if it had stood in
// the address, where it does not belong.
func (s *Server) serveDeviceCode(w http.ResponseWriter, r *http.Request) {
	code, ok, err := s.options.People.DeviceCode(w, r)
	if err != nil {
		_ = s.errorPage(w, r, undecided(err)) // nobody is left to tell
		return
	}
	if !ok { // not a form of ours: as if nothing had been typed
		_ = s.options.People.DevicePrompt(w, r, false)
		return
	}
	asked := r.Clone(r.Context())
	asked.Method, asked.Body, asked.Form, asked.PostForm = http.MethodGet, http.NoBody, nil, nil
	asked.URL.RawQuery = url.Values{"user_code": {code}}.Encode()
	s.servePerson(w, asked)
}

// browserRequest refuses what cannot be read in one way only, and drops parameters
// beside a pushed request.
func (c *call) browserRequest() *Fault {
	r := c.request
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("the address cannot be read")
	}
	if fault := once(query); fault != nil {
		return fault
	}
	if r.URL.Path != pathAuthorize {
		return nil
	}
	if r.Method == http.MethodPost { // OpenID Connect Core §3.1.2.1: the same in a form
		if fault := c.form(); fault != nil {
			return fault
		}
		query = r.PostForm
		r.Method, r.Body, r.PostForm, r.Form = http.MethodGet, http.NoBody, nil, nil
	}
	if fault := unsupported(query); fault != nil {
		return fault
	}
	c.client = query.Get("client_id")
	query = passed(query)
	if fault := c.returns(query.Get("redirect_uri")); fault != nil {
		return fault
	}
	plain(query)
	c.onlyCode(query)
	c.unclear = unclear(query)
	r.URL.RawQuery = query.Encode()
	return nil
}

// returns refuses an address that is not registered as it is written. No client, and no
// address, are the library's business.
func (c *call) returns(redirect string) *Fault {
	known, err := c.server.client(c.request.Context(), c.client)
	switch {
	case redirect == "" || errors.Is(err, ErrNoClient):
		return nil
	case err != nil:
		return undecided(err)
	case !known.isRegistered(redirect):
		return badRequest("redirect_uri is not registered for the client")
	}
	return nil
}

// onlyCode lets the library refuse, once it has found the redirect address good, what
// asks for another response than a code in the query: it would answer some of it, or
// refuse it in a fragment or a form.
func (c *call) onlyCode(query url.Values) {
	kind, mode := query.Get("response_type"), query.Get("response_mode")
	if kind != "" && kind != "code" {
		c.otherType = true
		query.Set("response_mode", "query")
	}
	if mode != "" && mode != "query" {
		query.Set("response_type", "none of ours")
		query.Set("response_mode", "query")
	}
}

// pageWriter mends what the library writes for browsers: the code of a response type that
// the server does not have (RFC 6749 §4.1.2.1), and the event of a refusal.
type pageWriter struct {
	http.ResponseWriter
	call *call
}

// WriteHeader implements http.ResponseWriter.
func (p *pageWriter) WriteHeader(status int) {
	if p.call.fault != nil {
		p.call.server.options.Decline(p.call.request, p.call.fault)
	}
	if location := p.Header().Get("Location"); location != "" {
		p.Header().Set("Location", p.call.mended(location))
	}
	p.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (p *pageWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (c *call) mended(location string) string {
	u, err := url.Parse(location)
	if err != nil || !c.otherType {
		return location
	}
	values := u.Query()
	if values.Get("error") == "invalid_request" {
		values.Set("error", "unsupported_response_type")
		u.RawQuery = values.Encode()
	}
	return u.String()
}

// serveKeys answers with the public keys.
func (s *Server) serveKeys(w http.ResponseWriter, r *http.Request) {
	answer := newKept()
	s.library.ServeHTTP(answer, r)
	w.Header().Set("Access-Control-Allow-Origin", "*") // they are public
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(answer.body.Bytes())
}

// serveMetadata answers with what the server can do (RFC 8414 §3.2).
func (s *Server) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(s.metadata)
}

// describe makes the metadata: the library's, and what it does not know.
func (s *Server) describe() ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, s.options.Issuer+pathOpenID, nil)
	if err != nil {
		return nil, fmt.Errorf("describe the server: %w", err)
	}
	answer := newKept()
	s.library.ServeHTTP(answer, request)
	document := map[string]any{}
	if err := json.Unmarshal(answer.body.Bytes(), &document); err != nil {
		return nil, fmt.Errorf("describe the server: %w", err)
	}
	delete(document, "registration_endpoint")
	if s.options.Registration != "" {
		document["registration_endpoint"] = s.options.Registration
	}
	if aliases, ok := document["mtls_endpoint_aliases"].(map[string]any); ok {
		delete(aliases, "registration_endpoint") // programs that register have no certificate that anybody knows
		if s.options.People == nil {
			delete(aliases, "userinfo_endpoint")
		}
	}
	document["id_token_signing_alg_values_supported"] = s.published()
	document["response_modes_supported"] = []string{"query"}
	document["request_parameter_supported"] = false
	document["request_uri_parameter_supported"] = false
	document["claims_parameter_supported"] = false
	document["authorization_response_iss_parameter_supported"] = true
	document["end_session_endpoint"] = s.options.Issuer + pathEndSession
	if s.options.People == nil {
		for _, name := range []string{"authorization_endpoint", "userinfo_endpoint", "code_challenge_methods_supported", "authorization_response_iss_parameter_supported", "end_session_endpoint"} {
			delete(document, name)
		}
		document["response_types_supported"] = []string{}
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describe the server: %w", err)
	}
	return append(text, '\n'), nil
}

// published are the algorithms of the published keys.
func (s *Server) published() []string {
	algorithms := []string{string(s.algorithm())}
	for _, key := range s.options.Keys.Public() {
		if !isWord(strings.Join(algorithms, " "), key.Algorithm) {
			algorithms = append(algorithms, key.Algorithm)
		}
	}
	return algorithms
}

// polls remembers when each device last asked, so that one that asks too often is told
// to slow down (RFC 8628 §3.5).
type polls struct {
	now func() time.Time

	mu   sync.Mutex
	last map[[32]byte]time.Time
}

// maxPolls bounds how many devices are remembered.
const maxPolls = 10_000

func newPolls(now func() time.Time) *polls {
	return &polls{now: now, last: map[[32]byte]time.Time{}}
}

// tooFast notes a question of a device, and reports whether it came too early.
func (p *polls) tooFast(code string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, key := p.now(), digestOf(code)
	if len(p.last) >= maxPolls {
		for old, at := range p.last {
			if now.Sub(at) > devicePoll || len(p.last) >= maxPolls {
				delete(p.last, old)
			}
		}
	}
	before, known := p.last[key]
	p.last[key] = now
	return known && now.Sub(before) < devicePoll-time.Second // a little early is not too fast
}

func (c *call) pollsTooFast() *Fault {
	form := c.request.PostForm
	if !isFor(c.request, pathToken) || form.Get("grant_type") != DeviceCode || form.Get("device_code") == "" {
		return nil
	}
	if c.server.polls.tooFast(form.Get("device_code")) {
		return refuse(http.StatusBadRequest, "slow_down", "wait longer between two questions")
	}
	return nil
}
