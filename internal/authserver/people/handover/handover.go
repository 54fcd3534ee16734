// Package handover lets people sign in at a page of the operator's own, and takes its word
// for who they are.
//
// Pavise sends a person there with a signed request; the page signs them in as it likes
// and sends them back with a signed answer. Both are JWTs of one minute and of a type of
// their own. README.md beside this file specifies them so that somebody can write the page
// in a day.
//
// A [Page] makes requests and reads answers. That each request is answered once, in the
// browser that it was made for, is its caller's to hold.
package handover

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/internal/issuer"
	"pavise.dev/pavise/internal/strictjson"
)

// Types of the two tokens, so that no other token is taken for one (RFC 8725 §3.11).
const (
	RequestType = "pavise-sign-in-request+jwt"
	AnswerType  = "pavise-sign-in-answer+jwt"
)

// Bounds.
const (
	Life       = 60 * time.Second // of a request and of an answer
	leeway     = 5 * time.Second  // between two clocks
	maxAnswer  = 8 << 10          // bytes
	maxID      = 128
	maxRequest = 1 << 10
	maxText    = 256
	maxAMR     = 8
	minRSA     = 2048
)

// ErrAnswer says that an answer does not hold what it must.
var ErrAnswer = errors.New("the sign-in page's answer is not one that counts")

// Settings are the operator's.
type Settings struct {
	URL    string // of the page
	Keys   []byte // that it signs with: a JWK set, or one or more public keys in PEM
	Create bool   // whoever it says gets an account; otherwise only who has one already
}

// Options are what a [Page] needs; all are required.
type Options struct {
	Issuer string
	Return string // where answers go: an address of ours
	Key    func() (id, algorithm string, key crypto.Signer)
	Now    func() time.Time
}

// Page is the operator's page. It is safe for concurrent use.
type Page struct {
	Settings
	options Options
	keys    []issuer.Key
}

func algorithms() []string { return []string{"ES256", "EdDSA", "PS256", "RS256", "ES384"} }

