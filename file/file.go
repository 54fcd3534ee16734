// Package file opens a guard from a configuration file, for programs that guard
// handlers of their own with the same file that `pavise serve` reads:
//
//	guard, err := file.Open(ctx, "pavise.yaml")
//	…
//	defer guard.Close()
//	server := &http.Server{Handler: guard.Wrap(mux), TLSConfig: guard.TLSConfig()}
//	server.ListenAndServeTLS("", "")
//
// The file's upstreams are not asked: what the guard accepts reaches the handler.
// Clients and credentials are kept in the file's data folder and made with the
// command line (`pavise client`, `pavise key`) while the program is not running.
package file

import (
	"context"
	"crypto/tls"
	"net/http"

	"pavise.dev/pavise/internal/app"
)

// Guard is an installation that was opened from a file. It is safe for concurrent use.
type Guard struct {
	app  *app.App
	path string
}

// Open reads the file and opens the data folder that it names. The error lists
// everything that is wrong with the file, with positions.
func Open(ctx context.Context, path string) (*Guard, error) {
	f, err := app.Load(path)
	if err != nil {
		return nil, err
	}
	opened, err := app.Open(ctx, f, app.Options{Library: true})
	if err != nil {
		return nil, err
	}
	return &Guard{app: opened, path: path}, nil
}

// Wrap returns a handler that lets only accepted requests reach next. It follows
// later calls of [Guard.Reload].
func (g *Guard) Wrap(next http.Handler) http.Handler { return g.app.Wrap(next) }

// TLSConfig returns the TLS settings of the file: certificates by host, versions and
// suites, and client certificates asked for where hosts say so.
func (g *Guard) TLSConfig() *tls.Config { return g.app.TLSConfig() }

// Reload reads the file again. What is wrong with it leaves the old one in force.
func (g *Guard) Reload() error {
	f, err := app.Load(g.path)
	if err != nil {
		return err
	}
	return g.app.Reload(f)
}

// Close ends everything that Open started. Requests must have ended before.
func (g *Guard) Close() error { return g.app.Close() }
