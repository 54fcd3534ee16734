package splunk_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/post"
	"pavise.dev/pavise/internal/sink/post/posttest"
	"pavise.dev/pavise/internal/sink/sinktest"
	"pavise.dev/pavise/internal/sink/splunk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector reads events as Splunk does: objects one after another.
func collector(t *testing.T) func(w http.ResponseWriter, r *http.Request, body []byte) []string {
	return func(w http.ResponseWriter, r *http.Request, body []byte) (ids []string) {
		if r.URL.Path != "/services/collector/event" || r.Header.Get("Authorization") != "Splunk marked-hec-token" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"text":"Invalid token","code":4}`)
			return nil
		}
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		for {
			var e struct {
				Time                            json.Number
				Host, Source, Sourcetype, Index string
				Event                           json.RawMessage
			}
			if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%v", err)
				return nil
			}
			if e.Time != "1795435200.123" || e.Host != "gw1" || e.Sourcetype != "pavise:ocsf" || e.Index != "security" || e.Source != "pavise" {
				t.Errorf("%+v", e)
			}
			ids = append(ids, idOf(t, e.Event))
		}
		_, _ = io.WriteString(w, `{"text":"Success","code":0}`)
		return ids
	}
}

func idOf(t *testing.T, event []byte) string {
	var text string
	if json.Unmarshal(event, &text) == nil {
		return text[:3] // CEF
	}
	var e struct{ Metadata struct{ UID string } }
	if err := json.Unmarshal(event, &e); err != nil {
		t.Errorf("%v", err)
	}
	return e.Metadata.UID
}

func open(t *testing.T, r *posttest.Receiver, change func(*splunk.Settings)) *post.Destination {
	t.Helper()
	s := splunk.Settings{
		HTTP: r.Client(), URL: r.URL + "/", Token: posttest.Secret("marked-hec-token"), Form: posttest.Form(t, form.OCSF), SourceType: "pavise:ocsf",
		Index: "security", Node: "gw1", MaxBody: 20000,
	}
	if change != nil {
		change(&s)
	}
	d, err := splunk.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDestination(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Place {
		r := posttest.Start(t, collector(t))
		return sinktest.Place{
			Destination: open(t, r, func(s *splunk.Settings) { s.Compress = true }), Got: r.Got, Become: r.Become, Modes: posttest.Modes(),
			Secrets: []string{"marked-hec-token"},
		}
	})
}

func TestTextIsOneEvent(t *testing.T) {
	r := posttest.Start(t, collector(t))
	d := open(t, r, func(s *splunk.Settings) { s.Form, s.IsText = posttest.Form(t, form.CEF), true })
	if err := d.Send(t.Context(), sinktest.Events(0, 2)); err != nil || len(r.Got()) != 2 || r.Got()[0] != "CEF" {
		t.Errorf("%v %v", err, r.Got())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestOnlyWhatIsWrongWithAnEventIsFinal(t *testing.T) {
	status, said := 0, ""
	r := posttest.Start(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) []string {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, said)
		return nil
	})
	d := open(t, r, nil)
	for _, c := range []struct {
		status int
		said   string
		ok     bool
		final  bool
	}{
		{200, `{"text":"Success","code":0}`, true, false},
		{200, `<html>a proxy's page</html>`, false, false},
		{400, `{"text":"Invalid data format","code":6}`, false, true},
		{400, `{"text":"Incorrect index","code":7}`, false, false},
		{400, `{"text":"Data channel is missing","code":10}`, false, false},
		{400, `nothing to read`, false, true},
		{403, `{"text":"Invalid token","code":4}`, false, false},
		{503, `{"text":"Server is busy","code":9}`, false, false},
	} {
		status, said = c.status, c.said
		err := d.Send(t.Context(), sinktest.Events(0, 1))
		if _, final := errors.AsType[*sink.Rejection](err); (err == nil) != c.ok || final != c.final {
			t.Errorf("%d %s: %v", c.status, c.said, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
