package slack_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/notify/notifytest"
	"pavise.dev/pavise/internal/notify/slack"
	"pavise.dev/pavise/internal/sink/post/posttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const path = "/services/T0/B0/marked-path-secret"

// texts reads a body as Slack does.
func texts(t *testing.T, r *http.Request, body []byte) []string {
	var m struct {
		Text, Parse string
		UnfurlLinks bool `json:"unfurl_links"`
		UnfurlMedia bool `json:"unfurl_media"`
		LinkNames   bool `json:"link_names"`
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Parse != "none" || m.UnfurlLinks || m.UnfurlMedia || m.LinkNames || r.URL.Path != path {
		t.Errorf("%v %s %s", err, r.URL, body)
	}
	return []string{m.Text}
}

func place(t *testing.T) notifytest.Place {
	r := posttest.Start(t, func(_ http.ResponseWriter, q *http.Request, body []byte) []string { return texts(t, q, body) })
	return notifytest.Place{
		Notifier: slack.New(slack.Settings{HTTP: r.Client(), Address: posttest.Secret(r.URL + path)}), Got: r.Got, Become: r.Become, Modes: posttest.Modes(),
		Secrets: []string{"marked-path-secret"}, Most: 1,
		Harmful: []string{"<!channel>", "<https", "<", "`x`", "\r", "\x1b", "\u202e", "\x00", "\nBcc"},
	}
}

func TestNotifier(t *testing.T) { notifytest.Run(t, place) }

// Within code nothing is a mention, a link or bold; so words of others must not leave it.
func TestWordsOfOthersStayWithinCode(t *testing.T) {
	p := place(t)
	items := notifytest.Incidents(1, notifytest.Hostile)
	if err := p.Notifier.Tell(t.Context(), notifytest.Notice(items, nil)); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(p.Got()[0]) {
		outside := ""
		for i, part := range strings.Split(line, "`") {
			if i%2 == 0 {
				outside += part
			}
		}
		if strings.Contains(outside, "@everyone") || strings.Contains(outside, "evil") || strings.Contains(outside, "bold") || strings.Count(line, "`")%2 != 0 {
			t.Errorf("%q", line)
		}
	}
}

func TestALongMessageEndsWithAWholeLine(t *testing.T) {
	p := place(t)
	n := notifytest.Notice(notifytest.Incidents(10, strings.Repeat("`<x>&", 100)), nil)
	if err := p.Notifier.Tell(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	text := p.Got()[0]
	if len([]rune(text)) > 4000 || strings.Count(text, "`")%2 != 0 || !strings.HasSuffix(text, "shows the rest.") {
		t.Errorf("%d characters: %q", len([]rune(text)), text)
	}
	if text := n.Text(notify.Style{}); len([]rune(text)) < 4000 {
		t.Errorf("the test is too small: %d", len([]rune(text)))
	}
}

func TestAFileWithoutAnAddressIsTold(t *testing.T) {
	n := slack.New(slack.Settings{HTTP: http.DefaultClient, Address: posttest.Secret("marked-not-an-address")})
	err := n.Tell(t.Context(), notifytest.Notice(notifytest.Incidents(1, "one"), nil))
	if err == nil || strings.Contains(err.Error(), "marked") || !strings.Contains(err.Error(), "url_file") {
		t.Error(err)
	}
}
