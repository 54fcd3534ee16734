package metrics_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/metrics"
)

const token = "0123456789abcdef0123456789abcdef"

type site struct {
	metrics.Site
	refused []string
	faults  map[string]error
}

func newSite(change func(*metrics.Site)) *site {
	s := &site{faults: map[string]error{"log": nil, "state": nil}}
	s.Site = metrics.Site{
		Metrics: metrics.New(metrics.Options{}), Ready: func() map[string]error { return s.faults },
		Refused: func(_ *http.Request, code string, _ int) { s.refused = append(s.refused, code) },
	}
	if change != nil {
		change(&s.Site)
	}
	return s
}

func (s *site) get(path string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:9464"+path, nil)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func bearer(values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header["Authorization"] = values }
}

func TestMetricsAreForThoseWhoShowTheToken(t *testing.T) {
	s := newSite(func(s *metrics.Site) { s.Token = func() string { return token } })
	for name, c := range map[string]struct {
		change func(*http.Request)
		status int
		code   string
	}{
		"the token":             {bearer("Bearer " + token), 200, ""},
		"in another case":       {bearer("bearer " + token), 200, ""},
		"nothing":               {nil, 401, "missing_credential"},
		"another":               {bearer("Bearer " + strings.ToUpper(token)), 401, "invalid_credential"},
		"the beginning":         {bearer("Bearer " + token[:31]), 401, "invalid_credential"},
		"more":                  {bearer("Bearer " + token + "0"), 401, "invalid_credential"},
		"another scheme":        {bearer("Basic " + token), 401, "invalid_credential"},
		"twice":                 {bearer("Bearer "+token, "Bearer "+token), 401, "invalid_credential"},
		"the scheme alone":      {bearer("Bearer "), 401, "invalid_credential"},
		"a query":               {func(r *http.Request) { r.URL.RawQuery = "access_token=" + token }, 401, "missing_credential"},
		"an unasked-for client": {func(r *http.Request) { r.TLS = shown() }, 401, "missing_credential"},
	} {
		s.refused = nil
		w := s.get("/metrics", c.change)
		if w.Code != c.status || strings.Join(s.refused, " ") != c.code {
			t.Errorf("%s: %d %v, want %d %s", name, w.Code, s.refused, c.status, c.code)
		}
		if has := strings.Contains(w.Body.String(), "pavise_build_info"); has != (c.status == 200) {
			t.Errorf("%s: metrics are in it: %v", name, has)
		}
		if c.status == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: nothing says what is wanted", name)
		}
	}
}

// An empty token is none, and shows nobody.
func TestAnEmptyTokenIsNobodys(t *testing.T) {
	s := newSite(func(s *metrics.Site) { s.Token = func() string { return "" } })
	for _, change := range []func(*http.Request){nil, bearer(""), bearer("Bearer "), bearer("Bearer")} {
		if w := s.get("/metrics", change); w.Code != http.StatusUnauthorized {
			t.Errorf("it answers %d", w.Code)
		}
	}
}

func shown() *tls.ConnectionState {
	return &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}
}

func TestMetricsAreForThoseWhoShowACertificate(t *testing.T) {
	s := newSite(func(s *metrics.Site) { s.Certificate = true })
	if w := s.get("/metrics", func(r *http.Request) { r.TLS = shown() }); w.Code != http.StatusOK {
		t.Errorf("a certificate is answered with %d", w.Code)
	}
	for name, change := range map[string]func(*http.Request){
		"nothing":    nil,
		"unverified": func(r *http.Request) { r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}} },
		"a token":    bearer("Bearer " + token),
	} {
		if w := s.get("/metrics", change); w.Code != http.StatusUnauthorized {
			t.Errorf("%s is answered with %d", name, w.Code)
		}
	}
	s.Token = func() string { return token }
	if w := s.get("/metrics", bearer("Bearer "+token)); w.Code != http.StatusOK {
		t.Errorf("the token beside it is answered with %d", w.Code)
	}
}

// Whoever makes a name of his own lead to 127.0.0.1 must not read it with somebody's browser.
func TestALocalSiteAnswersToNoForeignName(t *testing.T) {
	s := newSite(func(s *metrics.Site) { s.Local = true })
	for host, status := range map[string]int{
		"127.0.0.1:9464": 200, "localhost:9464": 200, "localhost": 200, "[::1]:9464": 200, "": 200,
		"evil.example": 421, "evil.example:9464": 421, "127.0.0.1.evil.example:9464": 421, "localhost.evil.example": 421,
	} {
		for _, path := range []string{"/metrics", "/livez", "/readyz"} {
			if w := s.get(path, func(r *http.Request) { r.Host = host }); w.Code != status {
				t.Errorf("%q %s: %d, want %d", host, path, w.Code, status)
			}
		}
	}
}

func TestReadyzSaysWhichPartToThoseWhoMayKnow(t *testing.T) {
	s := newSite(func(s *metrics.Site) { s.Token = func() string { return token } })
	if w := s.get("/readyz", nil); w.Code != http.StatusOK || w.Body.String() != "ok\n" {
		t.Errorf("all is well: %d %q", w.Code, w.Body)
	}
	if w := s.get("/readyz", bearer("Bearer "+token)); w.Code != http.StatusOK || w.Body.String() != "ok\n+ log\n+ state\n" {
		t.Errorf("all is well: %d %q", w.Code, w.Body)
	}
	s.faults["log"] = errors.New("the disk\nis full")
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"a probe":       {nil, "not ready\n"},
		"a wrong token": {bearer("Bearer x"), "not ready\n"},
		"a scraper":     {bearer("Bearer " + token), "not ready\n- log: the disk is full\n+ state\n"},
	} {
		if w := s.get("/readyz", c.change); w.Code != http.StatusServiceUnavailable || w.Body.String() != c.want {
			t.Errorf("%s: %d %q, want 503 %q", name, w.Code, w.Body, c.want)
		}
	}
	if w := s.get("/livez", nil); w.Code != http.StatusOK {
		t.Errorf("what is not ready is alive, but /livez answers %d", w.Code)
	}
	if len(s.refused) > 0 {
		t.Errorf("probes are no refusals: %v", s.refused)
	}
}

func TestTheSiteServesNothingElse(t *testing.T) {
	s := newSite(nil)
	for path, status := range map[string]int{"/": 404, "/debug/pprof/": 404, "/metrics/": 404, "/livez/x": 404} {
		if w := s.get(path, nil); w.Code != status {
			t.Errorf("%s: %d, want %d", path, w.Code, status)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "TRACE", "OPTIONS"} {
		if w := s.get("/metrics", func(r *http.Request) { r.Method = method }); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d, want 405", method, w.Code)
		}
	}
	if w := s.get("/livez", func(r *http.Request) { r.Method = http.MethodHead }); w.Code != http.StatusOK {
		t.Errorf("HEAD /livez: %d", w.Code)
	}
	if w := s.get("/metrics", nil); w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("headers %v", w.Header())
	}
}
