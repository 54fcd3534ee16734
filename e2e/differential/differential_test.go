// Package differential compares three readings of the same bytes: by the plainest
// reading of RFC 9112 there is, by the guard that judged them, and by upstreams that
// nobody here wrote. Whatever is judged must be what was sent, and what arrives must be
// what was judged: that is where request smuggling ends.
//
// DIFFERENTIAL is how many requests each upstream gets (default 2,000), and
// DIFFERENTIAL_SEED where the seeds begin (default 1; each of the eight
// workers has its own, counted up from it). A connection on which
// two readings differ is written to testdata/seeds, and read again by every run.
package differential

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
	attacktest.Rows(t, 114, 117, 160)
	for name, start := range map[string]func(*testing.T) upstream{"go": goUpstream, "node": nodeUpstream, "nginx": nginxUpstream} {
		t.Run(name, func(t *testing.T) {
			u := start(t)
			r := &run{t: t, door: startChain(t, u.url)}
			for _, text := range append(classics(), kept(t)...) {
				r.connection(text)
			}
			seed := number(t, "DIFFERENTIAL_SEED", 1)
			r.many(seed, number(t, "DIFFERENTIAL", 2000))
			r.total(seed, u.seen(t))
		})
	}
}

// The same through the whole program, over TLS: three APIs of one host, by their paths.
// It gets a tenth of the requests; handshakes take their time.
func TestDifferentialProgram(t *testing.T) {
	attacktest.Rows(t, 114, 117, 160)
	upstreams := map[string]upstream{"/go": goUpstream(t), "/node": nodeUpstream(t), "/nginx": nginxUpstream(t)}
	door := startProgram(t, upstreams)
	for prefix, u := range upstreams {
		t.Run(prefix[1:], func(t *testing.T) {
			r := &run{t: t, door: door, prefix: prefix}
			seed := number(t, "DIFFERENTIAL_SEED", 1)
			r.many(seed, number(t, "DIFFERENTIAL", 2000)/10)
			r.total(seed, u.seen(t))
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
	t      *testing.T
	door   door
	prefix string // of every path

	sent, connections, accepted, refused, declined, early, sentinels atomic.Int64

	mu    sync.Mutex
	found int
}

// workers is how many callers send at once.
const workers = 8

// many makes connections until so many requests were sent. The same seed sends the same.
func (r *run) many(seed, requests uint64) {
	var all sync.WaitGroup
	for worker := range uint64(workers) {
		all.Go(func() {
			g := newGenerator(seed + worker)
			if g.prefix = r.prefix; g.prefix != "" {
				g.most = 24 // a handshake is dear
			}
			for sent := uint64(0); sent < requests/workers && !r.failed(); {
				sent += r.connection(g.connection())
			}
		})
	}
	all.Wait()
}

// total says what came of it, and holds the upstream's count against ours.
func (r *run) total(seed uint64, seen int64) {
	r.t.Logf("seed %d: %d requests on %d connections, %d accepted, %d refused, %d refused by the upstream, %d connections ended early",
		seed, r.sent.Load(), r.connections.Load(), r.accepted.Load(), r.refused.Load(), r.declined.Load(), r.early.Load())
	if want := r.accepted.Load(); seen != want {
		r.t.Errorf("%d whole requests arrived, %d were answered: somebody saw one more, or one less", seen, want)
	}
	if r.accepted.Load() == 0 || r.refused.Load() == 0 {
		r.t.Error("nothing was accepted, or nothing refused: this shows little")
	}
}

func (r *run) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.found >= 10
}

// connection sends one connection's bytes and compares. What differs is kept.
func (r *run) connection(text string) (requests uint64) {
	requests, difference := r.send(text)
	if difference == "" {
		return requests
	}
	r.mu.Lock()
	r.found++
	first := r.found <= 3
	r.mu.Unlock()
	if first {
		text, difference = r.smallest(text, difference)
	}
	r.report(text, difference)
	return requests
}

// send says in what the readings of one connection differ. Behind whole requests comes
// one that must arrive unless one before it was refused: nothing may have eaten it. Bytes
// that end in the middle of a request end there, and must never arrive as one.
func (r *run) send(text string) (requests uint64, difference string) {
	sent, how := strictly(text)
	bytes := text
	if how != wants {
		sentinel := fmt.Sprintf("GET %s/sentinel/%d HTTP/1.1\r\nHost: api.example.com\r\n\r\n", r.prefix, r.sentinels.Add(1))
		bytes += sentinel
		if how == whole {
			more, _ := strictly(sentinel)
			sent = append(sent, more...)
		}
	}
	r.connections.Add(1)
	requests = uint64(max(1, len(sent)))
	r.sent.Add(int64(requests))
	return requests, r.compare(bytes, sent, how)
}

// smallest cuts pieces out of a connection as long as its readings still differ, with at
// most 500 tries and for half a minute.
func (r *run) smallest(text, difference string) (string, string) {
	tries, end := 500, time.Now().Add(30*time.Second)
	for size := len(text) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(text); {
			if tries--; tries < 0 || time.Now().After(end) {
				return text, difference
			}
			shorter := text[:at] + text[at+size:]
			if _, still := r.send(shorter); still != "" {
				text, difference = shorter, still
			} else {
				at += size
			}
		}
	}
	return text, difference
}

func (r *run) report(text, difference string) {
	r.mu.Lock()
	defer r.mu.Unlock()
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
const patience = 10 * time.Second

// compare returns in what the readings of one connection differ.
func (r *run) compare(text string, sent []reading, how end) string {
	conn, err := r.door.dial()
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err.Error()
	}
	go func() { _, _ = io.WriteString(conn, text) }() // ends with the connection, which may be closed at any time
	arrived, statuses, err := answers(conn, sent, how)
	var checked []reading
	if r.door.witness != nil {
		checked = r.door.witness.take(conn.LocalAddr().String())
	}
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
	if how != broken && len(statuses) < len(sent) {
		r.early.Add(1)
	}
	difference := compareSent(sent, arrived, how)
	if r.door.witness != nil && difference == "" {
		difference = compareChecked(checked, arrived)
	}
	if difference != "" {
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
func answers(conn net.Conn, sent []reading, how end) (arrived []saw, statuses []int, err error) {
	br := bufio.NewReader(conn)
	for {
		if how == wants && len(statuses) == len(sent) {
			if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				return arrived, statuses, nil // it was closed
			}
		}
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
			if strings.Contains(r.Target, "/sentinel/") {
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

// compareChecked holds what was judged against what arrived, in order. The last one
// that was judged may have ended before it was whole.
func compareChecked(checked []reading, arrived []saw) string {
	if n := len(checked) - len(arrived); n < 0 || n > 1 {
		return fmt.Sprintf("%d requests were checked and %d arrived", len(checked), len(arrived))
	}
	for i, got := range arrived {
		if got.none {
			continue
		}
		difference := checked[i].differs(got.reading)
		if difference == "" {
			difference = checked[i].planted(got.reading)
		}
		if difference != "" {
			return fmt.Sprintf("request %d, checked and arrived: %s", i, difference)
		}
	}
	return ""
}

// compareSent holds what was sent against what arrived. What the plain reading cannot
// read must be refused, and so must everything behind it.
func compareSent(sent []reading, arrived []saw, how end) string {
	for _, got := range arrived {
		switch {
		case got.none && (got.at < len(sent) || how == wants):
			continue // an upstream may refuse a request before its body has come
		case got.at >= len(sent):
			return fmt.Sprintf("request %d is none, and arrived", got.at)
		}
		difference := sent[got.at].differs(got.reading)
		if difference == "" {
			difference = sent[got.at].planted(got.reading)
		}
		if difference != "" {
			return fmt.Sprintf("request %d, sent and arrived: %s", got.at, difference)
		}
	}
	return ""
}
