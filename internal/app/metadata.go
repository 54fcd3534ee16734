package app

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/public"
)

// The metadata of protected resources (RFC 9728) tells clients that hold no token where to
// get one. It is served for every API whose shields take access tokens, on its own hosts,
// and names no endpoint.

// metadataPath is where it is; the path of the resource identifier follows (RFC 9728 §3.1).
const metadataPath = "/.well-known/oauth-protected-resource"

const (
	metadataPerMinute = 600 // requests of one address
	metadataFresh     = 5 * time.Minute
)

// metadata is one document (RFC 9728 §2).
type metadata struct {
	Resource   string   `json:"resource"`
	Issuers    []string `json:"authorization_servers"`
	Scopes     []string `json:"scopes_supported,omitempty"`
	Methods    []string `json:"bearer_methods_supported"`
	Algorithms []string `json:"dpop_signing_alg_values_supported,omitempty"`
	KeyBound   bool     `json:"dpop_bound_access_tokens_required,omitempty"`
	CertBound  bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
}

// resource is what one document tells of.
type resource struct {
	identifier string // empty: the address that was asked
	path       string // of the document
	host       string
	tokens     *shield.Tokens
	scopes     []string
}

// addMetadata publishes the metadata of every API that takes access tokens. A path that
// the configuration serves itself stays its own.
func addMetadata(f *config.File, p *pavise.Policy) error {
	open, err := (&public.Config{Reason: "metadata for clients that hold no token yet"}).Open(shield.Env{})
	if err != nil {
		return err
	}
	var all []*resource
	for i := range p.APIs {
		all = join(all, &p.APIs[i], f.APIs[p.APIs[i].Name].Resource)
	}
	for _, r := range all {
		if servesItself(p, r) {
			continue
		}
		p.APIs = append(p.APIs, pavise.API{
			Name: config.MetadataAPI, Hosts: []string{r.host},
			Endpoints: []pavise.Endpoint{{
				Pattern: "GET " + r.path, Shield: open, AnyScope: true, Handler: r.document(), MaxBody: 1,
				Limits: []limit.Limit{{Name: "metadata", Rate: limit.Rate{Count: metadataPerMinute, Per: time.Minute}, Per: limit.PerAddress}},
			}},
		})
	}
	return nil
}

// join adds an API to the documents, where its shields take tokens, and tells it where its
// own is.
func join(all []*resource, api *pavise.API, identifier string) []*resource {
	var tokens *shield.Tokens
	var scopes []string
	for _, e := range api.Endpoints {
		if wants := shield.NeedsOf(e.Shield).Tokens; wants != nil {
			tokens = tokens.Merge(wants)
			scopes = append(scopes, e.Scopes...)
		}
	}
	if tokens == nil {
		return all
	}
	if u, err := url.Parse(identifier); err == nil && identifier != "" {
		path := metadataPath + strings.TrimSuffix(u.EscapedPath(), "/")
		api.Metadata = "https://" + u.Host + path
		return unite(all, &resource{identifier, path, u.Hostname(), tokens, scopes})
	}
	api.Metadata = metadataPath
	for _, host := range api.Hosts {
		all = unite(all, &resource{"", metadataPath, host, tokens, scopes})
	}
	return all
}

// unite adds a document, or makes one with what stands at the same place: APIs of one host
// that name no resource of their own are one to their clients.
func unite(all []*resource, r *resource) []*resource {
	r.scopes = sorted(r.scopes)
	for _, other := range all {
		if other.host == r.host && other.path == r.path {
			other.identifier = cmp.Or(other.identifier, r.identifier)
			other.tokens, other.scopes = other.tokens.Merge(r.tokens), sorted(append(other.scopes, r.scopes...))
			return all
		}
	}
	return append(all, r)
}

func sorted(words []string) []string {
	words = slices.Clone(words)
	slices.Sort(words)
	return slices.Compact(words)
}

// servesItself reports whether an API of the host has the document's path already.
func servesItself(p *pavise.Policy, r *resource) bool {
	return slices.ContainsFunc(p.APIs, func(api pavise.API) bool {
		return slices.Contains(api.Hosts, r.host) &&
			slices.ContainsFunc(api.Endpoints, func(e pavise.Endpoint) bool {
				_, path, _ := strings.Cut(e.Pattern, " ")
				return e.Pattern == r.path || path == r.path
			})
	})
}

// document answers with the metadata.
func (r *resource) document() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		m := metadata{
			Resource: r.identifier, Issuers: r.tokens.Issuers, Scopes: r.scopes, Methods: []string{"header"},
			Algorithms: r.tokens.ProofAlgorithms, KeyBound: r.tokens.KeyBound, CertBound: r.tokens.CertificateBound,
		}
		if m.Resource == "" {
			m.Resource = "https://" + strings.ToLower(q.Host)
		}
		text, err := json.Marshal(m)
		if err != nil {
			pavise.Fail(w, q, shield.Refuse(shield.Internal, "write the metadata: %v", err))
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(metadataFresh.Seconds())))
		h.Set("Access-Control-Allow-Origin", "*") // it is for everybody, as it says itself
		_, _ = w.Write(text)                      // who left does not want it
	})
}
