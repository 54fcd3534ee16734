// Package config reads the configuration file: strict, with positions, safe
// where it is silent.
//
// The language is the set of structs in this file. Their tags are the only
// description there is: the decoder, the JSON Schema for editors ([Schema]) and
// the tables in the docs come from them.
//
//	yaml      the key
//	doc       what it does, for people; what stands there is not repeated by other tags
//	default   what holds where the file is silent, written as in the file
//	min, max  bounds of a number, duration or size, or of a text's length
//	enum      the words that are accepted
//	pattern   what a text must match; keys: what the keys of a map must match
//	hint      what to write instead of what enum, pattern or keys refuse
//	required  the setting must be there
//	unit      bytes: a whole number that may be written as a size
//	secret    never shown
//	restart   a change, also of what is below it, takes effect with the next start
//
// [Load] returns a [File] that has passed every check that needs nothing but the
// file and those that it names, or all problems at once ([Problems]), each with
// its place. [File.Resolve] flattens inheritance: one ready description for each
// endpoint. [Diff] says what changed between two files.
//
// What is refused on purpose is told in docs/decisions/0080-configuration.md.
package config

import (
	"time"

	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// File is the whole configuration, after its includes were read.
type File struct {
	Listen  Listen            `yaml:"listen" doc:"Where Pavise listens." restart:"yes"`
	Hosts   map[string]Host   `yaml:"hosts" doc:"Names that the listener answers for, with their certificates. Any other name is refused with 421." required:"yes"`
	Issuers map[string]Issuer `yaml:"issuers" doc:"Authorities whose tokens are trusted, with the limits of that trust." hint:"a name has 1 to 64 letters, digits, dots, hyphens and underscores" keys:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"`
	APIs    map[string]API    `yaml:"apis" doc:"Sets of endpoints behind one upstream." hint:"a name has 1 to 64 letters, digits, dots, hyphens and underscores" keys:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"`
	Scopes  map[string]string `yaml:"scopes" doc:"Every scope that endpoints name, with what it allows, in words that a person consenting would understand. Write {} if there are none. It belongs to the end of the file, so that a file that was cut off is refused." hint:"a scope has no spaces, quotes or backslashes: orders:read" required:"yes" keys:"^[!#-\\[\\]-~]{1,128}$"`
	Include []string          `yaml:"include" doc:"Further files, relative to this one; * matches within a folder. They may hold apis and scopes."`

	OAuth     OAuth     `yaml:"oauth" doc:"An authorization server of this installation's own: it signs in people and gives tokens to clients."`
	PKI       PKI       `yaml:"pki" doc:"The certificate authority of this installation, which pavise ca init makes."`
	State     State     `yaml:"state" doc:"Where clients, credentials, events and once-claims are kept." restart:"yes"`
	Proxies   Proxies   `yaml:"trusted_proxies" doc:"Proxies in front of Pavise whose word about the caller's address and certificate counts."`
	Limits    Limits    `yaml:"limits" doc:"Bounds that hold before anybody is known."`
	Honeypots Honeypots `yaml:"honeypots" doc:"Paths that only intruders ask for. They are answered like any unknown path; the event has the code honeypot."`
	Log       Log       `yaml:"log" doc:"The event log." restart:"yes"`
	Alerts    Alerts    `yaml:"alerts" doc:"What is watched for, who is told of it, and what is done."`
	Traces    Traces    `yaml:"traces" doc:"Which requests belong to a trace that is recorded (W3C Trace Context, OpenTelemetry)."`
	Schedule  Schedule  `yaml:"schedule" doc:"What the gateway looks at again and again by itself; what is new then is an alert."`
	Policies  []string  `yaml:"policies" doc:"Cedar policy files, relative to this file. Any error in one denies."`
	Waivers   []Waiver  `yaml:"waivers" doc:"Findings of pavise check, attack --self, review, apis and the schedule that are accepted, each for a reason and until a day."`
	Upstream  Fetch     `yaml:"fetch" doc:"What Pavise itself may fetch: keys of issuers."`

	// Dir is the folder of the main file; relative paths start there.
	Dir string `yaml:"-"`
	// Path is the main file; Paths are all files that were read, for watching.
	Path  string   `yaml:"-"`
	Paths []string `yaml:"-"`

	places places // of every setting
}

// Listen says where Pavise listens.
type Listen struct {
	HTTPS string `yaml:"https" doc:"Address of the TLS listener, host:port." default:"127.0.0.1:8443"`
	HTTP  string `yaml:"http" doc:"Address of the plain listener, host:port. It serves ACME challenges, and revocation lists and OCSP if pki.status is set; nothing else. Default: none."`

	Metrics *Metrics `yaml:"metrics" doc:"Where metrics and health are asked for: /metrics, /livez, /readyz. A word is the address. Default: nowhere."`
}

// Host is a name with its certificate.
type Host struct {
	Certificate        Certificate `yaml:"certificate" doc:"acme, local (made for development, trusted by nobody else), own (of the authority that pavise ca init made), or {cert: chain.pem, key: key.pem}." required:"yes"`
	ClientCertificates string      `yaml:"client_certificates" doc:"ask: the handshake asks for a client certificate, which endpoints judge." default:"never" enum:"never,ask"`
}

// Certificate is "acme", "local", "own", or a pair of files.
type Certificate struct {
	Source    string `yaml:"source" doc:"acme, local, own or files." enum:"acme,local,own,files"`
	Cert      string `yaml:"cert" doc:"File with the chain, PEM, leaf first. Read again when it changes."`
	Key       string `yaml:"key" doc:"File with the private key, PEM."`
	Email     string `yaml:"email" doc:"ACME: whom the CA may write to."`
	Directory string `yaml:"directory" doc:"ACME: directory address. Default: Let's Encrypt."`
	Roots     string `yaml:"roots" doc:"ACME: file with the CA that the directory's own certificate chains to. Default: the system's."`
}

// Issuer is an authority whose tokens are trusted.
type Issuer struct {
	URL        string            `yaml:"url" doc:"The exact value of iss. Keys come from its discovery document unless jwks is given." required:"yes"`
	JWKS       string            `yaml:"jwks" doc:"Address or file of the key set, instead of discovery."`
	Audience   Words             `yaml:"audience" doc:"Accepted values of aud. Default: the name of the API."`
	MayGrant   Words             `yaml:"may_grant" doc:"Ceiling of scopes that its tokens may carry: names, prefixes like orders:*, or *. Nothing else is taken over. Default: none."`
	ScopesFrom string            `yaml:"scopes_from" doc:"Claim that holds the scopes. Default scope, then scp."`
	Claims     map[string]string `yaml:"claims" doc:"What to take over: user, client, tenant or an attribute's name → claim; dots go down."`
	Types      Words             `yaml:"types" doc:"Accepted typ values." default:"at+jwt"`
	Algorithms Words             `yaml:"algorithms" doc:"Accepted alg values." hint:"use ES256 or RS256; HMAC is refused, since who verifies could also sign" default:"RS256,PS256,ES256,EdDSA,Ed25519" enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA,Ed25519"`
	Leeway     Duration          `yaml:"leeway" doc:"Tolerated difference of clocks." default:"30s" min:"0s" max:"60s"`
	MaxAge     Duration          `yaml:"max_age" doc:"Longest accepted life of a token." default:"24h" min:"1s" max:"365d"`
	KeysMaxAge Duration          `yaml:"keys_max_age" doc:"How long kept keys serve when the issuer cannot be reached, then 503." default:"24h" min:"10m" max:"30d"`
	CoolDown   Duration          `yaml:"cool_down" doc:"Shortest time between two fetches of keys for unknown kids." default:"30s" min:"1s" max:"1h"`
	CA         string            `yaml:"ca" doc:"File with the CA that the issuer's certificate chains to. Default: the system's."`
	Introspect *Introspection    `yaml:"introspection" doc:"How Pavise asks the issuer about tokens that are no JWTs, for the shield introspect (RFC 7662)."`
	Pos        Pos               `yaml:"-"`
}

// Introspection is how an issuer is asked about tokens.
type Introspection struct {
	URL      string `yaml:"url" doc:"Address that is asked. Default: the introspection_endpoint of the issuer's metadata."`
	ClientID string `yaml:"client_id" doc:"How Pavise is registered at the issuer." required:"yes"`
	Secret   string `yaml:"client_secret_file" doc:"File that holds the client's secret in one line. Read again when it changes." required:"yes"`
	Auth     string `yaml:"auth" doc:"How the secret is sent: in the Authorization header, or in the form." default:"client_secret_basic" enum:"client_secret_basic,client_secret_post"`
}

// OAuth is the authorization server of this installation.
type OAuth struct {
	Issuer       string   `yaml:"issuer" doc:"Its address, https://host or https://host:port, where host is one of hosts. It is what tokens name as iss. Default: no server; one that is added, or taken away, is so at the reload." pattern:"^https://[^/?#@]+$" hint:"write https://login.example.com, without a path" restart:"yes"`
	Algorithm    string   `yaml:"algorithm" doc:"What tokens are signed with. A change takes effect when the new key has been published for a day." default:"ES256" enum:"ES256,EdDSA,PS256,RS256" restart:"yes"`
	AccessToken  Duration `yaml:"access_token" doc:"Life of an access token." default:"10m" min:"10s" max:"24h" restart:"yes"`
	RefreshToken Duration `yaml:"refresh_token" doc:"How long a client may go on without asking the person again." default:"30d" min:"10s" max:"365d"`
	RefreshIdle  Duration `yaml:"refresh_idle" doc:"A refresh token that is not used for so long ends." default:"14d" min:"10s" max:"365d"`
	RotateKeys   Duration `yaml:"rotate_keys" doc:"How long a key signs; the next one is published a day before." default:"30d" min:"2d" max:"365d" restart:"yes"`
	ClientCA     string   `yaml:"client_ca" doc:"File with the CAs whose certificates clients may authenticate with (tls_client_auth, RFC 8705 §2.1). The host must ask for certificates. Default: none."`
	DPoPNonce    bool     `yaml:"dpop_nonce" doc:"Demand a recent nonce of the server in each DPoP proof (RFC 9449 §8)."`
	Limit        string   `yaml:"limit" doc:"Requests of one address to what clients ask (tokens, introspection, revocation, pushed requests), count/second, /minute or /hour. Behind one address may stand many services." default:"3000/minute"`
	Registration bool     `yaml:"registration" doc:"Programs may register themselves (RFC 7591) with an initial access token, which pavise client invite makes."`
	SignIn       SignIn   `yaml:"sign_in" doc:"How people sign in."`
	Browsers     Words    `yaml:"browsers" doc:"Origins whose scripts may ask for tokens, exact: https://app.example.com. Default: none."`
}

// OwnIssuer is the name of this installation's authorization server among the issuers.
const OwnIssuer = "pavise"

// MetadataAPI is the name of the built-in API that tells clients where to get tokens.
const MetadataAPI = "resource-metadata"

// API is a set of endpoints behind one upstream.
type API struct {
	About

	Host        Words               `yaml:"host" doc:"One or more of hosts." required:"yes"`
	Upstream    Upstream            `yaml:"upstream" doc:"Where accepted requests go: an address, several, or a block." required:"yes"`
	Shield      *Shield             `yaml:"shield" doc:"Who may call: a kind, {kind: settings}, {any: […]} or {all: […]}. Inherited by endpoints."`
	Scopes      Words               `yaml:"scopes" doc:"Scopes that every endpoint demands unless it names its own; any: none is demanded."`
	Limit       []Limit             `yaml:"limit" doc:"Rates like 600/minute per client (or user, address, endpoint). Inherited; an endpoint's own are added."`
	Resource    string              `yaml:"resource" doc:"Its resource identifier (RFC 8707, RFC 9728): what clients ask tokens for, and an accepted audience. On one of its hosts. Default: the address that was asked, without a path; that is no audience." pattern:"^https://[^?#@ ]+$" hint:"write https://api.example.com or https://api.example.com/orders, without a query"`
	CORS        Words               `yaml:"cors" doc:"Origins whose scripts may call, exact: https://app.example.com. Default: none."`
	OpenAPI     *OpenAPI            `yaml:"openapi" doc:"The API's description, to which every request is held. A word is the file."`
	Sanitise    []Sanitise          `yaml:"sanitise" doc:"Fields of the input that are cleaned before anybody judges them. Inherited; an endpoint's own are added."`
	Trials      []Trial             `yaml:"insecure_report_only" doc:"Layers of which refusals are only recorded, each until a day and with a reason. Inherited; an endpoint's own come first."`
	Injection   *Injection          `yaml:"injection" doc:"Look for injections in what no description confines. on: with all detectors. Default: not."`
	Responses   *Responses          `yaml:"responses" doc:"How answers are judged before they leave. Inherited; an endpoint's own stands in its place."`
	Candidate   *Candidate          `yaml:"candidate" doc:"A stricter policy that is tried beside this one: what it would refuse is only recorded. Inherited; an endpoint's own stands in its place."`
	Flows       map[string]Flow     `yaml:"flows" doc:"Orders in which sensitive endpoints may be called." hint:"a name has 1 to 64 letters, digits, dots, hyphens and underscores" keys:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"`
	MaxBody     Size                `yaml:"max_body" doc:"Longest accepted body." default:"10MiB" min:"1" max:"1024GiB"`
	Timeout     Duration            `yaml:"timeout" doc:"Until the upstream's answer begins." default:"30s" min:"100ms" max:"1h"`
	Identity    IdentityOut         `yaml:"identity" doc:"How the upstream learns who called."`
	Allow       []Allowance         `yaml:"insecure_allow" doc:"What the door lets through for this API although it is ambiguous, each with a reason."`
	Audit       string              `yaml:"audit" doc:"What is answered is always recorded first in the local log, or refused. required: endpoints also refuse while one of log.sinks fails and as many events wait for it as its spool takes, or the log removes them before they were delivered." default:"local" enum:"local,required"`
	Events      Recorded            `yaml:"events" doc:"What its events show."`
	Endpoints   map[string]Endpoint `yaml:"endpoints" doc:"Method and path pattern → policy. What is not listed is refused." required:"yes"`
	Concurrency int                 `yaml:"concurrency" doc:"Requests of one client at once; 0: unlimited." default:"0" min:"0" max:"1000000"`
	Together    int                 `yaml:"concurrency_total" doc:"Requests of all clients together at once; 0: unlimited." default:"0" min:"0" max:"1000000"`
	Quota       []Quota             `yaml:"quota" doc:"What a day or a month (UTC) allows, like 100000/month per client (or user, endpoint). It is kept across restarts. Inherited; an endpoint's own are added."`
	Priority    string              `yaml:"priority" doc:"How long it is served while limits.requests fills up: low until 70 % are under way, normal until 90 % (without a credential 80 %), high until the end. Inherited." default:"normal" enum:"low,normal,high"`
	Pos         Pos                 `yaml:"-"`
}

// Endpoint is a method and path pattern with its policy.
type Endpoint struct {
	Shield  *Shield     `yaml:"shield" doc:"Instead of the API's."`
	Scopes  Words       `yaml:"scopes" doc:"All of these, or any: no scope at all is demanded. Access is stated, never implied."`
	Limit   []Limit     `yaml:"limit" doc:"In addition to the API's."`
	When    string      `yaml:"when" doc:"A Cedar condition over principal, resource and context. Any error denies."`
	MaxBody Size        `yaml:"max_body" doc:"Instead of the API's." min:"1" max:"1024GiB"`
	Schema  *BodySchema `yaml:"body_schema" doc:"A plain JSON Schema to which bodies are held, where no OpenAPI document describes the endpoint. A word is the file."`
	Outside string      `yaml:"insecure_undescribed" doc:"Why the endpoint is not in the API's description, so that its input is held to nothing."`
	Timeout Duration    `yaml:"timeout" doc:"Instead of the API's." min:"100ms" max:"1h"`

	Quota       []Quota      `yaml:"quota" doc:"In addition to the API's."`
	Concurrency int          `yaml:"concurrency" doc:"Requests of one client at once to this endpoint, within the API's; 0: unlimited." default:"0" min:"0" max:"1000000"`
	Together    int          `yaml:"concurrency_total" doc:"Requests of all clients together at once to this endpoint; 0: unlimited." default:"0" min:"0" max:"1000000"`
	Priority    string       `yaml:"priority" doc:"Instead of the API's." enum:"low,normal,high"`
	Idempotency *Idempotency `yaml:"idempotency" doc:"What is done once, however often it is sent: retries with the same Idempotency-Key get the first answer again. {} for the defaults."`

	Sanitise  []Sanitise `yaml:"sanitise" doc:"In addition to the API's."`
	GraphQL   *GraphQL   `yaml:"graphql" doc:"The endpoint speaks GraphQL: what a request may ask for. {} is enough."`
	Trials    []Trial    `yaml:"insecure_report_only" doc:"Layers of which refusals are only recorded, each until a day and with a reason."`
	Injection *Injection `yaml:"injection" doc:"Instead of the API's."`
	Candidate *Candidate `yaml:"candidate" doc:"Instead of the API's."`
	Responses *Responses `yaml:"responses" doc:"Instead of the API's."`

	Pos Pos `yaml:"-"`
}

// OpenAPI is an API's description.
type OpenAPI struct {
	File          string `yaml:"file" doc:"Document in OpenAPI 3.0 or 3.1, YAML or JSON, in one piece, relative to this file. Read when the configuration is." required:"yes"`
	LargeIntegers bool   `yaml:"large_integers" doc:"Accept whole numbers beyond 2^53 in JSON, which many readers round."`
	EscapedCommas bool   `yaml:"escaped_commas" doc:"The service takes escapes away before it splits lists at commas, as most frameworks do: ids=1%2C2 is 1 and 2. Default: an escaped comma is refused."`
	Headers       bool   `yaml:"closed_headers" doc:"Refuse headers that the document does not name, but for those that clients and proxies send by themselves, and credentials."`
	Cookies       bool   `yaml:"closed_cookies" doc:"Refuse cookies that the document does not name."`
	Undeclared    string `yaml:"insecure_undeclared" doc:"Why parameters of the query and properties of bodies may pass that the document does not name. Default: they are refused."`
	Pos           Pos    `yaml:"-"`
}

// SetScalar takes the short form: the file.
func (o *OpenAPI) SetScalar(value string) error {
	o.File = value
	return nil
}

// BodySchema is a plain JSON Schema for bodies.
type BodySchema struct {
	File          string `yaml:"file" doc:"JSON Schema 2020-12, JSON or YAML, in one piece, relative to this file. Read when the configuration is." required:"yes"`
	LargeIntegers bool   `yaml:"large_integers" doc:"Accept whole numbers beyond 2^53, which many readers round."`
	Undeclared    string `yaml:"insecure_undeclared" doc:"Why properties may pass that the schema does not name. Default: they are refused."`
}

// SetScalar takes the short form: the file.
func (b *BodySchema) SetScalar(value string) error {
	b.File = value
	return nil
}

// Shield is one shield, or a combination.
type Shield struct {
	Kind   string        // "api_key", …; empty for a combination
	Config shield.Config // decoded settings of the kind
	Any    []Shield
	All    []Part
	Pos    Pos
}

// Part is one proof of an all.
type Part struct {
	Shield Shield
	Actor  bool // `actor: true` beside the kind
}

// Limit is a rate with whom it counts for, written "60/minute per user".
type Limit struct {
	limit.Limit
	Pos Pos
}

// Upstream is where requests go: "http://127.0.0.1:9000", a list of such, or a block.
type Upstream struct {
	URL               Words    `yaml:"url" doc:"One address or several: scheme, host and port, no path." required:"yes"`
	ClientCertificate string   `yaml:"client_certificate" doc:"own: present a certificate of the authority that pavise ca init made, renewed by itself; local: one of the local CA (CN=pavise, URI spiffe://pavise/gateway); or a file with certificate and key, PEM."`
	CA                string   `yaml:"ca" doc:"File with the CA that its certificate chains to. Default: the system's."`
	ServerName        string   `yaml:"server_name" doc:"Name that its certificate must carry. Default: the host of the address."`
	Protocol          string   `yaml:"protocol" doc:"h2c: HTTP/2 without TLS, for gRPC in the clear. auto: by the TLS handshake, else HTTP/1.1." default:"auto" enum:"auto,h2c"`
	PreserveHost      bool     `yaml:"preserve_host" doc:"Send the caller's Host instead of the upstream's."`
	Health            string   `yaml:"health" doc:"Path that is asked regularly with GET; an address that fails three times in a row gets nothing until it has answered twice with 200 to 399. Default: none, only passive checks." pattern:"^/"`
	HealthInterval    Duration `yaml:"health_interval" doc:"Time between two of these." default:"5s" min:"100ms" max:"10m"`
	HealthTimeout     Duration `yaml:"health_timeout" doc:"Until such an answer must be there." default:"2s" min:"10ms" max:"1m"`
	BreakerFailures   int      `yaml:"breaker_failures" doc:"Failures in a row until an address is left alone for a while." default:"5" min:"1" max:"1000"`
	BreakerOpen       Duration `yaml:"breaker_open" doc:"How long it is left alone at first; each failed try doubles it, up to thirty times as long." default:"1s" min:"10ms" max:"1m"`
	Retries           int      `yaml:"retries" doc:"Further tries where a second one can do no harm: nothing was sent, or the method is idempotent and its body still at hand. At most a fifth of all requests." default:"1" min:"0" max:"5"`
	IdleTimeout       Duration `yaml:"idle_timeout" doc:"Longest silence within a body, a stream or an upgraded connection." default:"5m" min:"10ms" max:"24h"`
	TotalTimeout      Duration `yaml:"total_timeout" doc:"Longest exchange whose answer has a known length." default:"15m" min:"100ms" max:"24h"`
	Upgrades          Words    `yaml:"upgrades" doc:"Protocols that a connection may be upgraded to, or none." default:"websocket" enum:"websocket,none"`
	Via               string   `yaml:"via" doc:"Name of this gateway to append to Via (RFC 9110 §7.6.3). Default: none." pattern:"^[A-Za-z0-9._-]{1,64}$"`
	KeepBanners       bool     `yaml:"keep_banners" doc:"Hand on Server, X-Powered-By and their like, which tell what the upstream runs."`
	KeepHeaders       []Kept   `yaml:"insecure_keep_headers" doc:"Headers that callers may send although they are removed by default, because upstreams take them for an identity, an address or another method."`
	MaxConnections    int      `yaml:"max_connections" doc:"Connections per address." default:"512" min:"1" max:"65536"`
	Connect           Duration `yaml:"connect_timeout" doc:"Until a connection stands, with its TLS handshake." default:"5s" min:"10ms" max:"1m"`
	Skip              *Reason  `yaml:"insecure_skip_verify" doc:"Do not verify the upstream's certificate. Needs a reason."`
	Pos               Pos      `yaml:"-"`
}

// IdentityOut says how the upstream learns who called.
type IdentityOut struct {
	Token       bool              `yaml:"token" doc:"A signed Pavise-Identity token that the upstream can verify." default:"true"`
	Headers     map[string]string `yaml:"headers" doc:"Plain headers: name → client, user, tenant, scopes, subject, issuer, credential or shield. A user or subject is a name within its issuer alone." enum:"client,user,tenant,scopes,subject,issuer,credential,shield"`
	Certificate bool              `yaml:"client_cert" doc:"Hand the caller's certificate on as Client-Cert (RFC 9440)."`
}

// Reason is why something insecure is wanted: {reason: …}.
type Reason struct {
	Reason string `yaml:"reason" doc:"Why, in at least ten characters." min:"10" max:"200" required:"yes"`
}

// Kept is a header that is not removed.
type Kept struct {
	What   string `yaml:"header" doc:"Its name, such as X-User-Id." pattern:"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$" required:"yes"`
	Reason string `yaml:"reason" doc:"Why callers may say this, in at least ten characters." min:"10" max:"200" required:"yes"`
}

// Allowance is one thing that the door lets through.
type Allowance struct {
	What   string `yaml:"what" doc:"What the upstream needs, of what intermediaries read differently." enum:"encoded_slash,semicolon,underscore_headers,trailers,method_parameter" required:"yes"`
	Reason string `yaml:"reason" doc:"Why the upstream needs it and why it is safe there, in at least ten characters." min:"10" max:"200" required:"yes"`
}

// State is where things are kept.
type State struct {
	Folder       string   `yaml:"folder" doc:"Data folder, relative to this file." default:"pavise-data"`
	MasterKey    string   `yaml:"master_key" doc:"File with the key that wraps all others, relative to this file and outside the data folder. Made at the first start. Beside it lies the mark (.mark) by which a store that was put back is noticed." default:"pavise.key"`
	KeyCommand   Words    `yaml:"master_key_command" doc:"Program with its arguments that prints the master key instead (32 bytes in base64), such as the client of a key store. No shell; it has ten seconds. Only the mark is then kept beside master_key."`
	MaxStaleness Duration `yaml:"max_staleness" doc:"How old revocations may be before everything is refused." default:"60s" min:"2s" max:"1h"`
	Keys         int      `yaml:"idempotency_keys" doc:"Idempotency keys that are known at once, at about 200 bytes of memory each. The last quarter is for identities that have less than a quarter." default:"1000000" min:"1000" max:"100000000"`
	Answers      Size     `yaml:"idempotency_answers" doc:"Room on the disk for answers that are kept for retries; up to twice as much is used." default:"512MiB" min:"1MiB" max:"1024GiB"`
	Socket       string   `yaml:"socket" doc:"Unix socket for administration. Default admin.sock in the data folder."`
}

// Proxies are what stands in front of Pavise.
type Proxies struct {
	Addresses   Words `yaml:"addresses" doc:"Networks, e.g. 10.0.0.0/8. Only from these is X-Forwarded-For read, from the right, up to the first that is not one of them."`
	Terminators Words `yaml:"terminators" doc:"PEM files with CAs: whoever connects over mutual TLS with a certificate of these may pass Client-Cert (RFC 9440)."`
}

// Limits are bounds that hold before anybody is known.
type Limits struct {
	Address        string   `yaml:"address" doc:"Requests of one address (IPv6: one /64), like 600/minute." default:"6000/minute"`
	Connections    int      `yaml:"connections" doc:"Connections in all." default:"10000" min:"1" max:"1000000" restart:"yes"`
	ConnectionsPer int      `yaml:"connections_per_address" doc:"Connections of one address." default:"256" min:"1" max:"1000000" restart:"yes"`
	Requests       int      `yaml:"requests" doc:"Requests under way in all: behind the route, until their answer has ended. As they fill up, low priority is refused first (503 busy)." default:"10000" min:"1" max:"1000000" restart:"yes"`
	Handshakes     string   `yaml:"handshakes" doc:"TLS handshakes of one address, like 600/minute; more are closed before any work is done. Trusted proxies are not counted." default:"6000/minute"`
	HeaderBytes    Size     `yaml:"header_bytes" doc:"Longest head of a request." default:"32KiB" min:"4KiB" max:"1MiB" restart:"yes"`
	HeaderTimeout  Duration `yaml:"header_timeout" doc:"Until the head is complete." default:"10s" min:"1s" max:"5m" restart:"yes"`
	BodyTimeout    Duration `yaml:"body_timeout" doc:"Longest silence within a body." default:"30s" min:"1s" max:"1h" restart:"yes"`
	IdleTimeout    Duration `yaml:"idle_timeout" doc:"Longest silence between requests." default:"2m" min:"1s" max:"1h" restart:"yes"`
	WrongTries     int      `yaml:"wrong_tries" doc:"Wrong credentials of one network within a minute before it is slowed down." default:"20" min:"1" max:"100000" restart:"yes"`
}

// Log is the event log.
type Log struct {
	Folder  string   `yaml:"folder" doc:"Folder of the event log, relative to this file. Default: log in the data folder."`
	Keep    Duration `yaml:"keep" doc:"How long segments are kept." default:"90d" min:"1h" max:"3650d"`
	Kept    string   `yaml:"checkpoints" doc:"Another folder, best on another machine's disk, to which a signed checkpoint is appended every minute. pavise log verify then also finds a log that was rewritten by somebody who has all keys of this machine. Default: none."`
	MaxSize Size     `yaml:"max_size" doc:"Size of all segments together; the oldest go first." default:"10GiB" min:"16MiB" max:"1048576GiB"`

	Trail

	Sinks map[string]Sink `yaml:"sinks" doc:"Other places to which events go, by a name. The log is their spool." keys:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" hint:"a name has 1 to 64 letters, digits, dots, hyphens and underscores"`
}

// Fetch is what Pavise itself may fetch.
type Fetch struct {
	Allow Words `yaml:"allow" doc:"Hosts or networks that issuers' addresses may lie in although they are private, e.g. 127.0.0.1 or 10.1.0.0/16. Of this machine also without TLS: http://localhost:9998."`
}

// Words is a list that may be written as one word.
type Words []string

// Duration is written 30s, 5m, 24h or 90d.
type Duration struct{ time.Duration }

// Size is written 512, 64KiB, 10MiB or 1GiB; plain numbers are bytes.
type Size int64

// Pos is where something stands.
type Pos struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"` // in characters, from 1
}
