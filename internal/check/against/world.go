package against

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/issuer"
	"pavise.dev/pavise/shield"
)

// world issues whatever a caller could have: keys of any client, tokens of any issuer,
// certificates of a twin of any authority. Both policies are asked over the same one.
type world struct {
	now     time.Time
	records map[string]*shield.Record
	tokens  map[string]map[string]any // what issuers say of opaque tokens
	keys    map[string]crypto.Signer  // by algorithm
	twins   map[string]*twin          // by digest of the authority that it stands for
	leaves  map[*twin]map[string]*x509.Certificate
}

func newWorld(now time.Time) *world {
	return &world{now: now, records: map[string]*shield.Record{}, tokens: map[string]map[string]any{}, keys: map[string]crypto.Signer{}, twins: map[string]*twin{}, leaves: map[*twin]map[string]*x509.Certificate{}}
}

// Credential implements shield.Lookup.
func (w *world) Credential(kind, id string) (*shield.Record, error) {
	if r := w.records[kind+" "+id]; r != nil {
		return r, nil
	}
	return nil, shield.ErrUnknown
}

// Holder implements shield.Lookup: no secret here is without its id.
func (w *world) Holder(string, []byte) (*shield.Record, error) { return nil, shield.ErrUnknown }

// keep makes a credential known, for as long as one request is decided about.
func (w *world) keep(r shield.Record, material []byte) {
	w.records[r.Kind+" "+r.ID] = r.Keep(func(b []byte) bool { return bytes.Equal(b, material) }, material, nil)
}

// forget ends what was issued for a request.
func (w *world) forget() {
	clear(w.records)
	clear(w.tokens)
}

// Introspect implements shield.Introspector.
func (w *world) Introspect(_ context.Context, token string) (map[string]any, error) {
	if members, ok := w.tokens[token]; ok {
		return maps.Clone(members), nil
	}
	return nil, shield.ErrInactive
}

// Key implements shield.KeySource: each issuer has a key for each algorithm.
func (w *world) Key(_ context.Context, _, algorithm string) (crypto.PublicKey, error) {
	key, err := w.signer(algorithm)
	if err != nil {
		return nil, err
	}
	return key.Public(), nil
}

func (w *world) signer(algorithm string) (crypto.Signer, error) {
	if strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS") {
		algorithm = "RSA" // one for all
	}
	if key := w.keys[algorithm]; key != nil {
		return key, nil
	}
	var key crypto.Signer
	var err error
	switch {
	case algorithm == "RSA":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case strings.HasPrefix(algorithm, "Ed"):
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case algorithm == "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case algorithm == "ES512":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	w.keys[algorithm] = key
	return key, err
}

// issuer is an issuer as a configuration limits it, with the world's keys.
func (w *world) issuer(f *config.File, name string) (*shield.Issuer, error) {
	if f.OAuth.Issuer != "" && name == config.OwnIssuer {
		all := shield.Scopes{}
		for scope := range f.Scopes {
			all = append(all, scope)
		}
		return &shield.Issuer{Name: name, URL: f.OAuth.Issuer, Audience: everyAPI(f), MayGrant: append(all, "*"), Types: []string{"at+jwt"}, Algorithms: issuer.DefaultAlgorithms(), Keys: w, Introspect: w}, nil
	}
	known, ok := f.Issuers[name]
	if !ok {
		return nil, fmt.Errorf("there is no issuer %q", name)
	}
	i := &shield.Issuer{
		Name: name, URL: known.URL, Audience: known.Audience, MayGrant: shield.Scopes(known.MayGrant), ScopesFrom: known.ScopesFrom, Claims: known.Claims,
		Types: known.Types, Algorithms: known.Algorithms, Leeway: known.Leeway.Duration, MaxAge: known.MaxAge.Duration, Keys: w,
	}
	if len(i.Algorithms) == 0 {
		i.Algorithms = issuer.DefaultAlgorithms()
	}
	if known.Introspect != nil {
		i.Introspect = w
	}
	return i, nil
}

// everyAPI are the audiences that our own server gives tokens for.
func everyAPI(f *config.File) (all []string) {
	for name, api := range f.APIs {
		all = append(all, name)
		if api.Resource != "" {
			all = append(all, api.Resource)
		}
	}
	return all
}

// twin stands for an authority: it has its subject, and a key that the world knows.
type twin struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// bundle puts a twin in the place of each authority of a file. What holds no certificate stays.
func (w *world) bundle(text []byte) []byte {
	var out bytes.Buffer
	found := false
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			if t, err := w.twinOf(block.Bytes); err == nil {
				block, found = &pem.Block{Type: "CERTIFICATE", Bytes: t.cert.Raw}, true
			}
		}
		_ = pem.Encode(&out, block) // a buffer takes everything
	}
	if !found {
		return text
	}
	return out.Bytes()
}

// own is the installation's authority.
func (w *world) own() []byte {
	t, err := w.twinOf([]byte("own"))
	if err != nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: t.cert.Raw})
}

func (w *world) twinOf(der []byte) (*twin, error) {
	sum := sha256.Sum256(der)
	digest := hex.EncodeToString(sum[:])
	if t := w.twins[digest]; t != nil {
		return t, nil
	}
	subject := pkix.Name{CommonName: "own authority"}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(w.twins) + 1)), NotBefore: w.now.AddDate(-1, 0, 0), NotAfter: w.now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if real, err := x509.ParseCertificate(der); err == nil {
		subject = pkix.Name{CommonName: real.Subject.CommonName, ExtraNames: nil}
		template.RawSubject = real.RawSubject
		template.NotBefore, template.NotAfter = real.NotBefore, real.NotAfter
	}
	if template.RawSubject == nil {
		template.Subject = subject
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a twin of an authority: %w", err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	t := &twin{cert, key}
	w.twins[digest] = t
	return t, nil
}

// leaf issues a certificate of a twin.
func (w *world) leaf(t *twin, change func(*x509.Certificate)) (*x509.Certificate, error) {
	key, err := w.signer("ES256")
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.Add(time.Hour), DNSNames: []string{"caller.example"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	raw, err := x509.CreateCertificate(rand.Reader, template, t.cert, key.Public(), t.key)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	return x509.ParseCertificate(raw)
}
