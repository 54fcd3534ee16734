package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/authserver/people/account"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/shield"
)

// The demo's second part is about people: an app of somebody else, which asks a person
// for access, and a second provider, at which a person may sign in instead. The provider
// is an authorization server of Pavise in an installation of its own: to the first one it
// is any provider of OpenID Connect.

// provider is the second installation.
type provider struct {
	app    *app.App
	server *app.Server
	issuer string
	secret string // of the demo's gateway, as the provider's client
}

// person is somebody with an account.
type person struct{ login, name, password string }

// startProvider runs an authorization server on a port of its own. It is called by another
// name than the gateway, because browsers keep the cookies of all ports of a name together.
func (s *Settings) startProvider(ctx context.Context, back string) (_ *provider, ben person, err error) {
	address, err := freePort()
	if err != nil {
		return nil, ben, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, ben, err
	}
	p := &provider{issuer: "https://localhost:" + port}
	if err := os.MkdirAll(s.path("provider"), 0o700); err != nil {
		return nil, ben, err
	}
	file := s.path("provider/pavise.yaml")
	if err := os.WriteFile(file, providerConfiguration(address, p.issuer), 0o600); err != nil {
		return nil, ben, fmt.Errorf("write the provider's configuration: %w", err)
	}
	if p.app, err = s.open(ctx, file); err != nil {
		return nil, ben, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.app.Close())
		}
	}()
	ben = person{"ben", "Ben Example", rand.Text()}
	if err := ben.join(ctx, p.app); err != nil {
		return nil, ben, err
	}
	if p.secret, err = register(ctx, p.app, "orders-shop", nil, map[string]string{"redirects": back, "name": "The Orders Shop"}); err != nil {
		return nil, ben, err
	}
	p.server, err = p.app.Listen()
	return p, ben, err
}

func (p *provider) close(ctx context.Context) error {
	return errors.Join(p.server.Shutdown(ctx), p.app.Close())
}

func (s *Settings) open(ctx context.Context, name string) (*app.App, error) {
	file, err := app.Load(name)
	if err != nil {
		return nil, err
	}
	return app.Open(ctx, file, app.Options{Warn: func(err error) { _, _ = fmt.Fprintln(s.Out, "warning:", err) }})
}

// join makes the person's account.
func (p person) join(ctx context.Context, a *app.App) error {
	_, _, err := a.People().CreateUser(ctx, account.NewUser{Login: p.login, Name: p.name, Email: p.login + "@example.com", Password: secret.New([]byte(p.password))})
	return err
}

// register makes a client with a registration at the authorization server of an
// installation, and returns its secret.
func register(ctx context.Context, a *app.App, id string, scopes shield.Scopes, settings map[string]string) (string, error) {
	issued, err := registration.Kind().Issue(shield.Env{Now: time.Now, Rand: rand.Reader}, shield.IssueRequest{Client: id, Settings: settings})
	if err != nil {
		return "", fmt.Errorf("register %s: %w", id, err)
	}
	credential := client.Credential{Kind: registration.KindName, Settings: settings}
	if _, _, err := a.State.Registry.CreateWith(ctx, client.Client{ID: id, Scopes: scopes}, credential, issued); err != nil {
		return "", fmt.Errorf("register %s: %w", id, err)
	}
	return issued.Secret, a.State.View.Refresh(ctx)
}

// freePort finds an address on which nobody listens.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// settled is an address whose port is known, that of the issuer being a part of its name,
// and on which nobody listens.
func settled(address string) (string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", fmt.Errorf("%w; is another program there? Name another one with --listen", err)
	}
	if err := l.Close(); err != nil {
		return "", err
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port != "0" {
		return address, err
	}
	return freePort()
}
