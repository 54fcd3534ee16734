package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// serveBare is what a Go developer writes without us: net/http with ReverseProxy,
// tuned as the others are, logging each request. Its arguments are two addresses (the
// second asks for client certificates), the upstream, and the folder of the material.
func serveBare(ctx context.Context, args []string) error {
	if len(args) != 5 {
		return errors.New("bare: want two addresses, the upstream, a folder and a file for a profile")
	}
	dir := args[3]
	file, err := os.Create(filepath.Join(dir, "bare.log"))
	if err != nil {
		return fmt.Errorf("bare: %w", err)
	}
	defer func() { _ = file.Close() }()
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return fmt.Errorf("bare: %w", err)
	}
	callers := x509.NewCertPool()
	callers.AppendCertsFromPEM(ca)
	record := &records{to: bufio.NewWriterSize(file, 64<<10)}
	handler := proxyTo(args[2], record)
	failed := make(chan error, 2)
	for address, c := range map[string]*tls.Config{
		args[0]: {MinVersion: tls.VersionTLS12},
		args[1]: {MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: callers},
	} {
		host := openHost
		if c.ClientCAs != nil {
			host = mutualHost
		}
		server := &http.Server{Addr: address, TLSConfig: c, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		defer context.AfterFunc(ctx, func() { _ = server.Close() })()
		go func() { // ends with the server
			failed <- server.ListenAndServeTLS(filepath.Join(dir, host+".pem"), filepath.Join(dir, host+".key"))
		}()
	}
	return profiled(args[4], func() error {
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("bare: %w", err)
		}
		return nil
	})
}

func proxyTo(upstream string, record *records) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: upstream}); r.SetXForwarded() },
		BufferPool: buffers{&sync.Pool{New: func() any { return new(buffer) }}},
		Transport:  &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DisableCompression: true},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r)
		record.line(r)
	})
}

// records is an access log with a buffer, as nginx is given one.
type records struct {
	mu sync.Mutex
	to *bufio.Writer
}

func (l *records) line(r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.to, "%s %s %s %s\n", time.Now().Format(time.RFC3339), r.RemoteAddr, r.Method, r.URL.Path)
}

// buffers spares ReverseProxy 32 KiB of new memory for each answer.
type buffers struct{ pool *sync.Pool }

type buffer [32 << 10]byte

func (b buffers) Get() []byte  { return b.pool.Get().(*buffer)[:] }
func (b buffers) Put(p []byte) { b.pool.Put((*buffer)(p)) }
