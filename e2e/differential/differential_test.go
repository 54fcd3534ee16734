// Package differential compares three readings of the same bytes: by the plainest
// reading of RFC 9112 there is, by the guard that judged them, and by upstreams that
// nobody here wrote. Whatever is judged must be what was sent, and what arrives must be
// what was judged: that is where request smuggling ends.
//
// DIFFERENTIAL is how many requests each upstream gets (default 2,000), and
// DIFFERENTIAL_SEED where the seeds begin (default: random). A connection on which
// two readings differ is written to testdata/seeds, and read again by every run.
package differential

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
)

func number(t *testing.T, name string, preset uint64) uint64 {
	t.Helper()
	set := os.Getenv(name)
	if set == "" {
		return preset
	}
	n, err := strconv.ParseUint(set, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func TestDifferentialUpstreams(t *testing.T) {
	attacktest.Rows(t, 118)
	for name, start := range map[string]func(*testing.T) upstream{"go": goUpstream, "node": nodeUpstream, "nginx": nginxUpstream} {
		t.Run(name, func(t *testing.T) {
			u := start(t)
			r := &run{t: t, chain: startChain(t, u.url)}
			for _, text := range append(classics(), kept(t)...) {
				r.connection(text)
			}
			seed := number(t, "DIFFERENTIAL_SEED", rand.Uint64())
			r.many(seed, number(t, "DIFFERENTIAL", 2000))
			t.Logf("seed %d: %d requests on %d connections, %d accepted, %d refused, %d refused by the upstream, %d connections ended early",
				seed, r.sent.Load(), r.connections.Load(), r.accepted.Load(), r.refused.Load(), r.declined.Load(), r.early.Load())
			if n, want := u.seen(t), r.accepted.Load(); n != want {
				t.Errorf("%d whole requests arrived, %d were answered: somebody saw one more, or one less", n, want)
			}
			if r.accepted.Load() == 0 || r.refused.Load() == 0 {
				t.Error("nothing was accepted, or nothing refused: this shows little")
			}
		})
	}
}

// kept are the connections of testdata/seeds.
func kept(t *testing.T) (all []string) {
	t.Helper()
	names, err := filepath.Glob("testdata/seeds/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

// run is the comparison with one upstream.
type run struct {
	t     *testing.T
	chain *chain

	sent, connections, accepted, refused, declined, early, sentinels atomic.Int64

	mu    sync.Mutex
	found int
}

// many makes connections until so many requests were sent.
func (r *run) many(seed, requests uint64) {
	var all sync.WaitGroup
	for worker := range 4 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			g := newGenerator(seed + uint64(worker))
			for uint64(r.sent.Load()) < requests && !r.failed() {
				r.connection(g.connection())
			}
		})
	}
	all.Wait()
}

func (r *run) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.found >= 10
}

// connection sends one connection's bytes and compares. Bytes that end in the middle
// of a request have no reading to compare with, and are left to the edge's own test.
func (r *run) connection(text string) {
	sent, how := strictly(text)
	if how == wants {
		return
	}
	sentinel := fmt.Sprintf("GET /sentinel/%d HTTP/1.1\r\nHost: api.example.com\r\n\r\n", r.sentinels.Add(1))
	if how == whole {
		more, _ := strictly(sentinel)
		sent = append(sent, more...)
	}
	r.connections.Add(1)
	r.sent.Add(int64(max(1, len(sent))))
	if difference := r.compare(text+sentinel, sent, how == whole); difference != "" {
		r.report(text, difference)
	}
}

func (r *run) report(text, difference string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found++
	name := filepath.Join("testdata", "seeds", digest(text)[:16])
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		r.t.Error(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		r.t.Error(err)
	}
	r.t.Errorf("%s: %s\n%q", name, difference, text)
}

// patience bounds the wait for an answer that does not come.
const patience = 20 * time.Second

