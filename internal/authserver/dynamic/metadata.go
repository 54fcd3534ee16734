package dynamic

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"pavise.dev/pavise/internal/authserver/protocol"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/strictjson"
)

// maxMetadata is the longest request, in bytes.
const maxMetadata = 64 << 10

// metadata is what a client says of itself (RFC 7591 §2), and is told that it is registered
// with. What is not in it is ignored, as the standard has it; nothing of that is kept.
type metadata struct {
	ID         string          `json:"client_id"`
	Secret     string          `json:"client_secret,omitempty"`
	Issued     int64           `json:"client_id_issued_at"`
	SecretEnds *int64          `json:"client_secret_expires_at,omitempty"`
	Manager    string          `json:"registration_access_token,omitempty"`
	ManagedAt  string          `json:"registration_client_uri"`
	Name       string          `json:"client_name,omitempty"`
	Policy     string          `json:"policy_uri,omitempty"`
	Type       string          `json:"application_type,omitempty"`
	Redirects  []string        `json:"redirect_uris,omitempty"`
	PostLogout []string        `json:"post_logout_redirect_uris,omitempty"`
	Grants     []string        `json:"grant_types"`
	Responses  []string        `json:"response_types"`
	Auth       string          `json:"token_endpoint_auth_method"`
	Scope      string          `json:"scope,omitempty"`
	Keys       json.RawMessage `json:"jwks,omitempty"`
	SubjectDN  string          `json:"tls_client_auth_subject_dn,omitempty"`
	SubjectDNS string          `json:"tls_client_auth_san_dns,omitempty"`
	DPoP       bool            `json:"dpop_bound_access_tokens,omitempty"`
	Bound      bool            `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	Pushed     bool            `json:"require_pushed_authorization_requests,omitempty"`
}

// readMetadata reads a request strictly: no member twice, none of a wrong kind.
func readMetadata(r *http.Request) (*metadata, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, invalid("the request is not application/json")
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxMetadata+1))
	if err != nil || len(text) > maxMetadata {
		return nil, invalid("the request has more than %d bytes, or could not be read", maxMetadata)
	}
	members, err := strictjson.Object(text)
	if err != nil {
		return nil, invalid("the request is no JSON object: %v", err)
	}
	for _, name := range []string{"jwks_uri", "request_uris", "sector_identifier_uri", "software_statement"} {
		if _, ok := members[name]; ok {
			return nil, unfetched(name)
		}
	}
	for name := range members {
		if name != strings.ToLower(name) {
			delete(members, name) // unknown; encoding/json would take it for a known one
		}
	}
	if text, err = json.Marshal(members); err != nil {
		return nil, fmt.Errorf("write the request again: %w", err)
	}
	m := &metadata{}
	if err := json.Unmarshal(text, m); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, invalid("%s has the wrong kind", wrong.Field)
		}
		return nil, invalid("the request cannot be read")
	}
	return m, m.bounded()
}

// Bounds of what a program says of itself.
const (
	maxRedirects = 16
	maxWord      = 512     // bytes
	maxKeys      = 4 << 10 // bytes
	maxName      = 100     // characters
)

func (m *metadata) bounded() error {
	if len(m.Redirects) > maxRedirects || len(m.PostLogout) > maxRedirects || len(m.Grants) > maxRedirects || len(m.Keys) > maxKeys || utf8.RuneCountInString(m.Name) > maxName {
		return invalid("want at most %d redirects, %d bytes of jwks and %d characters of client_name", maxRedirects, maxKeys, maxName)
	}
	for _, word := range append(slices.Concat(m.Redirects, m.PostLogout), m.Policy, m.Auth, m.Scope, m.SubjectDN, m.SubjectDNS) {
		if len(word) > maxWord {
			return invalid("a member has more than %d bytes", maxWord)
		}
	}
	for _, text := range []string{m.Name, m.Policy, m.SubjectDN, m.SubjectDNS} {
		if strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
			return invalid("a member holds characters that cannot be seen")
		}
	}
	return m.policyIsAddress()
}

// policyIsAddress keeps people from being sent to what is no page.
func (m *metadata) policyIsAddress() error {
	if m.Policy == "" {
		return nil
	}
	if u, err := url.Parse(m.Policy); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return invalid("policy_uri is no https address")
	}
	return nil
}

// unfetched refuses what would have to be fetched or believed: nothing that a program says
// of itself makes the server ask anybody.
func unfetched(name string) error {
	if name == "software_statement" {
		return &fault{http.StatusBadRequest, "unapproved_software_statement", "no software statement is accepted here"}
	}
	return invalid("%s is not fetched here: put keys into jwks", name)
}

// settings are the registration's, in the words of the package registration, within what
// the invitation allows.
func (m *metadata) settings(by *Invitation) (map[string]string, error) {
	if len(m.Grants) == 0 {
		m.Grants = []string{protocol.AuthorizationCode} // RFC 7591 §2
	}
	if m.Auth == "" {
		m.Auth = protocol.AuthBasic
	}
	for _, kind := range m.Responses {
		if kind != "code" {
			return nil, invalid("response_types: %q is not offered", kind)
		}
	}
	grants, err := m.grants(by)
	if err != nil {
		return nil, err
	}
	for _, redirect := range slices.Concat(m.Redirects, m.PostLogout) {
		if strings.ContainsFunc(redirect, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return nil, &fault{http.StatusBadRequest, "invalid_redirect_uri", "a redirect holds a blank, or what is no ASCII"}
		}
	}
	settings := map[string]string{
		"auth": m.Auth, "grants": strings.Join(grants, " "), "redirects": strings.Join(m.Redirects, " "), "post_logout_redirects": strings.Join(m.PostLogout, " "), "name": m.Name, "policy": m.Policy,
		"native": yes(m.Type == "native"), "dpop": yes(m.DPoP), "certificate_bound": yes(m.Bound), "pushed": yes(m.Pushed), "jwks": string(m.Keys),
		"subject_dn": m.SubjectDN, "subject_dns": m.SubjectDNS, "unreviewed": yes(true),
	}
	for name, value := range settings {
		if value == "" || value == "null" {
			delete(settings, name)
		}
	}
	return settings, nil
}

func yes(is bool) string {
	if is {
		return "true"
	}
	return ""
}

// deviceCode is the short name of a grant type.
const deviceCode = "device_code"

func (m *metadata) grants(by *Invitation) ([]string, error) {
	var grants []string
	for _, grant := range m.Grants {
		if grant == protocol.DeviceCode {
			grant = deviceCode
		}
		if !slices.Contains(by.Grants, grant) {
			return nil, invalid("grant_types: %q is not offered to whoever registers so", grant)
		}
		grants = append(grants, grant)
	}
	return grants, nil
}

// own are scopes of OpenID Connect, which no operator grants.
func own() []string { return []string{"openid", "profile", "email", "offline_access"} }

// granted are the scopes that the client gets: those of the invitation that it asks for, or
// all of them if it asks for none (RFC 7591 §2: the server may choose).
func (m *metadata) granted(by *Invitation) []string {
	asked := slices.DeleteFunc(strings.Fields(m.Scope), func(scope string) bool { return slices.Contains(own(), scope) })
	if len(asked) == 0 {
		return by.Scopes
	}
	return slices.DeleteFunc(slices.Clone(by.Scopes), func(scope string) bool { return !slices.Contains(asked, scope) })
}

// describe is a registration as it is told (RFC 7591 §3.2.1).
func describe(issuer string, c client.Client, credential client.Credential) *metadata {
	s := credential.Settings
	m := &metadata{
		ID: c.ID, Issued: c.Created.Unix(), ManagedAt: issuer + Path + "/" + c.ID, Name: s["name"], Policy: s["policy"], Redirects: strings.Fields(s["redirects"]), PostLogout: strings.Fields(s["post_logout_redirects"]),
		Auth: s["auth"], Scope: strings.Join(c.Scopes, " "), SubjectDN: s["subject_dn"], SubjectDNS: s["subject_dns"],
		DPoP: s["dpop"] == yes(true), Bound: s["certificate_bound"] == yes(true), Pushed: s["pushed"] == yes(true), Responses: []string{},
	}
	if s["native"] == yes(true) {
		m.Type = "native"
	}
	if s["jwks"] != "" {
		m.Keys = json.RawMessage(s["jwks"])
	}
	for _, grant := range strings.Fields(s["grants"]) {
		if grant == deviceCode {
			grant = protocol.DeviceCode
		}
		if grant == protocol.AuthorizationCode {
			m.Responses = []string{"code"}
		}
		m.Grants = append(m.Grants, grant)
	}
	return m
}

// registered are the names of RFC 7591 for settings.
func registered() map[string]string {
	return map[string]string{
		"redirects": "redirect_uris", "post_logout_redirects": "post_logout_redirect_uris", "grants": "grant_types", "auth": "token_endpoint_auth_method", "name": "client_name", "policy": "policy_uri",
		"subject_dn": "tls_client_auth_subject_dn", "subject_dns": "tls_client_auth_san_dns",
	}
}

// fault is a refusal of the registration in the words of RFC 7591 §3.2.2.
func (m *metadata) fault(wrong *registration.Fault) error {
	name, ok := registered()[wrong.Setting]
	if !ok {
		name = wrong.Setting
	}
	if wrong.Setting == "redirects" {
		return &fault{http.StatusBadRequest, "invalid_redirect_uri", wrong.Message}
	}
	return invalid("%s", fmt.Sprintf("%s: %s", name, wrong.Message))
}
