package pavise_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/writertest"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// serving is a guard for requests of real clients: any address of this machine.
func serving(t *testing.T, events *sink, change func(*pavise.Policy)) *pavise.Guard {
	t.Helper()
	policy := pavise.Policy{
		Hosts: []pavise.Host{{Name: "127.0.0.1"}, {Name: "example.com"}}, Sink: events,
		APIs: []pavise.API{{Name: "t", Hosts: []string{"127.0.0.1", "example.com"}, Endpoints: []pavise.Endpoint{
			{Pattern: "GET /t", Shield: says{id: shop()}, AnyScope: true},
			{Pattern: "POST /t", Shield: says{id: shop()}, AnyScope: true},
		}}},
	}
	if change != nil {
		change(&policy)
	}
	guard, err := pavise.New(policy)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

func TestGuardsWriterKeepsItsPromises(t *testing.T) {
	writertest.Run(t, func(t *testing.T, h http.Handler) http.Handler {
		return serving(t, &sink{}, nil).Wrap(h)
	})
}

// The exchange behind an answer is used for the next request as soon as the handler
// has returned. One that goes on must not reach it.
func TestAHandlerThatGoesOnReachesNobodyElse(t *testing.T) {
	const requests = 200
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("http2=", http2), func(t *testing.T) {
			events := &sink{}
			var strays sync.WaitGroup
			guard := serving(t, events, nil)
			server := httptest.NewUnstartedServer(guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Stray") == "" {
					_, _ = io.WriteString(w, "mine")
					return
				}
				begun := make(chan struct{})
				strays.Go(func() {
					close(begun)
					<-r.Context().Done() // the server cancels it when the handler has returned
					w.Header().Set("X-Stray", "planted")
					w.WriteHeader(http.StatusTeapot)
					if _, err := io.WriteString(w, "planted"); err == nil {
						t.Error("a write after the end succeeded")
					}
					if _, err := io.Copy(w, strings.NewReader("planted")); err == nil {
						t.Error("a copy after the end succeeded")
					}
					if flusher, ok := w.(interface{ FlushError() error }); !ok || flusher.FlushError() == nil {
						t.Error("a flush after the end succeeded")
					}
					if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
						t.Error("the connection was given away after the end")
					}
					_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
					pavise.Report(r.Context(), pavise.Outcome{Address: "planted", Note: "planted"})
					pavise.Fail(w, r, shield.Refuse(shield.UpstreamDown, "planted"))
				})
				<-begun
				_, _ = io.WriteString(w, "mine")
			})))
			server.EnableHTTP2 = http2
			if http2 {
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			var callers sync.WaitGroup
			for caller := range 4 {
				callers.Go(func() {
					for i := range requests / 4 {
						r, _ := http.NewRequest(http.MethodGet, server.URL+"/t", nil)
						if (caller+i)%2 == 0 {
							r.Header.Set("X-Stray", "1")
						}
						response, err := server.Client().Do(r)
						if err != nil {
							t.Error(err)
							return
						}
						body, err := io.ReadAll(response.Body)
						_ = response.Body.Close()
						if err != nil || string(body) != "mine" || response.StatusCode != 200 || response.Header.Get("X-Stray") != "" {
							t.Errorf("%d %q %v, %v", response.StatusCode, body, response.Header, err)
						}
					}
				})
			}
			callers.Wait()
			strays.Wait()
			if len(events.events) != requests {
				t.Errorf("%d events, want %d", len(events.events), requests)
			}
			for _, e := range events.events {
				if e.Status != 200 || e.BytesOut != 4 || e.Upstream != "" || e.Note != "" || e.Detail != "" {
					t.Errorf("event %d, %d bytes, %q %q %q", e.Status, e.BytesOut, e.Upstream, e.Note, e.Detail)
				}
			}
		})
	}
}

// answerOf lets a handler set headers and returns what the caller gets over TLS.
func answerOf(t *testing.T, change func(*pavise.Policy), request, headers http.Header) http.Header {
	t.Helper()
	server := httptest.NewTLSServer(serving(t, &sink{}, change).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range headers {
			w.Header()[name] = values
		}
	})))
	defer server.Close()
	r, err := http.NewRequest(http.MethodGet, server.URL+"/t", nil)
	if err != nil {
		t.Fatal(err)
	}
	if request != nil {
		r.Header = request
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.Header
}

