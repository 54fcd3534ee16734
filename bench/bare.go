package main

import (
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
	"time"
)

// serveBare is what a Go developer writes without us: net/http with ReverseProxy,
// tuned as the others are, logging each request. Its arguments are two addresses (the
// second asks for client certificates), the upstream, and the folder of the material.
func serveBare(ctx context.Context, args []string) error {
	if len(args) != 4 {
		return errors.New("bare: want two addresses, the upstream and a folder")
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
	handler := proxyTo(args[2], file)
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
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("bare: %w", err)
	}
	return nil
}

func proxyTo(upstream string, file *os.File) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: upstream}); r.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DisableCompression: true},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r)
		_, _ = fmt.Fprintf(file, "%s %s %s %s\n", time.Now().Format(time.RFC3339), r.RemoteAddr, r.Method, r.URL.Path)
	})
}
