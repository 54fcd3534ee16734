package otlp_test

import (
	"bytes"
	"net/http"
	"regexp"
	"testing"

	"go.uber.org/goleak"

	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/otlp"
	"pavise.dev/pavise/internal/sink/post"
	"pavise.dev/pavise/internal/sink/post/posttest"
	"pavise.dev/pavise/internal/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var uid = regexp.MustCompile(`(?s)log\.record\.uid\x12.\n(.)(e[0-9]+)`)

func open(t testing.TB, r *posttest.Receiver) *post.Destination {
	t.Helper()
	d, err := otlp.New(otlp.Settings{
		HTTP: r.Client(), URL: r.URL + "/v1/logs", Token: posttest.Secret("marked-otlp-token"), Form: posttest.Form(t, form.OCSF),
		Source: form.Source{Node: "gw1", Version: "v1"}, MaxBody: 30000,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// What a record holds is shown in otlptest.
func TestDestination(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Place {
		r := posttest.Start(t, func(_ http.ResponseWriter, q *http.Request, body []byte) (ids []string) {
			if q.Header.Get("Authorization") != "Bearer marked-otlp-token" || q.Header.Get("Content-Type") != "application/x-protobuf" {
				t.Errorf("%v", q.Header)
			}
			for _, m := range uid.FindAllSubmatch(body, -1) {
				ids = append(ids, string(m[2][:m[1][0]]))
			}
			return ids
		})
		return sinktest.Place{Destination: open(t, r), Got: r.Got, Become: r.Become, Modes: posttest.Modes(), Secrets: []string{"marked-otlp-token"}}
	})
}

var requestID = regexp.MustCompile(`(?s)pavise\.request_id\x12.\n(.)(e[0-9]+)`)

// What a span holds is shown in otlptest.
func TestTraceDestination(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Place {
		r := posttest.Start(t, func(_ http.ResponseWriter, q *http.Request, body []byte) (ids []string) {
			if q.Header.Get("Authorization") != "Bearer marked-otlp-token" || q.Header.Get("Content-Type") != "application/x-protobuf" || q.URL.Path != "/v1/traces" {
				t.Errorf("%s %v", q.URL, q.Header)
			}
			for _, m := range requestID.FindAllSubmatch(body, -1) {
				ids = append(ids, string(m[2][:m[1][0]]))
			}
			return ids
		})
		d, err := otlp.NewTraces(otlp.TraceSettings{
			HTTP: r.Client(), URL: r.URL + "/v1/traces", Token: posttest.Secret("marked-otlp-token"), Source: form.Source{Node: "gw1", Version: "v1"}, MaxBody: 30000,
		})
		if err != nil {
			t.Fatal(err)
		}
		return sinktest.Place{Destination: d, Got: r.Got, Become: r.Become, Modes: posttest.Modes(), Secrets: []string{"marked-otlp-token"}}
	})
}

func TestAnswersAreRead(t *testing.T) {
	var said []byte
	r := posttest.Start(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) []string { _, _ = w.Write(said); return nil })
	d := open(t, r)
	for _, c := range []struct {
		said string
		want string
	}{
		{"", ""},
		{"\x0a\x00", ""},             // an empty partial success
		{"\x0a\x06\x12\x04warn", ""}, // a warning
		{"\x0a\x02\x08\x03", "rejects 3 records"}, // three records rejected
		{"<html>", "not that of a collector"},
		{"\x0a\x05\x08", "not that of a collector"},
		{"\x0a\x01\x08", "not that of a collector"},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "not that of a collector"},
	} {
		said = []byte(c.said)
		err := d.Send(t.Context(), sinktest.Events(0, 1))
		if (err == nil) != (c.want == "") || err != nil && !bytes.Contains([]byte(err.Error()), []byte(c.want)) {
			t.Errorf("%q: %v", c.said, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