func TestHSTSIsNeitherLoweredNorRemoved(t *testing.T) {
	const ours = "max-age=31536000"
	for value, want := range map[string]string{
		"": ours, "max-age=0": ours, "max-age=31535999; includeSubDomains": ours, "includeSubDomains": ours, "max-age=": ours, "max-age=abc": ours,
		"max-age=-1": ours, "max-age=63072000; max-age=63072000": ours, "max-age=63072000; max-age=0": ours, "max-age=99999999999999999999999": ours, "x-max-age=63072000": ours,
		ours: ours, "max-age=63072000; includeSubDomains; preload": "max-age=63072000; includeSubDomains; preload", `includeSubDomains; Max-Age = "31536000"`: `includeSubDomains; Max-Age = "31536000"`,
	} {
		if got := answerOf(t, nil, nil, http.Header{"Strict-Transport-Security": {value}}).Values("Strict-Transport-Security"); len(got) != 1 || got[0] != want {
			t.Errorf("%q became %q, want %q", value, got, want)
		}
	}
	for _, values := range [][]string{nil, {}, {"max-age=63072000", "max-age=0"}} {
		if got := answerOf(t, nil, nil, http.Header{"Strict-Transport-Security": values}).Values("Strict-Transport-Security"); len(got) != 1 || got[0] != ours {
			t.Errorf("%q became %q", values, got)
		}
	}
}

func TestOriginsAreThePolicysAlone(t *testing.T) {
	attacktest.Rows(t, 124)
	theirs := http.Header{
		"Access-Control-Allow-Origin": {"https://evil.test"}, "Access-Control-Allow-Credentials": {"true"}, "Access-Control-Allow-Methods": {"PUT"},
		"access-control-expose-headers": {"X-Secret"}, "Access-Control-Allow-Private-Network": {"true"}, "X-Test": {"a"},
	}
	listed := func(p *pavise.Policy) { p.APIs[0].Origins = []string{"https://app.test"} }
	guarded := func(p *pavise.Policy) {
		p.APIs[0].Endpoints[0].Shield = says{id: shop(), needs: shield.Needs{Carries: []string{"X-API-Key"}}}
	}
	tests := []struct {
		name   string
		change func(*pavise.Policy)
		origin string
		want   string
		theirs bool
	}{
		{"a listed origin", listed, "https://app.test", "https://app.test", false},
		{"a foreign origin where some are listed", listed, "https://evil.test", "", false},
		{"no origin where some are listed", listed, "", "", false},
		{"an answer that a credential opened", guarded, "https://evil.test", "", false},
		{"a public answer where none are listed", nil, "https://evil.test", "https://evil.test", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request := http.Header{}
			if test.origin != "" {
				request.Set("Origin", test.origin)
			}
			got := answerOf(t, test.change, request, theirs)
			if got.Get("Access-Control-Allow-Origin") != test.want || got.Get("X-Test") != "a" {
				t.Errorf("%v", got)
			}
			for _, name := range []string{"Access-Control-Allow-Credentials", "Access-Control-Allow-Methods", "Access-Control-Allow-Private-Network"} {
				if (got.Get(name) != "") != test.theirs {
					t.Errorf("%s: %q", name, got.Get(name))
				}
			}
			if strings.Contains(got.Get("Access-Control-Expose-Headers"), "X-Secret") != test.theirs {
				t.Errorf("exposed: %q", got.Get("Access-Control-Expose-Headers"))
			}
		})
	}
}

func TestOnlyTheGuardTellsOfItsRates(t *testing.T) {
	attacktest.Rows(t, 131)
	theirs := http.Header{"Ratelimit": {`"x";r=9999`}, "Ratelimit-Policy": {`"x";q=9999`}, "Ratelimit-Limit": {"9999"}, "Ratelimit-Remaining": {"9999"}, "Ratelimit-Reset": {"1"}}
	memory, err := limit.NewMemory(limit.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	limited := func(p *pavise.Policy) {
		p.Limiter = memory
		p.APIs[0].Endpoints[0].Limits = []limit.Limit{{Name: "t", Rate: limit.Rate{Count: 10, Per: time.Minute}, Per: limit.PerClient}}
	}
	got := answerOf(t, limited, nil, theirs)
	for name, values := range got {
		if strings.HasPrefix(name, "Ratelimit") && (len(values) != 1 || strings.Contains(values[0], "9999") || name == "Ratelimit-Reset") {
			t.Errorf("%s: %q", name, values)
		}
	}
	if !strings.Contains(got.Get("Ratelimit"), `"t";r=9`) || !strings.Contains(got.Get("Ratelimit-Policy"), `"t";q=10`) {
		t.Errorf("%v", got)
	}
	if got := answerOf(t, nil, nil, theirs); got.Get("Ratelimit-Limit") != "9999" {
		t.Errorf("where the guard counts nothing, the service's own: %v", got)
	}
}
