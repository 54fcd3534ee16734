package pavise_test

import (
	"net/http"
	"testing"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/writertest"
)

func TestGuardsWriterKeepsItsPromises(t *testing.T) {
	writertest.Run(t, func(t *testing.T, h http.Handler) http.Handler {
		policy := pavise.Policy{
			Hosts: []pavise.Host{{Name: "127.0.0.1"}, {Name: "example.com"}}, Sink: discard{},
			APIs: []pavise.API{{Name: "t", Hosts: []string{"127.0.0.1", "example.com"}, Endpoints: []pavise.Endpoint{
				{Pattern: "GET /t", Shield: says{id: shop()}, AnyScope: true},
				{Pattern: "POST /t", Shield: says{id: shop()}, AnyScope: true},
			}}},
		}
		guard, err := pavise.New(policy)
		if err != nil {
			t.Fatal(err)
		}
		return guard.Wrap(h)
	})
}
