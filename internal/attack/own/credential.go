package own

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/tlsconf"
	"pavise.dev/pavise/shield"
)

// errElsewhere is the error of a credential that only somebody else can make.
var errElsewhere = errors.New("nobody here can make such a credential")

// wish is a credential that a case wants.
type wish struct {
	client   string
	part     *part
	api      string         // of tokens
	at       *place         // where it is used; nil: nowhere yet
	scopes   []string       // of the client's; nil: all that the API asks for
	networks []netip.Prefix // nil: those of the test
	life     time.Duration  // 0: a quarter of an hour
	alone    bool           // it is not used by other cases
}

// proof is a credential in hand.
type proof struct {
	part        *part
	id          string
	sign        func(*http.Request) error
	certificate *tls.Certificate // nil: it is none
	late        bool             // it covers what others add, and is added last
	wrong       int              // wrong tries with it, since it was last right
	until       time.Time        // it is not used later
}

// holder makes credentials when they are needed, and keeps them for other cases.
type holder struct {
	run    *Run
	kept   map[string]*proof
	secret map[string]string // of registrations at the authorization server, by client
	tokens string            // path of its token endpoint; empty: not known yet
}

func newHolder(r *Run) *holder {
	return &holder{run: r, kept: map[string]*proof{}, secret: map[string]string{}}
}

// early is how long before its end a credential is replaced.
const early = 4 * time.Minute

func (h *holder) proof(ctx context.Context, w wish) (*proof, error) {
	if isOthers(w.part) {
		return h.given(w)
	}
	key := w.client + "\x00" + w.part.key() + "\x00" + w.api + "\x00" + strings.Join(w.scopes, " ")
	now := h.run.g.Now()
	if known := h.kept[key]; known != nil && !w.alone && now.Before(known.until) {
		return known, nil
	}
	if w.life == 0 {
		w.life = client.TesterLife
	}
	if w.networks == nil {
		w.networks = []netip.Prefix{h.run.sources.network}
	}
	made, err := h.make(ctx, w)
	if err != nil {
		return nil, err
	}
	made.part, made.until = w.part, now.Add(w.life-early)
	if !w.alone {
		h.kept[key] = made
	}
	return made, nil
}

func (h *holder) make(ctx context.Context, w wish) (*proof, error) {
	switch {
	case w.part.calling["bound"] != "":
		return nil, fmt.Errorf("a token that is bound to a %s: %w", w.part.calling["bound"], errElsewhere)
	case w.part.issuer == config.OwnIssuer && w.part.kind.Name == "jwt":
		return h.token(ctx, w)
	case w.part.kind.Name == "mtls":
		return h.certificate(ctx, w)
	case w.part.kind.Issue == nil || w.part.kind.Client == nil:
		return nil, fmt.Errorf("a credential of kind %s: %w", w.part.kind.Name, errElsewhere)
	}
	made, err := h.create(ctx, w, w.part.kind.Name, nil)
	if err != nil {
		return nil, err
	}
	return signing(w.part, shield.Credential{
		Kind: w.part.kind.Name, ID: made.Credential.ID, Secret: made.Secret, Now: h.run.g.Now,
		Settings: map[string]string{"headers": w.part.calling["headers"]}, // not the carrier: attacks know the usual one
	})
}

// environment stands in credentials where none is demanded.
const environment = "attack"

// create asks the installation for a credential.
func (h *holder) create(ctx context.Context, w wish, kind string, settings map[string]string) (admin.Made, error) {
	named := w.part.calling["environment"]
	if named == "" && kind == w.part.kind.Name {
		named = environment
	}
	made, err := h.run.g.Admin.CreateCredential(ctx, admin.NewCredential{
		Kind: kind, Client: w.client, Environment: named, Scopes: w.scopes, Networks: w.networks, Expires: w.life, Settings: settings,
	})
	if err != nil {
		return made, fmt.Errorf("make a credential of kind %s for the test: %w", kind, err)
	}
	return made, nil
}

// signing is a proof by the kind's own caller's half.
func signing(p *part, c shield.Credential) (*proof, error) {
	signer, err := p.kind.Client(c)
	if err != nil {
		return nil, fmt.Errorf("sign as a caller of %s: %w", p, err)
	}
	made := &proof{id: c.ID, sign: signer.Sign}
	_, made.late = signer.(shield.Explainer)
	if shower, ok := signer.(shield.Presenter); ok {
		made.certificate = shower.Certificate()
	}
	return made, nil
}

// certificate has one made by the installation's own authority, or by the CA for development that
// lies beside its data. Others' authorities sign nothing for us.
func (h *holder) certificate(ctx context.Context, w wish) (*proof, error) {
	trust := strings.Fields(w.part.calling["trust"])
	if slices.Contains(trust, "own") {
		return h.issued(ctx, w)
	}
	folder := filepath.Join(h.run.g.File.State.Folder, "local-ca")
	local := filepath.Join(folder, "ca.pem")
	if !slices.ContainsFunc(trust, func(name string) bool { return h.run.g.File.Abs(name) == local }) {
		return nil, fmt.Errorf("a certificate of %s: %w", w.part.calling["trust"], errElsewhere)
	}
	if _, err := os.Stat(local); err != nil {
		return nil, fmt.Errorf("a certificate of %s: %w", local, errElsewhere)
	}
	ca, err := tlsconf.OpenLocal(folder, h.run.g.Now)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for the test: %w", err)
	}
	name := "spiffe://pavise.attack/" + strings.ToLower(rand.Text())
	made, err := ca.Client(w.client, name)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for the test: %w", err)
	}
	// The certificate is worth nothing without the credential that gives its name to the client.
	kept, err := h.create(ctx, w, w.part.kind.Name, map[string]string{"name": "uri:" + name})
	if err != nil {
		return nil, err
	}
	return signing(w.part, shield.Credential{Kind: w.part.kind.Name, ID: kept.Credential.ID, Certificates: []tls.Certificate{*made}})
}

// shortestCertificate is the shortest life that the authority gives a certificate.
const shortestCertificate = 5 * time.Minute

func (h *holder) issued(ctx context.Context, w wish) (*proof, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for the test: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: w.client}}, key)
	if err != nil {
		return nil, fmt.Errorf("make a signing request for the test: %w", err)
	}
	made, err := h.run.g.Admin.IssueCertificate(ctx, admin.NewCertificate{
		Client: w.client, Life: max(w.life, shortestCertificate), Scopes: w.scopes, Networks: w.networks,
		Request: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})),
	})
	if err != nil {
		return nil, fmt.Errorf("have a certificate made for the test: %w", err)
	}
	shown := tls.Certificate{PrivateKey: key}
	for rest := []byte(made.Chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		shown.Certificate = append(shown.Certificate, block.Bytes)
	}
	return signing(w.part, shield.Credential{Kind: w.part.kind.Name, ID: made.Credential.ID, Certificates: []tls.Certificate{shown}})
}

// user is a caller who holds some proofs.
func user(name string, proofs []*proof) *attack.User {
	proofs = slices.Clone(proofs)
	slices.SortStableFunc(proofs, func(a, b *proof) int {
		switch {
		case a.late == b.late:
			return 0
		case b.late:
			return -1
		}
		return 1
	})
	u := &attack.User{Name: name, Sign: func(r *http.Request) error {
		for _, one := range proofs {
			if one.sign == nil {
				continue
			}
			if err := one.sign(r); err != nil {
				return err
			}
		}
		return nil
	}}
	for _, one := range proofs {
		if one.certificate != nil {
			u.Certificate = one.certificate
		}
	}
	return u
}
