package workload_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/pki/pkitest"
	"pavise.dev/pavise/workload"
)

// A program that is called by one service and calls it.
func Example() {
	authority, folder, end := exampleAuthority() // https://pki.example.com
	defer end()
	ctx := context.Background()
	cert, err := workload.Open(ctx, workload.Options{
		Server: authority.URL, Chain: filepath.Join(folder, "orders.pem"),
		Token: func() (string, error) {
			text, err := os.ReadFile(filepath.Join(folder, "token")) // of pavise cert token web --name …
			return string(text), err
		},
		Warn: func(err error) { fmt.Println("warning:", err) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = cert.Close() }() // it never fails

	// Only who has this name may call.
	server := &http.Server{Addr: "127.0.0.1:0", TLSConfig: cert.ServerConfig("uri:spiffe://pavise.internal/web"), Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintln(w, "hello", workload.Names(r.TLS.PeerCertificates[0])[0]) // the caller may be gone
		})}
	address, stop := exampleServe(server)
	defer stop()

	// The server is known by its SPIFFE ID, whatever its address is.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: cert.ClientConfig("uri:spiffe://pavise.internal/web"), ForceAttemptHTTP2: true}}
	answer, err := client.Get("https://" + address)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	_, _ = io.Copy(os.Stdout, answer.Body)     // the example's output tells
	client.CloseIdleConnections()
	// Output: hello uri:spiffe://pavise.internal/web
}

// exampleT lets an example use what tests use.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                  {}
func (t *exampleT) Context() context.Context { return context.Background() }
func (t *exampleT) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
func (t *exampleT) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }

func exampleAuthority() (w *pkitest.World, folder string, end func()) {
	t := &exampleT{}
	w = pkitest.Start(t)
	folder, err := os.MkdirTemp("", "workload-")
	w.Clock.Real()
	token := w.Token(est.Token{Client: "web", Names: pki.Names{webID}})
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "token"), []byte(token), 0o600)
	}
	if err != nil {
		panic(err)
	}
	return w, folder, func() {
		_ = os.RemoveAll(folder) // a temporary folder
		for _, f := range t.cleanups {
			f()
		}
	}
}