// New returns a page, or says which setting cannot work.
func New(s Settings, o Options) (*Page, error) {
	if o.Issuer == "" || o.Return == "" || o.Key == nil || o.Now == nil {
		return nil, errors.New("a sign-in page needs the issuer, an address to return to, a signing key and a clock")
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || u.Query().Has("request") {
		return nil, fmt.Errorf("sign-in page %q: want an https address", s.URL)
	}
	keys, err := readKeys(s.Keys)
	if err != nil {
		return nil, fmt.Errorf("keys of the sign-in page: %w", err)
	}
	return &Page{s, o, keys}, nil
}

// readKeys reads a JWK set or PEM.
func readKeys(document []byte) ([]issuer.Key, error) {
	if len(document) > issuer.MaxDocument {
		return nil, errors.New("they are too long")
	}
	if !strings.Contains(string(document), "-----BEGIN") {
		keys, _, err := issuer.ParseKeys(document, algorithms())
		return keys, err
	}
	var keys []issuer.Key
	for rest := document; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		key, err := readPublic(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 || len(keys) > 16 {
		return nil, errors.New("want 1 to 16 public keys in PEM")
	}
	return keys, nil
}

func readPublic(block *pem.Block) (issuer.Key, error) {
	if block.Type != "PUBLIC KEY" {
		return issuer.Key{}, fmt.Errorf("a block of PEM is %q, want PUBLIC KEY", block.Type)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return issuer.Key{}, fmt.Errorf("parse a public key: %w", err)
	}
	switch key := public.(type) {
	case ed25519.PublicKey:
		return issuer.Key{Algorithm: "EdDSA", Public: key}, nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return issuer.Key{Algorithm: "ES256", Public: key}, nil
		case elliptic.P384():
			return issuer.Key{Algorithm: "ES384", Public: key}, nil
		}
	case *rsa.PublicKey:
		if key.N.BitLen() >= minRSA {
			return issuer.Key{Algorithm: "PS256", Public: key}, nil
		}
	}
	return issuer.Key{}, errors.New("a public key is none of Ed25519, P-256, P-384 and RSA of at least 2048 bits")
}

// Wanted is what the page is told.
type Wanted struct {
	Client, Application string // id and name; empty: a person's own account
	Scopes              []string
	LoginHint           string
	Prompt              []string
	ACR                 []string
	Since               time.Time // the person must have signed in at or after; zero: any time
}

// request is the body of a request.
type request struct {
	Issuer      string `json:"iss"`
	Audience    string `json:"aud"`
	ID          string `json:"jti"`
	Issued      int64  `json:"iat"`
	Expires     int64  `json:"exp"`
	Return      string `json:"return_to"`
	Client      string `json:"client_id,omitempty"`
	Application string `json:"client_name,omitempty"`
	Scopes      string `json:"scope,omitempty"`
	LoginHint   string `json:"login_hint,omitempty"`
	Prompt      string `json:"prompt,omitempty"`
	ACR         string `json:"acr_values,omitempty"`
	Since       int64  `json:"auth_time_since,omitempty"`
}

// Request returns where to send a person. The id is what the answer will name; it is the
// caller's, at most 1 KiB of letters, digits and "-_.".
func (p *Page) Request(id string, w Wanted) (address string, err error) {
	now := p.options.Now()
	r := request{
		Issuer: p.options.Issuer, Audience: p.URL, ID: id, Issued: now.Unix(), Expires: now.Add(Life).Unix(), Return: p.options.Return,
		Client: w.Client, Application: w.Application, Scopes: strings.Join(w.Scopes, " "), LoginHint: w.LoginHint,
		Prompt: strings.Join(w.Prompt, " "), ACR: strings.Join(w.ACR, " "),
	}
	if !w.Since.IsZero() {
		r.Since = w.Since.Unix()
	}
	token, err := p.sign(r)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		return "", fmt.Errorf("read the page's address: %w", err)
	}
	q := u.Query()
	q.Set("request", token)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func (p *Page) sign(r request) (string, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encode the request: %w", err)
	}
	id, algorithm, key := p.options.Key()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: jose.JSONWebKey{Key: key, KeyID: id}},
		(&jose.SignerOptions{}).WithType(RequestType))
	if err != nil {
		return "", fmt.Errorf("sign the request: %w", err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		return "", fmt.Errorf("sign the request: %w", err)
	}
	return signed.CompactSerialize()
}

// Answer is what the page says. Either Subject or Error is there.
type Answer struct {
	ID            string // of the answer; good once
	Request       string // id of the request
	Ends          time.Time
	Error         string // "access_denied": the person did not sign in
	Subject       string
	Name, Email   string
	EmailVerified bool
	AuthTime      time.Time
	ACR           string
	AMR           []string
}

// Read reads the query with which a person comes back.
func (p *Page) Read(query string) (Answer, error) {
	if len(query) > maxAnswer {
		return Answer{}, fmt.Errorf("%w: it is too long", ErrAnswer)
	}
	values, err := url.ParseQuery(query)
	if err != nil || len(values) != 1 || len(values["answer"]) != 1 {
		return Answer{}, fmt.Errorf("%w: want one parameter, answer", ErrAnswer)
	}
	claims, err := p.open(values.Get("answer"))
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	a, err := p.read(claims)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return a, nil
}

// open verifies the signature: with the keys that were given, each with its algorithm, and
// nothing that the token itself brings.
func (p *Page) open(token string) (map[string]any, error) {
	head, _, _ := strings.Cut(token, ".")
	header, err := base64.RawURLEncoding.Strict().DecodeString(head)
	if err != nil {
		return nil, errors.New("it is no JWT")
	}
	said, err := strictjson.Object(header)
	if err != nil {
		return nil, fmt.Errorf("its header: %w", err)
	}
	for name := range said {
		if !slices.Contains([]string{"alg", "kid", "typ"}, name) {
			return nil, errors.New("its header holds more than alg, kid and typ")
		}
	}
	algorithm, _ := said["alg"].(string)
	kid, hasKid := said["kid"].(string)
	if said["typ"] != AnswerType {
		return nil, fmt.Errorf("its typ is not %s", AnswerType)
	}
	for _, key := range p.keys {
		if key.Algorithm != algorithm || hasKid && key.ID != "" && key.ID != kid {
			continue
		}
		signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
		if err != nil {
			return nil, errors.New("it is no signed JWT")
		}
		if body, err := signed.Verify(key.Public); err == nil {
			return strictjson.Object(body)
		}
	}
	return nil, errors.New("none of the configured keys has signed it")
}

