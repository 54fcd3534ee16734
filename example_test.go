package pavise_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/apikey"
	"pavise.dev/pavise/shield/public"
)

// keys is a store of API keys of a program's own: it keeps their hashes and finds
// a key's record. It has two methods, and no way to change while it is used.
type keys map[[sha256.Size]byte]*shield.Record

// Credential implements shield.Lookup.
func (k keys) Credential(kind, id string) (*shield.Record, error) {
	for _, record := range k {
		if record.Kind == kind && record.ID == id {
			return record, nil
		}
	}
	return nil, shield.ErrUnknown
}

// Holder implements shield.Lookup, for keys that carry no ID.
func (k keys) Holder(kind string, material []byte) (*shield.Record, error) {
	if record, ok := k[sha256.Sum256(material)]; ok && record.Kind == kind {
		return record, nil
	}
	return nil, shield.ErrUnknown
}

// ExampleNew guards a handler without any configuration file.
func ExampleNew() {
	// A key of 166 random bits, as `pavise key create` makes them. Your store has its hash.
	env := shield.Env{Now: time.Now, Rand: bytes.NewReader(make([]byte, 4096))} // Rand: crypto/rand.Reader
	issued, err := apikey.Kind().Issue(env, shield.IssueRequest{Client: "shop", Environment: "live"})
	if err != nil {
		fmt.Println(err)
		return
	}
	hash := sha256.Sum256(issued.Material)
	scopes := shield.Scopes{"orders:read"}
	record := shield.Record{Kind: "api_key", ID: issued.ID, Client: &shield.Client{ID: "shop", Scopes: scopes}, Scopes: scopes}
	env.Credentials = keys{hash: record.Keep(func(material []byte) bool {
		got := sha256.Sum256(material)
		return subtle.ConstantTimeCompare(got[:], hash[:]) == 1
	}, nil, nil)}

	byKey, err := (&apikey.Config{Header: "X-API-Key"}).Open(env)
	if err != nil {
		fmt.Println(err)
		return
	}
	anybody, err := (&public.Config{Reason: "load-balancer probe"}).Open(env)
	if err != nil {
		fmt.Println(err)
		return
	}
	counter, err := limit.NewMemory(limit.MemoryOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := pavise.New(pavise.Policy{
		Hosts: []pavise.Host{{Name: "api.example.com"}},
		APIs: []pavise.API{{
			Name: "orders", Hosts: []string{"api.example.com"},
			Endpoints: []pavise.Endpoint{
				{Pattern: "GET /health", Shield: anybody, AnyScope: true},
				{
					Pattern: "GET /v1/orders/{id}", Shield: byKey, Scopes: shield.Scopes{"orders:read"},
					Limits: []limit.Limit{{Name: "orders", Rate: limit.Rate{Count: 600, Per: time.Minute}, Per: limit.PerClient}},
				},
			},
		}},
		Sink:    &audit.Memory{}, // a program that runs for long opens an audit.Log
		Limiter: counter,
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	handler := guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s, key header %q", pavise.IdentityOf(r.Context()).Client, r.Header.Get("X-API-Key"))
	}))
	for _, key := range []string{"", issued.Secret} {
		r := httptest.NewRequest(http.MethodGet, "http://api.example.com/v1/orders/7", nil)
		if key != "" {
			r.Header.Set("X-API-Key", key)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			fmt.Println(w.Code, w.Body)
		} else {
			fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
	// Output:
	// 401 ApiKey realm="X-API-Key"
	// 200 shop, key header ""
}
