package alertmanager_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/notify/alertmanager"
	"pavise.dev/pavise/internal/notify/notifytest"
	"pavise.dev/pavise/internal/sink/post/posttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const password = "marked-password"

func now() time.Time { return time.Date(2026, 11, 30, 12, 1, 0, 0, time.UTC) }

type sent struct {
	Labels, Annotations map[string]string
	StartsAt, EndsAt    time.Time
}

func read(t *testing.T, body string) (all []sent) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return all
}

func place(t *testing.T) notifytest.Place {
	r := posttest.Start(t, func(w http.ResponseWriter, q *http.Request, body []byte) []string {
		if user, got, _ := q.BasicAuth(); user != "pavise" || got != password || q.URL.Path != "/am/api/v2/alerts" {
			t.Errorf("%s %s", user, q.URL)
		}
		for _, a := range read(t, string(body)) {
			// As the API judges (api/v2/api.go of Alertmanager): a name, no empty value, an order of times.
			for name, value := range a.Labels {
				if value == "" || len(value) > 1000 {
					t.Errorf("label %s is %q", name, value)
				}
			}
			if a.Labels["alertname"] == "" || a.Labels["team"] != "api" || a.EndsAt.Before(a.StartsAt) || a.StartsAt.IsZero() {
				t.Errorf("%+v", a)
			}
		}
		return []string{string(body)}
	})
	n, err := alertmanager.New(alertmanager.Settings{
		HTTP: r.Client(), URL: r.URL + "/am", User: "pavise", Password: posttest.Secret(password), Labels: map[string]string{"team": "api"}, Node: "gw1", Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return notifytest.Place{
		Notifier: n, Got: r.Got, Become: r.Become, Modes: posttest.Modes(), Secrets: []string{password}, Most: 3,
		Harmful: []string{"\r", "\x1b", "\x00", "\u202e", "\nBcc"},
	}
}

func TestNotifier(t *testing.T) { notifytest.Run(t, place) }

// What is open is sent again, and then lasts ten minutes more; what has ended, ends now.
func TestWhatIsOpenIsKeptOpenAndWhatEndsIsResolved(t *testing.T) {
	p := place(t)
	keeper := p.Notifier.(notify.Keeper)
	items := notifytest.Incidents(2, "x")
	if err := p.Notifier.Tell(t.Context(), notifytest.Notice(items, nil)); err != nil {
		t.Fatal(err)
	}
	if err := keeper.Keep(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	items[0].Ended, items[0].Last = true, now()
	if err := p.Notifier.Tell(t.Context(), notifytest.Notice(nil, items[:1])); err != nil {
		t.Fatal(err)
	}
	got := p.Got()
	first, again, end := read(t, got[0]), read(t, got[1]), read(t, got[2])
	if len(first) != 2 || len(again) != 2 || len(end) != 1 {
		t.Fatalf("%q", got)
	}
	for _, a := range slices.Concat(first, again) {
		if !a.EndsAt.Equal(now().Add(10 * time.Minute)) {
			t.Errorf("%+v", a)
		}
	}
	if !end[0].EndsAt.Equal(now()) || !slices.ContainsFunc(first, func(a sent) bool {
		return a.Labels["subject"] == end[0].Labels["subject"] && a.StartsAt.Equal(end[0].StartsAt)
	}) {
		t.Errorf("%+v", end)
	}
}

// Of an incident that was over before it was sent somebody hears all the same.
func TestWhatHasEndedAlreadyIsOpenForAMoment(t *testing.T) {
	p := place(t)
	items := notifytest.Incidents(1, "x")
	items[0].Ended = true
	if err := p.Notifier.Tell(t.Context(), notifytest.Notice(items, nil)); err != nil {
		t.Fatal(err)
	}
	if a := read(t, p.Got()[0])[0]; !a.EndsAt.After(now()) || a.EndsAt.After(now().Add(5*time.Minute)) {
		t.Errorf("%+v", a)
	}
}

func TestAStormIsSomeAlertsAndOneForTheRest(t *testing.T) {
	p := place(t)
	items := notifytest.Incidents(10_000, "x")
	count := func(bodies []string) (single, many int) {
		for _, body := range bodies {
			for _, a := range read(t, body) {
				if a.Labels["subject_kind"] == "many" {
					many++
					if a.Annotations["description"] != "9500 more incidents are open; pavise log alerts lists them" {
						t.Errorf("%+v", a)
					}
				} else {
					single++
				}
			}
		}
		return single, many
	}
	if err := p.Notifier.Tell(t.Context(), notifytest.Notice(items, nil)); err != nil {
		t.Fatal(err)
	}
	if single, many := count(p.Got()); single != 500 || many != 1 {
		t.Errorf("%d and %d", single, many)
	}
	before := len(p.Got())
	if err := p.Notifier.(notify.Keeper).Keep(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	if single, many := count(p.Got()[before:]); single != 500 || many != 1 {
		t.Errorf("again: %d and %d", single, many)
	}
}