// compare returns in what the readings of one connection differ.
func (r *run) compare(text string, sent []reading, complete bool) string {
	conn, err := net.Dial("tcp", r.chain.addr)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err.Error()
	}
	go func() { _, _ = io.WriteString(conn, text) }() // ends with the connection, which may be closed at any time
	arrived, statuses, err := answers(conn, sent)
	checked := r.chain.witness.take(conn.LocalAddr().String())
	if err != nil {
		return err.Error()
	}
	for _, got := range arrived {
		if got.none {
			r.declined.Add(1)
		} else {
			r.accepted.Add(1)
		}
	}
	r.refused.Add(int64(len(statuses) - len(arrived)))
	if complete && len(statuses) < len(sent) {
		r.early.Add(1)
	}
	if difference := compareAll(sent, checked, arrived, complete); difference != "" {
		return fmt.Sprintf("%s (answers %v)", difference, statuses)
	}
	return ""
}

// saw is what an upstream saw, and which answer of the connection said so.
type saw struct {
	reading
	at   int
	none bool // the upstream itself refused it: there is nothing to compare
}

// answers reads answers until that to the last request, or until the end.
func answers(conn net.Conn, sent []reading) (arrived []saw, statuses []int, err error) {
	br := bufio.NewReader(conn)
	for {
		method := http.MethodGet
		if at := len(statuses); at < len(sent) {
			method = sent[at].Method
		}
		response, err := http.ReadResponse(br, &http.Request{Method: method})
		switch {
		case isTimeout(err):
			return nil, nil, fmt.Errorf("no answer after %d: the gateway waits for more than there is", len(statuses))
		case err != nil:
			return arrived, statuses, nil // it was closed
		}
		if response.StatusCode < 200 {
			continue
		}
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if isTimeout(err) {
			return nil, nil, errors.New("an answer does not end")
		}
		statuses = append(statuses, response.StatusCode)
		if text := response.Header.Get(sawHeader); text != "" {
			r, err := decodeReading(text)
			if err != nil {
				return nil, nil, err
			}
			arrived = append(arrived, saw{reading: r, at: len(statuses) - 1})
			if strings.HasPrefix(r.Target, "/sentinel/") {
				return arrived, statuses, nil
			}
		} else if response.StatusCode >= 400 && response.Header.Get("Content-Type") == "text/html" {
			// nginx itself: it takes no TRACE and no If-None-Match twice. The gateway's refusals are problem documents.
			arrived = append(arrived, saw{at: len(statuses) - 1, none: true})
		} else if response.StatusCode >= 500 && response.StatusCode != http.StatusNotImplemented && response.StatusCode != http.StatusHTTPVersionNotSupported {
			return nil, nil, fmt.Errorf("answer %d is %d: nothing should fail here", len(statuses), response.StatusCode)
		}
		if response.Close {
			return arrived, statuses, nil
		}
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// compareAll holds the three readings of a connection against each other, in order.
func compareAll(sent, checked []reading, arrived []saw, complete bool) string {
	if n := len(checked) - len(arrived); n < 0 || n > 1 {
		return fmt.Sprintf("%d requests were checked and %d arrived", len(checked), len(arrived))
	}
	for i, got := range arrived {
		if got.none {
			continue
		}
		if difference := checked[i].differs(got.reading); difference != "" {
			return fmt.Sprintf("request %d, checked and arrived: %s", i, difference)
		}
		if difference := checked[i].planted(got.reading); difference != "" {
			return fmt.Sprintf("request %d, checked and arrived: %s", i, difference)
		}
		if !complete && got.at >= len(sent) {
			continue // behind what the plain reading cannot read
		}
		if got.at >= len(sent) {
			return fmt.Sprintf("request %d was never sent", i)
		}
		if difference := sent[got.at].differs(got.reading); difference != "" {
			return fmt.Sprintf("request %d, sent and arrived: %s", i, difference)
		}
	}
	return ""
}
