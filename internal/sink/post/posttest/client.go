package posttest

import (
	"net/http"
	"testing"
	"time"

	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/post"
)

// Client is the client with which the gateway posts, allowed to reach the receiver.
func (r *Receiver) Client() *http.Client {
	r.t.Helper()
	c, err := fetch.New(fetch.Settings{Allow: []string{r.URL}, KeepAlive: true, Timeout: 10 * time.Second})
	if err != nil {
		r.t.Fatal(err)
	}
	return c.HTTP(4 << 20)
}

// Secret is one that is always there.
func Secret(text string) post.Secret {
	return func() (secret.Value, error) { return secret.New([]byte(text)), nil }
}

// Form returns a form.
func Form(t testing.TB, name string) form.Form {
	t.Helper()
	write, err := form.Source{Node: "gw1"}.Form(name)
	if err != nil {
		t.Fatal(err)
	}
	return write
}
