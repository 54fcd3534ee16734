package webhook_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/post"
	"pavise.dev/pavise/internal/sink/post/posttest"
	"pavise.dev/pavise/internal/sink/sinktest"
	"pavise.dev/pavise/internal/sink/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key   = "marked-signing-secret"
	token = "marked-bearer-token"
	path  = "/hooks/marked-path-secret"
)

func now() time.Time { return time.Unix(1795435200, 0) }

func lines(body []byte) (ids []string) {
	for line := range bytes.Lines(body) {
		if e, err := audit.ParseJSON(bytes.TrimSpace(line)); err == nil {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func open(t *testing.T, r *posttest.Receiver, change func(*webhook.Settings)) *post.Destination {
	t.Helper()
	s := webhook.Settings{
		HTTP: r.Client(), URL: r.URL + path + "?key=marked-query-secret", Secret: posttest.Secret(key), Token: posttest.Secret(token),
		Form: posttest.Form(t, form.JSON), Type: "application/x-ndjson", Now: now,
	}
	if change != nil {
		change(&s)
	}
	d, err := webhook.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDestination(t *testing.T) {
	for name, compress := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Place {
				r := posttest.Start(t, func(_ http.ResponseWriter, _ *http.Request, body []byte) []string { return lines(body) })
				return sinktest.Place{
					Destination: open(t, r, func(s *webhook.Settings) { s.Compress = compress }), Got: r.Got, Become: r.Become, Modes: posttest.Modes(),
					Secrets: []string{key, token, "marked-path-secret", "marked-query-secret"},
				}
			})
		})
	}
}

func TestBodiesAreSignedAndBounded(t *testing.T) {
	var bodies []int
	var ranges []string
	r := posttest.Start(t, func(w http.ResponseWriter, q *http.Request, body []byte) []string {
		bodies = append(bodies, len(body))
		ranges = append(ranges, q.Header.Get(webhook.EventsHeader))
		if err := webhook.Verify(q.Header.Get(webhook.SignatureHeader), body, []byte(key), now(), time.Minute); err != nil {
			t.Error(err)
		}
		if q.Header.Get("Authorization") != "Bearer "+token || q.URL.Path != path || q.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%v %v", q.URL, q.Header)
		}
		w.WriteHeader(http.StatusAccepted)
		return lines(body)
	})
	d := open(t, r, func(s *webhook.Settings) { s.MaxBody = 5000 })
	if err := d.Send(t.Context(), sinktest.Events(0, 20)); err != nil {
		t.Fatal(err)
	}
	if len(bodies) < 4 || slices.Max(bodies) > 5000 || len(r.Got()) != 20 || ranges[0][:2] != "1-" || !strings.HasSuffix(ranges[len(ranges)-1], "-20") {
		t.Errorf("%v %v", bodies, ranges)
	}
	small := open(t, r, func(s *webhook.Settings) { s.MaxBody = 10 }) // one event is larger
	if err := small.Send(t.Context(), sinktest.Events(20, 22)); err != nil || len(r.Got()) != 22 {
		t.Errorf("%v, %d", err, len(r.Got()))
	}
	for _, d := range []*post.Destination{d, small} {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStatusesMeanWhatTheGuideSays(t *testing.T) {
	status, after := 0, ""
	r := posttest.Start(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) []string {
		w.Header().Set("Retry-After", after)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		return nil
	})
	d := open(t, r, nil)
	for _, c := range []struct {
		status int
		after  string
		want   string // ok, final, later or again
	}{
		{200, "", "ok"},
		{202, "", "ok"},
		{204, "", "ok"},
		{400, "", "final"},
		{413, "", "final"},
		{422, "", "final"},
		{301, "", "again"},
		{307, "", "again"},
		{401, "", "again"},
		{403, "", "again"},
		{404, "", "again"},
		{429, "", "again"},
		{500, "", "again"},
		{429, "7", "later"},
		{503, "7", "later"},
		{503, "soon", "again"},
		{503, "-1", "again"},
		{503, "99999999", "again"},
	} {
		status, after = c.status, c.after
		err := d.Send(t.Context(), sinktest.Events(0, 1))
		_, final := errors.AsType[*sink.Rejection](err)
		later, isLater := errors.AsType[*sink.Later](err)
		got := "again"
		switch {
		case err == nil:
			got = "ok"
		case final:
			got = "final"
		case isLater && later.After == 7*time.Second:
			got = "later"
		}
		if got != c.want {
			t.Errorf("%d %q: %s (%v), want %s", c.status, c.after, got, err, c.want)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestVerifyRefusesWhatWasNotSigned(t *testing.T) {
	header := make(http.Header)
	r := posttest.Start(t, func(_ http.ResponseWriter, q *http.Request, body []byte) []string {
		header = q.Header.Clone()
		return []string{string(body)}
	})
	d := open(t, r, nil)
	if err := d.Send(t.Context(), sinktest.Events(0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	body, good := r.Got()[0], header.Get(webhook.SignatureHeader)
	verify := func(header, body, key string, at time.Time) error {
		return webhook.Verify(header, []byte(body), []byte(key), at, 5*time.Minute)
	}
	for _, at := range []time.Time{now(), now().Add(5 * time.Minute), now().Add(-5 * time.Minute)} {
		if err := verify(good, body, key, at); err != nil {
			t.Error(err)
		}
	}
	if err := verify(good+",v1=00", body, key, now()); err != nil {
		t.Errorf("while a secret is replaced: %v", err)
	}
	for name, err := range map[string]error{
		"another body":  verify(good, body+" ", key, now()),
		"another key":   verify(good, body, "other", now()),
		"another time":  verify(strings.Replace(good, "t=1795435200", "t=1795435201", 1), body, key, now()),
		"a replay":      verify(good, body, key, now().Add(time.Hour)),
		"of the future": verify(good, body, key, now().Add(-time.Hour)),
		"two times":     verify(good+",t=1", body, key, now()),
		"no time":       verify(good[strings.Index(good, ",")+1:], body, key, now()),
		"no signature":  verify("t=1795435200", body, key, now()),
		"nothing":       verify("", body, key, now()),
		"no number":     verify("t=1795435200,v1=zz", body, key, now()),
		"a plus":        verify(strings.Replace(good, "t=", "t=+", 1), body, key, now()),
	} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	openssl(t, good, body)
}

// openssl computes the signature as the guide shows.
func openssl(t *testing.T, header, body string) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl here")
	}
	command := exec.Command("openssl", "dgst", "-sha256", "-hmac", key, "-hex")
	command.Stdin = io.MultiReader(strings.NewReader("1795435200."), strings.NewReader(body))
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	_, sum, _ := strings.Cut(strings.TrimSpace(string(out)), "= ")
	if header != "t=1795435200,v1="+sum {
		t.Errorf("openssl says %s, the header is %s", sum, header)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("t=1795435200,v1=00", []byte("x"))
	f.Add("t=,v1=", []byte{})
	f.Add(",,,=", []byte{})
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if webhook.Verify(header, body, []byte(key), now(), time.Hour) == nil {
			t.Errorf("%q is a signature of %q", header, body)
		}
	})
}
