package demo

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/lock"
	"pavise.dev/pavise/internal/tlsconf"
	"pavise.dev/pavise/shield"
)

// Settings of the demo.
type Settings struct {
	Folder  string // everything is in here; made anew at each start
	Listen  string // "127.0.0.1:8443"
	Program string // path of this program, for the commands that are printed
	Out     io.Writer
}

// marker tells a folder of the demo's from one that happens to have its name.
const marker = ".pavise-demo"

const issuerURL = "https://issuer.demo.example"

// Run starts the orders API and the gateway before it, an app of somebody else and a
// second provider, prints what to try, and serves until ctx ends.
func Run(ctx context.Context, s Settings) (err error) {
	if s.Listen, err = settled(s.Listen); err != nil {
		return fmt.Errorf("address to listen on: %w", err)
	}
	held, err := s.makeFolder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	orders, err := startOrders()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, orders.Close()) }()
	provider, ben, err := s.startProvider(ctx, "https://"+s.Listen+"/sign-in/staff/callback")
	if err != nil {
		return err
	}
	defer func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		err = errors.Join(err, provider.close(drain))
	}()
	return s.serve(ctx, orders.address, provider, ben)
}

// drainTime is how long requests under way have when the demo ends.
const drainTime = 5 * time.Second

// serve runs the gateway as `pavise serve` does, and the app before it.
func (s *Settings) serve(ctx context.Context, upstream string, p *provider, ben person) error {
	token, err := s.writeFiles(upstream, p)
	if err != nil {
		return err
	}
	gateway, err := s.open(ctx, s.path("pavise.yaml"))
	if err != nil {
		return err
	}
	held, err := s.makeCredentials(ctx, gateway, token)
	if err != nil {
		return errors.Join(err, gateway.Close())
	}
	held.ann, held.ben = person{"ann", "Ann Example", rand.Text()}, ben
	if err := held.ann.join(ctx, gateway); err != nil {
		return errors.Join(err, gateway.Close())
	}
	running, err := gateway.Serve(ctx)
	if err != nil {
		return err
	}
	held.address = running.HTTPS()
	visitor, err := s.visit(ctx, gateway, held)
	if err != nil {
		return errors.Join(err, running.Close(drainTime))
	}
	held.app = visitor.address
	s.print(held)
	err = running.Until(ctx, nil, nil, drainTime)
	return errors.Join(err, visitor.Close())
}

