// Package config reads the configuration file: strict, with positions, safe
// where it is silent.
//
// The language is the set of structs in this file. Their tags are the only
// description there is: the decoder, the JSON Schema for editors and the tables
// in the docs come from them. [Load] returns a [File] that has passed every check
// that needs nothing but the file, or all problems at once.
package config

import (
	"time"

	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// File is the whole configuration, after its includes were read.
type File struct {
	Listen  Listen            `yaml:"listen" doc:"Where Pavise listens."`
	Hosts   map[string]Host   `yaml:"hosts" doc:"Names that the listener answers for, with their certificates. Any other name is refused with 421."`
	Issuers map[string]Issuer `yaml:"issuers" doc:"Authorities whose tokens are trusted, with the limits of that trust."`
	APIs    map[string]API    `yaml:"apis" doc:"Sets of endpoints behind one upstream."`
	Scopes  map[string]string `yaml:"scopes" doc:"Every scope that endpoints name, with what it allows, in words that a person consenting would understand."`
	Include []string          `yaml:"include" doc:"Further files, relative to this one; * matches within a folder. They may hold apis and scopes."`

	State    State    `yaml:"state" doc:"Where clients, credentials, events and once-claims are kept."`
	Proxies  Proxies  `yaml:"trusted_proxies" doc:"Proxies in front of Pavise whose word about the caller's address and certificate counts."`
	Limits   Limits   `yaml:"limits" doc:"Bounds that hold before anybody is known."`
	Log      Log      `yaml:"log" doc:"The event log."`
	Policies []string `yaml:"policies" doc:"Cedar policy files, relative to this file. Any error in one denies."`
	Upstream Fetch    `yaml:"fetch" doc:"What Pavise itself may fetch: keys of issuers."`

	// Dir is the folder of the main file; relative paths start there.
	Dir string `yaml:"-"`
	// Path is the main file; Paths are all files that were read, for watching.
	Path  string   `yaml:"-"`
	Paths []string `yaml:"-"`
}

// Listen says where Pavise listens.
type Listen struct {
	HTTPS string `yaml:"https" doc:"Address of the TLS listener, host:port. Default 127.0.0.1:8443."`
	HTTP  string `yaml:"http" doc:"Address of the plain listener. It serves ACME challenges and nothing else. Default: none."`
}

// Host is a name with its certificate.
type Host struct {
	Certificate        Certificate `yaml:"certificate" doc:"acme, local (a CA of this installation's own), or {cert: chain.pem, key: key.pem}."`
	ClientCertificates string      `yaml:"client_certificates" doc:"ask: the handshake asks for a client certificate, which endpoints judge. never (default)." enum:"never,ask"`
}

// Certificate is "acme", "local", or a pair of files.
type Certificate struct {
	Source    string `yaml:"source" doc:"acme, local or files." enum:"acme,local,files"`
	Cert      string `yaml:"cert" doc:"File with the chain, PEM, leaf first. Read again when it changes."`
	Key       string `yaml:"key" doc:"File with the private key, PEM."`
	Email     string `yaml:"email" doc:"ACME: whom the CA may write to."`
	Directory string `yaml:"directory" doc:"ACME: directory address. Default: Let's Encrypt."`
	Roots     string `yaml:"roots" doc:"ACME: file with the CA that the directory's own certificate chains to. Default: the system's."`
}

// Issuer is an authority whose tokens are trusted.
type Issuer struct {
	URL        string            `yaml:"url" doc:"The exact value of iss. Keys come from its discovery document unless jwks is given."`
	JWKS       string            `yaml:"jwks" doc:"Address or file of the key set, instead of discovery."`
	Audience   Words             `yaml:"audience" doc:"Accepted values of aud. Default: the name of the API."`
	MayGrant   Words             `yaml:"may_grant" doc:"Ceiling of scopes that its tokens may carry: names, or prefixes like orders:*. Nothing else is taken over."`
	ScopesFrom string            `yaml:"scopes_from" doc:"Claim that holds the scopes. Default scope, then scp."`
	Claims     map[string]string `yaml:"claims" doc:"What to take over: user, client, tenant or an attribute's name → claim; dots go down."`
	Types      Words             `yaml:"types" doc:"Accepted typ values. Default at+jwt."`
	Algorithms Words             `yaml:"algorithms" doc:"Accepted alg values. Default RS256, PS256, ES256, EdDSA."`
	Leeway     Duration          `yaml:"leeway" doc:"Tolerated difference of clocks, at most 60s. Default 30s."`
	MaxAge     Duration          `yaml:"max_age" doc:"Longest accepted life of a token. Default 24h."`
	KeysMaxAge Duration          `yaml:"keys_max_age" doc:"How long kept keys serve when the issuer cannot be reached, then 503. Default 24h."`
	CoolDown   Duration          `yaml:"cool_down" doc:"Shortest time between two fetches of keys for unknown kids. Default 30s."`
	CA         string            `yaml:"ca" doc:"File with the CA that the issuer's certificate chains to. Default: the system's."`
	Pos        Pos               `yaml:"-"`
}

// API is a set of endpoints behind one upstream.
type API struct {
	Host        Words               `yaml:"host" doc:"One or more of hosts."`
	Upstream    Upstream            `yaml:"upstream" doc:"Where accepted requests go: an address, several, or a block."`
	Shield      *Shield             `yaml:"shield" doc:"Who may call: a kind, {kind: settings}, {any: […]} or {all: […]}. Inherited by endpoints."`
	Scopes      Words               `yaml:"scopes" doc:"Scopes that every endpoint demands unless it names its own."`
	Limit       []Limit             `yaml:"limit" doc:"Rates like 600/minute per client. Inherited; an endpoint's own are added."`
	CORS        Words               `yaml:"cors" doc:"Origins whose scripts may call, exact. Default none."`
	MaxBody     Size                `yaml:"max_body" doc:"Longest accepted body. Default 10MiB."`
	Timeout     Duration            `yaml:"timeout" doc:"Until the upstream's answer begins. Default 30s."`
	Identity    IdentityOut         `yaml:"identity" doc:"How the upstream learns who called."`
	Allow       []Allowance         `yaml:"insecure_allow" doc:"What the door lets through for this API although it is ambiguous, each with a reason."`
	Audit       string              `yaml:"audit" doc:"required: refuse when events cannot be delivered. Default local." enum:"local,required"`
	Endpoints   map[string]Endpoint `yaml:"endpoints" doc:"Method and path pattern → policy. What is not listed is refused."`
	Concurrency int                 `yaml:"concurrency" doc:"Requests of one client at once. Default 0: unlimited."`
	Pos         Pos                 `yaml:"-"`
}

// Endpoint is a method and path pattern with its policy.
type Endpoint struct {
	Shield  *Shield  `yaml:"shield" doc:"Instead of the API's."`
	Scopes  Words    `yaml:"scopes" doc:"All of these, or any: no scope at all is demanded. Access is stated, never implied."`
	Limit   []Limit  `yaml:"limit" doc:"In addition to the API's."`
	When    string   `yaml:"when" doc:"A Cedar condition over principal, resource and context. Any error denies."`
	MaxBody Size     `yaml:"max_body" doc:"Instead of the API's."`
	Timeout Duration `yaml:"timeout" doc:"Instead of the API's."`
	Pos     Pos      `yaml:"-"`
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
	URL               Words    `yaml:"url" doc:"One address or several: scheme, host and port, no path."`
	ClientCertificate string   `yaml:"client_certificate" doc:"own: present this gateway's certificate; or a file with certificate and key, PEM."`
	CA                string   `yaml:"ca" doc:"File with the CA that its certificate chains to. Default: the system's."`
	ServerName        string   `yaml:"server_name" doc:"Name that its certificate must carry. Default: the host of the address."`
	Protocol          string   `yaml:"protocol" doc:"h2c: HTTP/2 without TLS, for gRPC in the clear. Default: by TLS, else HTTP/1.1." enum:"auto,h2c"`
	PreserveHost      bool     `yaml:"preserve_host" doc:"Send the caller's Host instead of the upstream's."`
	Health            string   `yaml:"health" doc:"Path that is asked every 5s; an address that fails three times gets nothing. Default: none, only passive checks."`
	MaxConnections    int      `yaml:"max_connections" doc:"Per address. Default 512."`
	Connect           Duration `yaml:"connect_timeout" doc:"Default 5s."`
	Skip              *Reason  `yaml:"insecure_skip_verify" doc:"Do not verify the upstream's certificate. Needs a reason."`
	Pos               Pos      `yaml:"-"`
}

// IdentityOut says how the upstream learns who called.
type IdentityOut struct {
	Token       bool              `yaml:"token" doc:"A signed Pavise-Identity token that the upstream can verify. Default true."`
	Headers     map[string]string `yaml:"headers" doc:"Plain headers: name → client, user, tenant, scopes or subject."`
	Certificate bool              `yaml:"client_cert" doc:"Hand the caller's certificate on as Client-Cert (RFC 9440)."`
}

// Reason is why something insecure is wanted: {reason: …}.
type Reason struct {
	Reason string `yaml:"reason" doc:"Why. At least ten characters."`
}

// Allowance is one thing that the door lets through.
type Allowance struct {
	What   string `yaml:"what" doc:"encoded_slash, semicolon, underscore_headers or trailers." enum:"encoded_slash,semicolon,underscore_headers,trailers"`
	Reason string `yaml:"reason" doc:"Why the upstream needs it and why it is safe there."`
}

// State is where things are kept.
type State struct {
	Folder       string   `yaml:"folder" doc:"Data folder. Default pavise-data beside the file."`
	MasterKey    string   `yaml:"master_key" doc:"File with the key that wraps all others. Made at the first start. Default pavise.key beside the file, outside the data folder."`
	MaxStaleness Duration `yaml:"max_staleness" doc:"How old revocations may be before everything is refused. Default 60s."`
	Socket       string   `yaml:"socket" doc:"Unix socket for administration. Default admin.sock in the data folder."`
}

// Proxies are what stands in front of Pavise.
type Proxies struct {
	Addresses   Words `yaml:"addresses" doc:"Networks, e.g. 10.0.0.0/8. Only from these is X-Forwarded-For read, from the right, up to the first that is not one of them."`
	Terminators Words `yaml:"terminators" doc:"PEM files with CAs: whoever connects over mutual TLS with a certificate of these may pass Client-Cert (RFC 9440)."`
}

// Limits are bounds that hold before anybody is known.
type Limits struct {
	Address        string   `yaml:"address" doc:"Requests of one address (IPv6: one /64). Default 6000/minute."`
	Connections    int      `yaml:"connections" doc:"In all. Default 10000."`
	ConnectionsPer int      `yaml:"connections_per_address" doc:"Default 256."`
	HeaderBytes    Size     `yaml:"header_bytes" doc:"Longest head of a request. Default 32KiB."`
	HeaderTimeout  Duration `yaml:"header_timeout" doc:"Until the head is complete. Default 10s."`
	BodyTimeout    Duration `yaml:"body_timeout" doc:"Longest silence within a body. Default 30s."`
	IdleTimeout    Duration `yaml:"idle_timeout" doc:"Longest silence between requests. Default 2m."`
	WrongTries     int      `yaml:"wrong_tries" doc:"Wrong credentials of one network within a minute before it is slowed down. Default 20."`
}

// Log is the event log.
type Log struct {
	Folder  string   `yaml:"folder" doc:"Default log in the data folder."`
	Keep    Duration `yaml:"keep" doc:"How long segments are kept. Default 90d."`
	MaxSize Size     `yaml:"max_size" doc:"Together; the oldest go first. Default 10GiB."`
}

// Fetch is what Pavise itself may fetch.
type Fetch struct {
	Allow Words `yaml:"allow" doc:"Hosts or networks that issuers' addresses may lie in although they are private, e.g. 127.0.0.1 or 10.1.0.0/16."`
}

// Words is a list that may be written as one word.
type Words []string

// Duration is written 30s, 5m, 24h or 90d.
type Duration struct{ time.Duration }

// Size is written 512, 64KiB, 10MiB or 1GiB; plain numbers are bytes.
type Size int64

// Pos is where something stands.
type Pos struct {
	File         string
	Line, Column int
}
