package pavise_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/writertest"
	"pavise.dev/pavise/shield"
)

// judging is an Outgoing made of functions.
type judging struct {
	most  int64
	judge func(h http.Header, body []byte) (pavise.Judged, error)
}

func (j judging) Hold(*http.Request, int, http.Header) int64 { return j.most }

func (j judging) Judge(_ *http.Request, _ *shield.Identity, _ int, h http.Header, body []byte) (pavise.Judged, error) {
	return j.judge(h, body)
}

func masking(h http.Header, body []byte) (pavise.Judged, error) {
	clean := strings.ReplaceAll(string(body), "secret", "******")
	if clean == string(body) {
		return pavise.Judged{Body: body}, nil
	}
	return pavise.Judged{Body: []byte(clean), Changed: "mask=1"}, nil
}

func judged(t *testing.T, events *sink, o pavise.Outgoing, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	guard := serving(t, events, func(p *pavise.Policy) {
		for i := range p.APIs[0].Endpoints {
			p.APIs[0].Endpoints[i].Outgoing = o
		}
	})
	server := httptest.NewServer(guard.Wrap(h))
	t.Cleanup(server.Close)
	return server
}

func TestAnswersAreJudgedBeforeTheirFirstByteLeaves(t *testing.T) {
	attacktest.Rows(t, 113)
	refuses := judging{1 << 20, func(http.Header, []byte) (pavise.Judged, error) {
		return pavise.Judged{}, shield.Refuse(shield.BadAnswer, "a stack trace")
	}}
	undecided := judging{1 << 20, func(http.Header, []byte) (pavise.Judged, error) { return pavise.Judged{}, errors.New("cannot decide") }}
	crashes := judging{1 << 20, func(http.Header, []byte) (pavise.Judged, error) { panic("within the judge") }}
	for name, c := range map[string]struct {
		outgoing      pavise.Outgoing
		answer        string
		status        int
		want, changed string
		code          shield.Code
	}{
		"harmless":        {judging{1 << 20, masking}, "hello", 200, "hello", "", ""},
		"masked":          {judging{1 << 20, masking}, "a secret", 200, "a ******", "mask=1", ""},
		"refused":         {refuses, "a secret", 502, `"code":"invalid_answer"`, "", shield.BadAnswer},
		"undecided":       {undecided, "a secret", 503, `"code":"undecided"`, "", shield.Undecided},
		"crashed":         {crashes, "a secret", 500, `"code":"internal_error"`, "", shield.Internal},
		"over the bound":  {judging{4, masking}, "a secret", 502, `"code":"invalid_answer"`, "", shield.BadAnswer},
		"at the bound":    {judging{8, masking}, "a secret", 200, "a ******", "mask=1", ""},
		"not to be held":  {judging{0, masking}, "a secret", 200, "a secret", "", ""},
		"nothing at all":  {judging{1 << 20, masking}, "", 200, "", "", ""},
		"longer than one": {judging{1 << 20, masking}, strings.Repeat("secret ", 9999), 200, "****** ******", "mask=1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			events := &sink{}
			server := judged(t, events, c.outgoing, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"1"`)
				w.Header().Set("X-Own", "stays")
				w.Header().Set("Trailer", "X-Late")
				for _, piece := range strings.SplitAfter(c.answer, " ") {
					_, _ = io.WriteString(w, piece)
					w.(http.Flusher).Flush()
				}
				w.Header().Set("X-Late", "secret")
			})
			response, err := http.Get(server.URL + "/t")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != c.status || !strings.Contains(string(body), c.want) {
				t.Fatalf("%d %.200s %v, want %d with %q", response.StatusCode, body, err, c.status, c.want)
			}
			server.Close()
			e := events.only(t)
			if e.Changed != c.changed || e.Code != string(c.code) || (c.code != "") != (e.Decision == audit.Failed) {
				t.Errorf("event %+v", e)
			}
			if c.status != 200 {
				if strings.Contains(string(body), "secret") || response.Header.Get("X-Own") != "" {
					t.Errorf("something of the service's answer left: %v %s", response.Header, body)
				}
				return
			}
			if kept := response.Header.Get("Etag") != ""; kept != (c.changed == "") || response.Header.Get("X-Own") != "stays" || len(response.Trailer) > 0 && c.outgoing.Hold(nil, 0, nil) > 0 {
				t.Errorf("headers %v", response.Header)
			}
		})
	}
}

func TestJudgedEndpointsAskForWholeAnswers(t *testing.T) {
	got := make(chan http.Header, 1)
	server := judged(t, &sink{}, judging{1 << 20, masking}, func(w http.ResponseWriter, r *http.Request) { got <- r.Header.Clone() })
	request, err := http.NewRequest(http.MethodGet, server.URL+"/t", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Range": "bytes=0-3", "If-Range": `"1"`, "Accept-Encoding": "gzip"} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if h := <-got; h.Get("Range") != "" || h.Get("If-Range") != "" || h.Get("Accept-Encoding") != "identity" {
		t.Errorf("the service was asked with %v", h)
	}
}

func TestAHeldAnswerThatBreaksOffIsNotSent(t *testing.T) {
	events := &sink{}
	server := judged(t, events, judging{1 << 20, masking}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half of a secret")
		panic(http.ErrAbortHandler)
	})
	if response, err := http.Get(server.URL + "/t"); err == nil {
		body, _ := io.ReadAll(response.Body)
		t.Errorf("%d %s", response.StatusCode, body)
	}
}

func TestWhatTheGuardItselfAnswersIsNotJudged(t *testing.T) {
	events := &sink{}
	server := judged(t, events, judging{1 << 20, func(http.Header, []byte) (pavise.Judged, error) {
		return pavise.Judged{}, errors.New("asked")
	}}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		pavise.Fail(w, r, shield.Refuse(shield.UpstreamDown, "away"))
	})
	response, err := http.Get(server.URL + "/t")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.StatusCode != 503 || strings.Contains(string(body), "half") || !strings.Contains(string(body), "upstream_down") {
		t.Errorf("%d %s", response.StatusCode, body)
	}
}

// A writer that is held keeps all promises but those about when bytes leave, trailers and
// connections that are given away; of HEAD and of what has no body nothing is held.
func TestHeldAnswersArriveAsTheHandlerWroteThem(t *testing.T) {
	writertest.RunHeld(t, func(t *testing.T, h http.Handler) http.Handler {
		return serving(t, &sink{}, func(p *pavise.Policy) {
			for i := range p.APIs[0].Endpoints {
				p.APIs[0].Endpoints[i].Outgoing = judging{4 << 20, masking}
			}
		}).Wrap(h)
	})
}

// trying is a Layer that always says the same.
type trying struct{ err error }

func (l trying) Check(*http.Request, *shield.Identity) error { return l.err }

func TestWhatIsOnTrialIsOnlyRecordedUntilItsTimeIsOver(t *testing.T) {
	refusal := shield.Refuse(shield.InvalidInput, "wrong")
	refusal.Fields = []shield.Field{{In: "body", Pointer: "/count", Rule: "minimum"}}
	for name, c := range map[string]struct {
		layer  error
		over   bool
		status int
		would  string
	}{
		"refuses while it is tried":       {refusal, false, 200, "contract invalid_input body minimum /count"},
		"refuses afterwards":              {refusal, true, 400, ""},
		"accepts":                         {nil, false, 200, ""},
		"cannot decide while it is tried": {errors.New("away"), false, 200, "contract undecided"},
		"cannot decide afterwards":        {errors.New("away"), true, 503, ""},
		"more than it looks at":           {shield.Refuse(shield.TooLarge, "long"), false, 200, "contract too_large"},
	} {
		for step := range 4 {
			t.Run(fmt.Sprint(name, " ", step), func(t *testing.T) {
				events := &sink{}
				now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
				guard := one(t, events, says{id: shop()}, func(p *pavise.Policy) {
					until := now.Add(1)
					if c.over {
						until = now
					}
					p.Now = func() time.Time { return now }
					trial := &pavise.Trial{Name: "contract", Layer: trying{c.layer}, Until: until}
					e := &p.APIs[0].Endpoints[0]
					switch step {
					case 0:
						e.Validate = trial
					case 1:
						e.Policy = trial
					case 2:
						e.Harm = trial
					case 3:
						e.Candidates = []*pavise.Trial{trial}
					}
				})
				if w, e := send(t, guard, events, get("/v1/orders/7"), nil); w.Code != c.status || e.Would != c.would {
					t.Errorf("%d, would %q", w.Code, e.Would)
				}
			})
		}
	}
}

// trying is judging, on trial.
type tryingAnswers struct {
	judging
	pass bool
}

func (o tryingAnswers) TooLong(*http.Request, int, http.Header) (string, bool) {
	return "responses invalid_answer body maxLength", o.pass
}

// What is too long is answered at once, and its handler stopped; on trial it passes.
func TestAnswersThatAreLongerThanWhatIsHeld(t *testing.T) {
	for name, c := range map[string]struct {
		outgoing pavise.Outgoing
		status   int
		would    string
	}{
		"too long":                   {judging{4, masking}, 502, ""},
		"too long, and not on trial": {tryingAnswers{judging{4, masking}, false}, 502, ""},
		"on trial":                   {tryingAnswers{judging{4, masking}, true}, 200, "responses invalid_answer body maxLength"},
		"what nobody can judge":      {judging{-1, masking}, 502, ""},
	} {
		t.Run(name, func(t *testing.T) {
			events, stopped := &sink{}, make(chan bool, 1)
			server := judged(t, events, c.outgoing, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "a")
				for range 10 {
					if _, err := io.WriteString(w, " secret"); err != nil {
						stopped <- true
						panic(http.ErrAbortHandler) // as a proxy does that cannot write
					}
				}
				stopped <- false
			})
			response, err := http.Get(server.URL + "/t")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || response.StatusCode != c.status || <-stopped != (c.status == 502) {
				t.Errorf("%d %s %v", response.StatusCode, body, err)
			}
			if whole := "a" + strings.Repeat(" secret", 10); c.status == 200 && string(body) != whole || c.status != 200 && strings.Contains(string(body), "secret") {
				t.Errorf("%s", body)
			}
			server.Close()
			if e := events.only(t); e.Would != c.would || (e.Decision == audit.Failed) != (c.status == 502) || e.Note != "" {
				t.Errorf("event %+v", e)
			}
		})
	}
}

func TestAHandlerThatCrashesAfterTooMuchIsStillACrash(t *testing.T) {
	events := &sink{}
	server := judged(t, events, judging{4, masking}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "a secret")
		panic("within the handler")
	})
	response, err := http.Get(server.URL + "/t")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	server.Close()
	if e := events.only(t); response.StatusCode != 500 || e.Code != string(shield.Internal) {
		t.Errorf("%d %+v", response.StatusCode, e)
	}
}

// What an endpoint says of itself is in every answer, refusals too, unless the handler says it.
func TestHeadersOfAnEndpoint(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		own  string
		want string
	}{
		"accepted":       {nil, "", "@1"},
		"of the handler": {nil, "@2", "@2"},
		"refused":        {shield.Refuse(shield.Sunset, "over"), "", "@1"},
	} {
		events := &sink{}
		guard := one(t, events, says{id: shop()}, func(p *pavise.Policy) {
			p.APIs[0].Endpoints[0].Header = http.Header{"Deprecation": {"@1"}}
			p.APIs[0].Endpoints[0].Validate = trying{c.err}
		})
		w, _ := send(t, guard, events, get("/v1/orders/7"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.own != "" {
				w.Header().Set("Deprecation", c.own)
			}
		}))
		if got := w.Header()["Deprecation"]; len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
