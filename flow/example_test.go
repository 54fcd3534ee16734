package flow_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/flow"
)

func ExampleNew() {
	dir, err := os.MkdirTemp("", "flow")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // keep it: it opens the answers that are kept
	store, err := flow.Open(flow.Options{Dir: filepath.Join(dir, "flows"), Key: key})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()
	refunds, err := flow.New(store, flow.Settings{
		API: "shop", Pattern: "POST /refunds", MaxBody: 1 << 20,
		Idempotency: &flow.Idempotency{Required: true, Keep: 24 * time.Hour, MaxAnswer: 64 << 10},
	})
	if err != nil {
		panic(err)
	}
	guard, err := pavise.New(pavise.Policy{
		Sink: &audit.Memory{}, Hosts: []pavise.Host{{Name: "api.test"}},
		APIs: []pavise.API{{Name: "shop", Hosts: []string{"api.test"}, Endpoints: []pavise.Endpoint{
			{Pattern: "POST /refunds", Shield: byHeader{}, AnyScope: true, Flow: refunds},
		}}},
	})
	if err != nil {
		panic(err)
	}
	paid := 0
	service := guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		paid++
		_, _ = io.WriteString(w, "paid")
	}))
	for range 2 {
		r := httptest.NewRequest(http.MethodPost, "http://api.test/refunds", strings.NewReader("amount=10"))
		r.Header.Set("X-Who", "shop/ann")
		r.Header.Set("Idempotency-Key", "8e03978e-40d5-43e8-bc93-6894a57f9324")
		w := httptest.NewRecorder()
		service.ServeHTTP(w, r)
		fmt.Printf("%d %s, replayed %q\n", w.Code, w.Body, w.Header().Get(flow.ReplayedHeader))
	}
	fmt.Println("paid", paid, "time")
	// Output:
	// 200 paid, replayed ""
	// 200 paid, replayed "true"
	// paid 1 time
}
