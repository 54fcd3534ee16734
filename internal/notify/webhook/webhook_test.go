package webhook_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pavise.dev/pavise/internal/notify/notifytest"
	"pavise.dev/pavise/internal/notify/webhook"
	"pavise.dev/pavise/internal/sink/post/posttest"
	signed "pavise.dev/pavise/internal/sink/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key   = "marked-signing-secret"
	token = "marked-bearer-token"
	path  = "/hooks/marked-path-secret"
)

func now() time.Time { return time.Unix(1795435200, 0) }

func place(t *testing.T) notifytest.Place {
	r := posttest.Start(t, func(_ http.ResponseWriter, q *http.Request, body []byte) []string {
		if err := signed.Verify(q.Header.Get(signed.SignatureHeader), body, []byte(key), now(), time.Minute); err != nil {
			t.Error(err)
		}
		if q.Header.Get("Authorization") != "Bearer "+token || q.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v", q.Header)
		}
		var m webhook.Message
		if err := json.Unmarshal(body, &m); err != nil || m.Source != "pavise" || m.Node != "gw1" || m.Began == nil || m.Ended == nil {
			t.Errorf("%v: %s", err, body)
		}
		return []string{string(body)}
	})
	n, err := webhook.New(webhook.Settings{
		HTTP: r.Client(), URL: r.URL + path + "?key=marked-query-secret", Secret: posttest.Secret(key), Token: posttest.Secret(token), Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return notifytest.Place{
		Notifier: n, Got: r.Got, Become: r.Become, Modes: posttest.Modes(), Secrets: []string{key, token, "marked-path-secret", "marked-query-secret"}, Most: 1,
		Harmful: []string{"<!channel>", "<https", "\r", "\x1b", "\x00", "\nBcc"}, // as JSON has them
	}
}

func TestNotifier(t *testing.T) { notifytest.Run(t, place) }

func TestAStormIsCounted(t *testing.T) {
	p := place(t)
	if err := p.Notifier.Tell(t.Context(), notifytest.Notice(notifytest.Incidents(10_000, "x"), nil)); err != nil {
		t.Fatal(err)
	}
	var m webhook.Message
	if err := json.Unmarshal([]byte(p.Got()[0]), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.MoreBegan) != 1 || len(m.Began)+m.MoreBegan[0].Incidents != 10_000 || m.Open != 10_000 {
		t.Errorf("%d, %+v", len(m.Began), m.MoreBegan)
	}
}
