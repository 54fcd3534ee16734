package metrics

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds of scrapes.
const (
	scrapesAtOnce = 4
	scrapeTime    = 30 * time.Second
)

// Site is what the listener for those who watch serves: /metrics to those who may read it, and
// /livez and /readyz to everybody who reaches it.
type Site struct {
	Metrics *Metrics

	// Ready returns, for each part that must be well for the gateway to be of use, why it is
	// not; nil: it is.
	Ready func() map[string]error

	// Token returns what scrapers must show, each time it is asked; nil: they show none.
	Token func() string
	// Certificate says that a certificate, verified in the handshake, is as good as the token.
	Certificate bool
	// Local refuses names that are none of this machine's, by which a browser could be made to
	// read what is only for programs here (DNS rebinding).
	Local bool
	// Refused is told of each refusal; it may be nil.
	Refused func(r *http.Request, code string, status int)
}

// Handler makes the site. All other paths are unknown.
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	scrape := promhttp.HandlerFor(s.Metrics.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: scrapesAtOnce, Timeout: scrapeTime, ErrorHandling: promhttp.HTTPErrorOnError,
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if !s.may(r) {
			s.refuseReader(w, r)
			return
		}
		scrape.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.readyz)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if s.Local && !isLocal(r.Host) {
			s.refuse(w, r, "unknown_host", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// isLocal reports whether a name is an address or localhost: no other name can be made to lead
// here by whoever owns it.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || strings.EqualFold(host, "localhost") || host == ""
}

// may reports whether the caller may read more than whether all is well.
func (s *Site) may(r *http.Request) bool {
	if s.Certificate && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	if s.Token == nil {
		return !s.Certificate
	}
	fields := r.Header["Authorization"]
	if len(fields) != 1 {
		return false
	}
	want := s.Token()
	scheme, got, _ := strings.Cut(fields[0], " ")
	is, should := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return want != "" && strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(is[:], should[:]) == 1
}

func (s *Site) refuseReader(w http.ResponseWriter, r *http.Request) {
	code := "missing_credential"
	if len(r.Header["Authorization"]) > 0 {
		code = "invalid_credential"
	}
	if s.Token != nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="pavise metrics"`)
	}
	s.refuse(w, r, code, http.StatusUnauthorized)
}

func (s *Site) refuse(w http.ResponseWriter, r *http.Request, code string, status int) {
	if s.Refused != nil {
		s.Refused(r, code, status)
	}
	answer(w, status, code+"\n")
}

// readyz says whether requests should be sent here; which part is not ready is for those who may
// read metrics, too.
func (s *Site) readyz(w http.ResponseWriter, r *http.Request) {
	parts := s.Ready()
	status, text := http.StatusOK, "ok\n"
	for _, fault := range parts {
		if fault != nil {
			status, text = http.StatusServiceUnavailable, "not ready\n"
		}
	}
	if s.may(r) {
		var b strings.Builder
		b.WriteString(text)
		for _, part := range slices.Sorted(maps.Keys(parts)) {
			if fault := parts[part]; fault != nil {
				_, _ = fmt.Fprintf(&b, "- %s: %s\n", part, oneLine(fault))
				continue
			}
			_, _ = fmt.Fprintf(&b, "+ %s\n", part)
		}
		text = b.String()
	}
	answer(w, status, text)
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the caller may be gone
}
