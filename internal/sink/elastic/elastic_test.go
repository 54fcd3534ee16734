package elastic_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/internal/sink/elastic"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/post"
	"pavise.dev/pavise/internal/sink/post/posttest"
	"pavise.dev/pavise/internal/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// index is a bulk API that keeps documents by id.
type index struct {
	t      *testing.T
	mu     sync.Mutex
	docs   map[string]bool
	status func(id string) int // of a document that is new; nil: 201
}

func (x *index) take(w http.ResponseWriter, r *http.Request, body []byte) (ids []string) {
	if r.URL.Path != "/logs-pavise-default/_bulk" || r.Header.Get("Authorization") != "ApiKey marked-api-key" {
		x.t.Errorf("%s %v", r.URL, r.Header)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	var items []string
	failed := false
	for i := 0; i+1 < len(lines); i += 2 {
		var action struct {
			Create struct {
				ID string `json:"_id"`
			}
		}
		var doc struct {
			Event struct{ ID string } `json:"event"`
			At    string              `json:"@timestamp"`
		}
		if err := errors.Join(json.Unmarshal(lines[i], &action), json.Unmarshal(lines[i+1], &doc)); err != nil || doc.At == "" {
			x.t.Errorf("%v", err)
			return nil
		}
		status := 201
		switch {
		case x.docs[action.Create.ID]:
			status = 409
		case x.status != nil && x.status(doc.Event.ID) != 0:
			status = x.status(doc.Event.ID)
		default:
			x.docs[action.Create.ID] = true
			ids = append(ids, doc.Event.ID)
		}
		failed = failed || status > 299
		items = append(items, fmt.Sprintf(`{"create":{"status":%d,"error":{"type":"mapper_parsing_exception"}}}`, status))
	}
	_, _ = fmt.Fprintf(w, `{"errors":%t,"items":[%s]}`, failed, strings.Join(items, ","))
	return ids
}

func start(t *testing.T, status func(string) int) *posttest.Receiver {
	x := &index{t: t, docs: map[string]bool{}, status: status}
	return posttest.Start(t, x.take)
}

func open(t *testing.T, r *posttest.Receiver) *post.Destination {
	t.Helper()
	d, err := elastic.New(elastic.Settings{
		HTTP: r.Client(), URL: r.URL, Index: "logs-pavise-default", Secret: posttest.Secret("marked-api-key"), Form: posttest.Form(t, form.ECS), Node: "gw1",
		MaxBody: 20000,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDestination(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Place {
		r := start(t, nil)
		return sinktest.Place{Destination: open(t, r), Got: r.Got, Become: r.Become, Modes: posttest.Modes(), Secrets: []string{"marked-api-key"}}
	})
}

func TestAnEventThatIsSentTwiceIsThereOnce(t *testing.T) {
	r := start(t, nil)
	d := open(t, r)
	for range 3 {
		if err := d.Send(t.Context(), sinktest.Events(0, 5)); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.Got()) != 5 {
		t.Errorf("%v", r.Got())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestDocumentsAreJudgedOneByOne(t *testing.T) {
	for status, final := range map[int]bool{400: true, 429: false, 503: false, 403: false} {
		r := start(t, func(id string) int {
			if id == "e2" {
				return status
			}
			return 0
		})
		d := open(t, r)
		err := d.Send(t.Context(), sinktest.Events(0, 5))
		if _, is := errors.AsType[*sink.Rejection](err); err == nil || is != final || len(r.Got()) != 4 {
			t.Errorf("%d: %v, %v", status, err, r.Got())
		}
		if err := d.Send(t.Context(), sinktest.Events(3, 5)); err != nil {
			t.Errorf("what is there already: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAnAnswerThatIsNoneIsAFailure(t *testing.T) {
	for _, said := range []string{"", "{}", "<html>", `{"errors":"no"}`} {
		r := posttest.Start(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) []string {
			_, _ = io.WriteString(w, said)
			return nil
		})
		d := open(t, r)
		err := d.Send(t.Context(), sinktest.Events(0, 1))
		if _, final := errors.AsType[*sink.Rejection](err); err == nil || final {
			t.Errorf("%q: %v", said, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
