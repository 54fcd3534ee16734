package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"reflect"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
)

// TestRevocationReachesKeptAndResumedConnections speaks real TLS, with the
// handshake asking as the gateway's does.
func TestRevocationReachesKeptAndResumedConnections(t *testing.T) {
	attacktest.Rows(t, 80)
	s := newScene(t, func(s *scene) {
		s.world.WriteFile("ca.crl", s.ca.list(1, s.world.Now().Add(time.Hour)))
		s.config.CRL = []string{"ca.crl"}
	})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := s.shield.Verify(r)
		if err != nil {
			_, _ = fmt.Fprintf(w, "refused %v", r.TLS.DidResume)
			return
		}
		_, _ = fmt.Fprintf(w, "%s %v", id.Subject, r.TLS.DidResume)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12, Time: s.world.Now} // a session of a certificate that has ended is not resumed
	server.StartTLS()
	defer server.Close()

	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s.world.WriteFile("ca.crl", s.ca.list(1, s.world.Now().Add(time.Hour)))
		key := newKey(t)
		leaf := s.ca.leafFor(key.Public())
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		transport := &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: roots, MaxVersion: version, Time: s.world.Now, ClientSessionCache: tls.NewLRUClientSessionCache(4),
			Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}},
		}}
		get := func(wantReused bool, want string) {
			t.Helper()
			reused := false
			ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || string(text) != want || reused != wantReused {
				t.Errorf("%s: %q, %v, kept %v; want %q, kept %v", tls.VersionName(version), text, err, reused, want, wantReused)
			}
		}
		get(false, "uri:spiffe://example.org/pay false")
		get(true, "uri:spiffe://example.org/pay false")
		transport.CloseIdleConnections()
		get(false, "uri:spiffe://example.org/pay true")
		s.world.WriteFile("ca.crl", s.ca.list(2, s.world.Now().Add(time.Hour), leaf))
		get(true, "refused true")
		transport.CloseIdleConnections()
		get(false, "refused true")
		transport.CloseIdleConnections()
	}
}

// TestPageListsTheSettings holds the page to the settings' own words.
func TestPageListsTheSettings(t *testing.T) {
	rows := func(prefix string, typ reflect.Type) {
		for i := range typ.NumField() {
			tag := typ.Field(i).Tag
			row := fmt.Sprintf("| `%s%s` | %s |", prefix, tag.Get("yaml"), tag.Get("doc"))
			if !strings.Contains(readme, row+"\n") {
				t.Errorf("the page lacks the row %s", row)
			}
		}
	}
	rows("", reflect.TypeFor[Config]())
	rows("allow.", reflect.TypeFor[Rule]())
}
