package kill

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
)

// %[1]s is the upstream that is not asked.
const flowYAML = `# instead of %[1]s
listen: {https: "127.0.0.1:0"}
limits: {address: 100000000/minute}
hosts: {127.0.0.1: {certificate: local}}
apis:
  shop:
    host: 127.0.0.1
    upstream: UPSTREAM
    shield: api_key
    scopes: any
    flows:
      checkout: {steps: ["POST /carts/{id}", "POST /carts/{id}/pay"], per: client, by: {path: id}, open: 10000}
    endpoints:
      POST /payments: {idempotency: {}}
      POST /carts/{id}: {}
      POST /carts/{id}/pay: {}
scopes: {}
`

// payments is a service that counts how often it did each thing.
type payments struct {
	mu   sync.Mutex
	done map[string]int
}

func (p *payments) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what := r.Method + " " + r.URL.Path + " " + r.Header.Get("Idempotency-Key")
	p.mu.Lock()
	p.done[what]++
	p.mu.Unlock()
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, "did "+what)
}

// TestNothingIsDoneTwiceOverKill9 pays, and goes through carts, while the gateway is killed
// again and again. Everything that was tried is tried again: the service did nothing twice,
// and what was answered is answered alike.
func TestNothingIsDoneTwiceOverKill9(t *testing.T) {
	attacktest.Rows(t, 172)
	service := &payments{done: map[string]int{}}
	upstream := httptest.NewServer(service)
	defer upstream.Close()
	i := installWith(t, strings.Replace(flowYAML, "UPSTREAM", upstream.URL, 1))
	i.must("client", "create", "shop")
	key := i.must("key", "create", "--client", "shop", "--quiet")
	kills := 5
	if testing.Short() {
		kills = 2
	}
	answers := map[string]string{} // by what was tried; empty: there was none
	for round := range kills {
		i.start()
		stop := make(chan struct{})
		time.AfterFunc(time.Duration(300+round*217%500)*time.Millisecond, func() { i.kill(); close(stop) })
		var mu sync.Mutex
		var all sync.WaitGroup
		for worker := range 4 {
			all.Go(func() {
				for n := 0; running(stop); n++ {
					name := fmt.Sprintf("%d-%d-%d", round, worker, n)
					for _, path := range []string{"/payments", "/carts/" + name, "/carts/" + name + "/pay"} {
						what := "POST " + path + " " + name
						status, body := i.post(path, key, name)
						mu.Lock()
						answers[what] = ""
						if status == http.StatusCreated {
							answers[what] = body
						}
						mu.Unlock()
					}
				}
			})
		}
		all.Wait()
		<-stop
	}
	i.start()
	defer i.kill()
	replayed, unknown := 0, 0
	for what, before := range answers {
		parts := strings.Fields(what)
		if strings.Count(parts[1], "/") == 2 {
			continue // the first step may be taken again
		}
		status, body := i.post(parts[1], key, parts[2])
		switch {
		case parts[1] != "/payments":
			if before != "" && status != http.StatusConflict {
				t.Errorf("%s was done and is answered %d %s", what, status, body)
			}
		case before != "" && (status != http.StatusCreated || body != before):
			t.Errorf("%s was answered %q, and now %d %q", what, before, status, body)
		case before != "":
			replayed++
		case status == http.StatusConflict:
			unknown++
		}
	}
	service.mu.Lock()
	defer service.mu.Unlock()
	for what, times := range service.done {
		if times > 1 {
			t.Errorf("%s was done %d times", what, times)
		}
	}
	if replayed == 0 {
		t.Error("nothing was answered before a kill, so that nothing was shown")
	}
	t.Logf("%d tried, %d answered alike, %d of unknown outcome", len(answers), replayed, unknown)
}

// post returns the status and body of an answer; 0 if there was none.
func (i *installation) post(path, key, idempotency string) (int, string) {
	r, err := http.NewRequest(http.MethodPost, "https://"+i.address+path, strings.NewReader(idempotency))
	if err != nil {
		i.t.Error(err)
		return 0, ""
	}
	r.Header.Set("X-API-Key", key)
	r.Header.Set("Idempotency-Key", idempotency)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: i.tls, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Do(r)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, ""
	}
	return response.StatusCode, string(body)
}
