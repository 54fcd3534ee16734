package pavise_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/shield"
)

// turning is a Flow made of a function.
type turning func(r *http.Request) (pavise.Turn, error)

func (f turning) Begin(r *http.Request, _ *shield.Identity) (pavise.Turn, error) { return f(r) }

// turned serves one endpoint with a flow over HTTP.
func turned(t *testing.T, events *sink, f pavise.Flow, o pavise.Outgoing, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	guard := serving(t, events, func(p *pavise.Policy) {
		for i := range p.APIs[0].Endpoints {
			p.APIs[0].Endpoints[i].Flow, p.APIs[0].Endpoints[i].Outgoing = f, o
		}
	})
	server := httptest.NewServer(guard.Wrap(h))
	t.Cleanup(server.Close)
	return server
}

func fetched(t *testing.T, server *httptest.Server) (int, string, http.Header) {
	t.Helper()
	response, err := http.Get(server.URL + "/t")
	if err != nil {
		return 0, "", nil
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body) // it may break off
	return response.StatusCode, string(body), response.Header
}

func TestAFlowIsAskedLastAndToldOnce(t *testing.T) {
	abort := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}
	unsent := func(w http.ResponseWriter, r *http.Request) {
		pavise.Report(r.Context(), pavise.Outcome{Unsent: true})
		pavise.Fail(w, r, shield.Refuse(shield.UpstreamDown, ""))
	}
	for name, c := range map[string]struct {
		keep    int64
		handler http.HandlerFunc
		want    pavise.Ended // Answer with the body alone
		status  int
	}{
		"an answer":              {100, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, pavise.Ended{Status: 200, Whole: true, Answer: &pavise.Answer{Status: 200, Body: []byte("hello")}}, 200},
		"a status alone":         {100, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, pavise.Ended{Status: 204, Whole: true, Answer: &pavise.Answer{Status: 204}}, 204},
		"nothing at all":         {100, func(http.ResponseWriter, *http.Request) {}, pavise.Ended{Status: 200, Whole: true, Answer: &pavise.Answer{Status: 200}}, 200},
		"a longer one":           {4, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, pavise.Ended{Status: 200, Whole: true}, 200},
		"one that is not wanted": {0, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, pavise.Ended{Status: 404, Whole: true}, 404},
		"half of one":            {100, abort, pavise.Ended{Status: 200}, 0},
		"half, not wanted":       {0, abort, pavise.Ended{Status: 200}, 0},
		"nothing was sent":       {100, unsent, pavise.Ended{Unsent: true}, 503},
		"nobody knows": {100, func(w http.ResponseWriter, r *http.Request) {
			pavise.Fail(w, r, shield.Refuse(shield.UpstreamFailed, ""))
		}, pavise.Ended{}, 502},
		"a crash": {100, func(http.ResponseWriter, *http.Request) { panic("oh") }, pavise.Ended{}, 500},
	} {
		t.Run(name, func(t *testing.T) {
			events, told := &sink{}, []pavise.Ended{}
			f := turning(func(*http.Request) (pavise.Turn, error) {
				return pavise.Turn{Keep: c.keep, End: func(e pavise.Ended) error { told = append(told, e); return nil }}, nil
			})
			server := turned(t, events, f, nil, c.handler)
			status, _, _ := fetched(t, server)
			server.Close()
			if status != c.status || len(told) != 1 {
				t.Fatalf("status %d, told %+v", status, told)
			}
			if told[0].Answer != nil {
				told[0].Answer.Header = nil
			}
			if !reflect.DeepEqual(told[0], c.want) {
				t.Errorf("told %+v (%+v), want %+v", told[0], told[0].Answer, c.want)
			}
		})
	}
}

func TestWhatAFlowRefusesReachesNobody(t *testing.T) {
	for _, err := range []error{shield.Refuse(shield.OutOfOrder, "d"), errors.New("cannot decide")} {
		events := &sink{}
		server := turned(t, events, turning(func(*http.Request) (pavise.Turn, error) { return pavise.Turn{}, err }), nil, func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })
		status, _, _ := fetched(t, server)
		server.Close()
		if e := events.only(t); status < 400 || e.Step != "flow" || e.Decision == audit.Accepted {
			t.Errorf("%d, event %+v", status, e)
		}
	}
}

// What is sent again passes what judges answers: the caller may see less by now.
func TestAnEarlierAnswerIsJudgedAnew(t *testing.T) {
	events := &sink{}
	f := turning(func(*http.Request) (pavise.Turn, error) {
		return pavise.Turn{Earlier: &pavise.Answer{Status: 201, Header: http.Header{"Location": {"/1"}}, Body: []byte("a secret")}}, nil
	})
	server := turned(t, events, f, judging{1 << 10, masking}, func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })
	status, body, header := fetched(t, server)
	server.Close()
	if e := events.only(t); status != 201 || body != "a ******" || header.Get("Location") != "/1" || e.Note != "replayed" || e.Changed != "mask=1" {
		t.Errorf("%d %s %v, event %+v", status, body, header, e)
	}
}

func TestAnAnswerIsKeptAsTheServiceGaveIt(t *testing.T) {
	events := &sink{}
	var kept pavise.Ended
	f := turning(func(*http.Request) (pavise.Turn, error) {
		return pavise.Turn{Keep: 100, End: func(e pavise.Ended) error { kept = e; return errors.New("no room") }}, nil
	})
	server := turned(t, events, f, judging{1 << 10, masking}, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("asked with %v", r.Header)
		}
		_, _ = io.WriteString(w, "a secret")
	})
	status, body, _ := fetched(t, server)
	server.Close()
	if status != 200 || body != "a ******" || kept.Answer == nil || string(kept.Answer.Body) != "a secret" {
		t.Errorf("%d %s, kept %+v", status, body, kept)
	}
	if e := events.only(t); e.Warning != "flow_unkept" || !strings.Contains(e.Detail, "no room") || e.Decision != audit.Accepted {
		t.Errorf("event %+v", e)
	}
}

// An answer that outgrows what is kept leaves as it comes, with its headers and trailers.
func TestALongAnswerPassesUnchanged(t *testing.T) {
	f := turning(func(*http.Request) (pavise.Turn, error) {
		return pavise.Turn{Keep: 10, End: func(pavise.Ended) error { return nil }}, nil
	})
	server := turned(t, &sink{}, f, nil, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Own", "1")
		w.WriteHeader(202)
		w.Header().Set("X-Late", "1")
		for range 10 {
			_, _ = io.WriteString(w, "12345")
		}
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "50")
	})
	response, err := http.Get(server.URL + "/t")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 202 || string(body) != strings.Repeat("12345", 10) {
		t.Errorf("%d %s, %v", response.StatusCode, body, err)
	}
	if h := response.Header; h.Get("X-Own") != "1" || h.Get("X-Late") != "" || response.Trailer.Get("X-Sum") != "50" {
		t.Errorf("header %v, trailer %v", h, response.Trailer)
	}
}
