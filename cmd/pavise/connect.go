package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// administer calls do with the administration of the installation: of the gateway
// that runs, or, when none does, of this process, which holds the data folder
// while do runs.
func administer(command *cobra.Command, do func(context.Context, *admin.Client) error) error {
	file, err := app.Load(configPath(command))
	if err != nil {
		return err
	}
	ctx := command.Context()
	transport, err := admin.Dial(ctx, file.State.Socket)
	if err == nil {
		return do(ctx, admin.Connect(transport))
	}
	if !errors.Is(err, admin.ErrNoGateway) {
		return err
	}
	return offline(command, file, do)
}

func offline(command *cobra.Command, file *config.File, do func(context.Context, *admin.Client) error) (err error) {
	ctx := command.Context()
	state, err := app.OpenState(ctx, file, app.StateOptions{Now: time.Now, Warn: func(warning error) {
		_, _ = fmt.Fprintln(command.ErrOrStderr(), "warning:", printable(warning.Error()))
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	if state.Created {
		_, _ = fmt.Fprintf(command.ErrOrStderr(), "made %s and the master key %s: keep a copy of the key elsewhere, nothing can be read without it\n", file.State.Folder, file.State.MasterKey)
	}
	return do(ctx, admin.Connect(admin.InProcess(serviceOf(ctx, file, state))))
}

// serviceOf is the administration of a state that this process holds.
func serviceOf(ctx context.Context, file *config.File, state *app.State) *admin.Service {
	public, _ := state.Signing.Public().(ed25519.PublicKey) // an Ed25519 key's public half is one
	return &admin.Service{
		Registry: state.Registry, Refresh: state.View.Refresh, Kinds: app.Kinds(),
		Env:       shield.Env{Now: time.Now, Rand: rand.Reader, Credentials: state.View, Revoked: state.View, Issuers: named{file}},
		Record:    func(e audit.Event) error { return audit.Record(state.Log, &e) },
		LogDir:    file.Log.Folder,
		ChainKey:  state.ChainKey,
		Public:    public,
		Flush:     state.Log.Flush,
		Installed: file.Path,
		Explain: func(q admin.WhatIf) (admin.Answer, error) {
			return admin.Foresee(ctx, file, state.Registry, time.Now(), q)
		},
	}
}

// named knows the issuers of a configuration by name; nothing is fetched.
type named struct{ file *config.File }

// Issuer implements shield.Issuers.
func (n named) Issuer(name string) (*shield.Issuer, error) {
	issuer, ok := n.file.Issuers[name]
	if !ok {
		return nil, fmt.Errorf("there is no issuer %q in %s", name, n.file.Path)
	}
	return &shield.Issuer{Name: name, URL: issuer.URL, Audience: issuer.Audience}, nil
}