func (p *Page) read(claims map[string]any) (Answer, error) {
	a := Answer{}
	now := p.options.Now()
	issued, ends := moment(claims["iat"]), moment(claims["exp"])
	a.ID, a.Request, a.Ends = id(claims["jti"], maxID), id(claims["request"], maxRequest), ends
	switch {
	case claims["iss"] != p.URL:
		return a, errors.New("its iss is not the page's address")
	case claims["aud"] != p.options.Issuer:
		return a, errors.New("its aud is not this issuer alone")
	case a.ID == "" || a.Request == "":
		return a, errors.New("its jti or its request is missing")
	case issued.IsZero() || ends.IsZero() || ends.Sub(issued) > Life || !issued.Before(ends):
		return a, errors.New("it has no iat and exp of at most 60 seconds")
	case issued.After(now.Add(leeway)) || !now.Before(ends.Add(leeway)):
		return a, errors.New("it is not of this minute; compare the clocks")
	}
	if said, ok := claims["error"]; ok {
		if a.Error = id(said, maxID); a.Error == "" || claims["sub"] != nil {
			return a, errors.New("it holds an error and more")
		}
		return a, nil
	}
	return p.readPerson(a, claims, issued)
}

func (p *Page) readPerson(a Answer, claims map[string]any, issued time.Time) (Answer, error) {
	a.Subject, _ = claims["sub"].(string)
	if a.Subject == "" || len(a.Subject) > maxText || !isPlain(a.Subject) {
		return a, errors.New("its sub is missing or cannot be kept")
	}
	for name, into := range map[string]*string{"name": &a.Name, "email": &a.Email, "acr": &a.ACR} {
		if said, ok := claims[name]; ok {
			text, isText := said.(string)
			if !isText || len(text) > maxText || !isPlain(text) {
				return a, fmt.Errorf("its %s cannot be kept", name)
			}
			*into = text
		}
	}
	if said, ok := claims["email_verified"]; ok {
		if a.EmailVerified, ok = said.(bool); !ok {
			return a, errors.New("its email_verified is no boolean")
		}
	}
	a.AuthTime = issued
	if said, ok := claims["auth_time"]; ok {
		if a.AuthTime = moment(said); a.AuthTime.IsZero() || a.AuthTime.After(issued.Add(leeway)) {
			return a, errors.New("its auth_time is no moment before it was issued")
		}
	}
	var err error
	a.AMR, err = methods(claims["amr"])
	return a, err
}

func methods(said any) ([]string, error) {
	if said == nil {
		return nil, nil
	}
	list, ok := said.([]any)
	if !ok || len(list) > maxAMR {
		return nil, errors.New("its amr is no short list")
	}
	var all []string
	for _, one := range list {
		method := id(one, maxID)
		if method == "" {
			return nil, errors.New("its amr holds what is no method")
		}
		all = append(all, method)
	}
	return all, nil
}

// id returns a short text without blanks, or nothing.
func id(said any, most int) string {
	text, ok := said.(string)
	if !ok || len(text) > most || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return text
}

func isPlain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// moment reads a NumericDate of whole seconds (RFC 7519 §2), or nothing.
func moment(said any) time.Time {
	number, ok := said.(strictjson.Number)
	if !ok || strings.ContainsAny(string(number), ".eE-") || len(number) > 12 {
		return time.Time{}
	}
	seconds, err := number.Float()
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}