// visit starts the app of somebody else, as a client of the demo's authorization server.
func (s *Settings) visit(ctx context.Context, gateway *app.App, h *held) (*visitor, error) {
	l, err := listenVisitor()
	if err != nil {
		return nil, err
	}
	secret, err := register(ctx, gateway, "parcel-pal", shield.Scopes{"orders:read"}, map[string]string{
		"redirects": "http://127.0.0.1/callback", "native": "true", "name": "Parcel Pal", // native: of this machine, without TLS, at any port (RFC 8252 §7.3)
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return startVisitor(ctx, l, visitorSettings{"https://" + h.address, "https://" + h.address, h.ca, "parcel-pal", secret})
}

func (s *Settings) path(name string) string { return filepath.Join(s.Folder, name) }

// makeFolder empties the folder of an earlier run, and refuses to touch any other, and that
// of a demo that runs. The folder is this demo's until the lock is closed.
func (s *Settings) makeFolder() (held *lock.Lock, err error) {
	if s.Folder, err = filepath.Abs(s.Folder); err != nil {
		return nil, fmt.Errorf("demo folder: %w", err)
	}
	entries, err := os.ReadDir(s.Folder)
	if err == nil && len(entries) > 0 {
		if _, err := os.Stat(s.path(marker)); err != nil {
			return nil, fmt.Errorf("demo folder %s holds something else; name another one with --folder", s.Folder)
		}
	}
	if held, err = lock.Take(s.Folder); errors.Is(err, lock.ErrLocked) {
		return nil, fmt.Errorf("a demo runs in %s already: %w; end it, or start this one with another --folder and another address with --listen", s.Folder, lock.ErrLocked)
	} else if err != nil {
		return nil, fmt.Errorf("demo folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, held.Close())
		}
	}()
	for _, e := range entries {
		if e.Name() == lock.FileName || e.Name() == marker {
			continue
		}
		if err := os.RemoveAll(s.path(e.Name())); err != nil {
			return nil, fmt.Errorf("empty the demo folder: %w", err)
		}
	}
	return held, os.WriteFile(s.path(marker), nil, 0o600)
}

// upstream is the orders API, listening.
type upstream struct {
	server  *http.Server
	address string
	done    chan error
}

func startOrders() (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the orders API: %w", err)
	}
	u := &upstream{
		server:  &http.Server{Handler: Orders(), ReadHeaderTimeout: 10 * time.Second},
		address: "http://" + l.Addr().String(), done: make(chan error, 1),
	}
	go func() { u.done <- u.server.Serve(l) }()
	return u, nil
}

// Close ends the API and waits for it.
func (u *upstream) Close() error {
	err := u.server.Close()
	if served := <-u.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// writeFiles writes the configuration and the keys of the issuer, and returns a
// token of it.
func (s *Settings) writeFiles(upstream string, p *provider) (token string, err error) {
	if err := os.WriteFile(s.path("provider.secret"), []byte(p.secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the secret of the provider: %w", err)
	}
	if err := os.WriteFile(s.path(contractFile), contract, 0o600); err != nil {
		return "", fmt.Errorf("write the demo's contract: %w", err)
	}
	if err := os.WriteFile(s.path("pavise.yaml"), configuration(s.Listen, upstream, p.issuer, time.Now()), 0o600); err != nil {
		return "", fmt.Errorf("write the demo's configuration: %w", err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make the issuer's key: %w", err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "demo", Algorithm: string(jose.EdDSA), Use: "sig"}}})
	if err != nil {
		return "", fmt.Errorf("write the issuer's key: %w", err)
	}
	if err := os.WriteFile(s.path("issuer.json"), keys, 0o600); err != nil {
		return "", fmt.Errorf("write the issuer's key: %w", err)
	}
	other, err := signToken(private, "bea")
	if err != nil {
		return "", err
	}
	if token, err = signToken(private, "ann"); err != nil {
		return "", err
	}
	return token, errors.Join(s.writeHeaders("ann", token), s.writeHeaders("bea", other))
}

// writeHeaders writes what a person's app sends, for pavise attack.
func (s *Settings) writeHeaders(name, token string) error {
	if err := os.WriteFile(s.path(name+".headers"), []byte("Authorization: Bearer "+token+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the token of %s: %w", name, err)
	}
	return nil
}

// signToken makes what an identity provider would: an access token (RFC 9068) for a
// person who uses the shop's app.
func signToken(key ed25519.PrivateKey, person string) (string, error) {
	options := (&jose.SignerOptions{}).WithType("at+jwt")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: "demo"}}, options)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	now := time.Now()
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": issuerURL, "aud": "orders", "sub": person, "client_id": "shop", "scope": "orders:read orders:write",
		"iat": now.Unix(), "exp": now.Add(12 * time.Hour).Unix(), "jti": rand.Text(),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return token, nil
}

// held is what the demo's client holds.
type held struct {
	address, token     string
	key, readOnlyKey   string
	hmacID, hmacSecret string
	ca, cert, certKey  string
	app                string // address of the app of somebody else
	ann, ben           person // ben has his account at the other provider
}

// makeCredentials makes one client with one credential for every shield.
func (s *Settings) makeCredentials(ctx context.Context, a *app.App, token string) (*held, error) {
	h := &held{token: token, ca: s.path("ca.pem"), cert: s.path("client.pem"), certKey: s.path("client-key.pem")}
	registry := a.State.Registry
	scopes := shield.Scopes{"catalog:read", "orders:read", "orders:write", "payments:write", "reports:read"}
	if _, err := registry.CreateClient(ctx, client.Client{ID: "shop", Scopes: scopes, Contact: "ann@example.com"}); err != nil {
		return nil, err
	}
	var err error
	if _, h.key, err = issue(ctx, a, "api_key", shield.Scopes{"catalog:read", "orders:read"}, nil); err != nil {
		return nil, err
	}
	if _, h.readOnlyKey, err = issue(ctx, a, "api_key", shield.Scopes{"catalog:read"}, nil); err != nil {
		return nil, err
	}
	if h.hmacID, h.hmacSecret, err = issue(ctx, a, "hmac", nil, nil); err != nil {
		return nil, err
	}
	if err := s.makeCertificate(a, h); err != nil {
		return nil, err
	}
	if _, _, err = issue(ctx, a, "mtls", nil, map[string]string{"name": "uri:" + spiffeID}); err != nil {
		return nil, err
	}
	if err := s.writeProfiles(h); err != nil {
		return nil, err
	}
	return h, a.State.View.Refresh(ctx)
}

// writeProfiles writes the shop's credentials as profiles for pavise call and pavise attack.
func (s *Settings) writeProfiles(h *held) error {
	text := fmt.Sprintf(`# The shop's credentials, for --profile FILE:NAME of pavise call, and --as NAME=FILE:NAME of pavise attack.
key: {kind: api_key, secret: %[1]q, ca: ca.pem}
certificate: {kind: mtls, cert: client.pem, key: client-key.pem, ca: ca.pem}
shop: {kind: hmac, id: %[2]q, secret: %[3]q, ca: ca.pem, also: [certificate, key]}
`, h.key, h.hmacID, h.hmacSecret)
	if err := os.WriteFile(s.path("profiles.yaml"), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the profiles: %w", err)
	}
	return nil
}

const spiffeID = "spiffe://demo.example/shop"

// issue makes a credential of a kind for the shop.
func issue(ctx context.Context, a *app.App, kind string, scopes shield.Scopes, settings map[string]string) (id, secret string, err error) {
	for _, k := range app.Kinds() {
		if k.Name != kind {
			continue
		}
		issued, err := k.Issue(shield.Env{Now: time.Now, Rand: rand.Reader}, shield.IssueRequest{Client: "shop", Environment: "demo", Settings: settings})
		if err != nil {
			return "", "", fmt.Errorf("make a credential of kind %s: %w", kind, err)
		}
		_, _, err = a.State.Registry.AddCredential(ctx, client.Credential{
			Kind: kind, Client: "shop", Scopes: scopes, Environment: "demo", Settings: settings,
		}, issued)
		return issued.ID, issued.Secret, err
	}
	return "", "", fmt.Errorf("there is no kind %s", kind)
}

// makeCertificate lets the local CA, which also signed the gateway's certificate,
// sign one for the client.
func (s *Settings) makeCertificate(a *app.App, h *held) error {
	ca, err := tlsconf.OpenLocal(s.path("pavise-data/local-ca"), time.Now)
	if err != nil {
		return err
	}
	made, err := ca.Client("shop", spiffeID)
	if err != nil {
		return err
	}
	chain, key, err := tlsconf.EncodePEM(made)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(h.ca, ca.PEM(), 0o644), os.WriteFile(h.cert, chain, 0o600), os.WriteFile(h.certKey, key, 0o600))
}
