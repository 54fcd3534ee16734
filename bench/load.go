package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/hmac"
)

// order is what one measurement asks of the load, on its standard input.
type order struct {
	Address string        `json:"address"`
	Name    string        `json:"name"` // of the server: SNI and Host
	Path    string        `json:"path"`
	Proof   string        `json:"proof"`
	Proofs  []secret      `json:"proofs"`
	Body    int           `json:"body"`
	Form    string        `json:"form"` // of a POST by a client of the authorization server
	PEM     string        `json:"pem"`  // private key to which the token is bound
	Flow    string        `json:"flow"`
	Cookie  string        `json:"cookie"` // of somebody who is signed in, for flows
	Fresh   bool          `json:"fresh"`
	Again   bool          `json:"again"`
	CA      string        `json:"ca"`
	Cert    string        `json:"cert"` // of the callers; with Key
	Key     string        `json:"key"`
	PID     int           `json:"pid"` // of the gateway
	Time    time.Duration `json:"time"`
}

// secret is a credential with its id.
type secret struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

const warmUp = time.Second

// loadAsAsked reads an order, loads, and writes the figure.
func loadAsAsked(ctx context.Context, from io.Reader, to io.Writer) error {
	var o order
	if err := json.NewDecoder(from).Decode(&o); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	l, err := newLoad(o)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	f, err := l.measure(ctx)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	return json.NewEncoder(to).Encode(f)
}

// load makes calls in a closed loop: each caller waits for his answer.
type load struct {
	order
	config    *tls.Config
	requests  [][]byte // in turn, where they may repeat
	signers   []shield.Signer
	prover    *dpop.Prover
	body      string
	next      atomic.Int64
	measuring atomic.Bool
	done      atomic.Bool
	agreed    atomic.Pointer[string]
	sources   atomic.Int64
}

func newLoad(o order) (*load, error) {
	l := &load{order: o, body: strings.Repeat("x", o.Body)}
	l.config = &tls.Config{MinVersion: tls.VersionTLS13, ServerName: o.Name, RootCAs: x509.NewCertPool(), NextProtos: []string{"http/1.1"}}
	text, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, err
	}
	if !l.config.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", o.CA)
	}
	if o.Cert != "" {
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		if err != nil {
			return nil, err
		}
		l.config.Certificates = []tls.Certificate{pair}
	}
	return l, l.prepare()
}

// prepare makes the requests that may be sent again and again. Signed ones are used
// once, and made as they are needed.
func (l *load) prepare() error {
	if l.Proof == proofDPoP {
		return l.hold()
	}
	if l.Proof != "hmac" {
		l.requests = make([][]byte, max(1, len(l.Proofs)))
		for i := range l.requests {
			l.requests[i] = l.static(i)
		}
		return nil
	}
	for _, p := range l.Proofs {
		s, err := hmac.Kind().Client(shield.Credential{Kind: "hmac", ID: p.ID, Secret: p.Secret})
		if err != nil {
			return err
		}
		l.signers = append(l.signers, s)
	}
	return nil
}

// static is a request that is the same each time.
func (l *load) static(i int) []byte {
	if l.Form == "" {
		return []byte(l.head("GET", l.credential(i)) + "\r\n")
	}
	p := l.Proofs[i]
	more := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.ID+":"+p.Secret)) +
		"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(l.Form)) + "\r\n"
	return []byte(l.head("POST", more) + "\r\n" + l.Form)
}

// hold takes the key to which the token is bound.
func (l *load) hold() error {
	block, _ := pem.Decode([]byte(l.PEM))
	if block == nil {
		return errors.New("the key of proofs is missing")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("read the key of proofs: %w", err)
	}
	l.prover, err = dpop.NewProver(key, "ES256", time.Now)
	return err
}

// proved is a request with a proof of its own.
func (l *load) proved() ([]byte, error) {
	r, err := http.NewRequest(http.MethodGet, "https://"+l.Name+l.Path, nil)
	if err != nil {
		return nil, err
	}
	token := l.Proofs[0].Secret
	if err := l.prover.Sign(r, token); err != nil {
		return nil, err
	}
	return []byte(l.head("GET", "Authorization: DPoP "+token+"\r\nDPoP: "+r.Header.Get("DPoP")+"\r\n") + "\r\n"), nil
}

func (l *load) credential(i int) string {
	switch l.Proof {
	case "key":
		return "X-API-Key: " + l.Proofs[i].Secret + "\r\n"
	case "":
		return ""
	}
	return "Authorization: Bearer " + l.Proofs[i].Secret + "\r\n"
}

func (l *load) head(method, more string) string {
	if l.Fresh {
		more += "Connection: close\r\n"
	}
	return method + " " + l.Path + " HTTP/1.1\r\nHost: " + l.Name + "\r\nUser-Agent: bench\r\nAccept: */*\r\n" + more
}

// request returns the bytes of the next request.
func (l *load) request() ([]byte, error) {
	n := int(l.next.Add(1))
	if l.prover != nil {
		return l.proved()
	}
	if l.signers == nil {
		return l.requests[n%len(l.requests)], nil
	}
	r, err := http.NewRequest(http.MethodPost, "https://"+l.Name+l.Path, strings.NewReader(l.body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "text/plain")
	if err := l.signers[n%len(l.signers)].Sign(r); err != nil {
		return nil, err
	}
	more := "Content-Type: text/plain\r\nContent-Digest: " + r.Header.Get("Content-Digest") +
		"\r\nAuthorization: " + r.Header.Get("Authorization") + "\r\nContent-Length: " + strconv.Itoa(len(l.body)) + "\r\n"
	return []byte(l.head("POST", more) + "\r\n" + l.body), nil
}

// tally is what one caller has seen.
type tally struct {
	times   []time.Duration // while it was measured
	sent    int             // answered, whenever
	failed  int
	failure string
}

func (l *load) measure(ctx context.Context) (figure, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tallies := make([]tally, callers)
	var all sync.WaitGroup
	for i := range tallies {
		all.Go(func() { l.call(ctx, &tallies[i]) })
	}
	pause(ctx, warmUp)
	before, err := usageOf(l.PID)
	if err != nil {
		return figure{}, err
	}
	began := time.Now()
	l.measuring.Store(true)
	pause(ctx, l.Time)
	after, err := usageOf(l.PID)
	elapsed := time.Since(began)
	l.done.Store(true)
	all.Wait()
	if err != nil {
		return figure{}, err
	}
	f := sum(tallies)
	f.Elapsed, f.CPU, f.Memory = elapsed, after.cpu-before.cpu, after.memory
	if agreed := l.agreed.Load(); agreed != nil {
		f.TLS = *agreed
	}
	return f, ctx.Err()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func sum(tallies []tally) figure {
	var f figure
	var times []time.Duration
	for _, t := range tallies {
		times = append(times, t.times...)
		f.Failed += t.failed
		f.Sent += t.sent
		if f.Failure == "" {
			f.Failure = t.failure
		}
	}
	slices.Sort(times)
	f.Requests, f.P50, f.P99 = len(times), quantile(times, 0.50), quantile(times, 0.99)
	return f
}

// quantile returns the value below which the share q of sorted times lies (nearest rank).
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// call is one caller: it makes one request after another until the end.
func (l *load) call(ctx context.Context, t *tally) {
	var c *caller
	f, config := l.flowOf(), l.config.Clone()
	if l.Again {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1) // each caller has its own
	}
	for !l.done.Load() && ctx.Err() == nil {
		answered, spent := 1, l.Fresh
		request, err := l.request()
		begin := time.Now()
		if err == nil && c == nil {
			c, err = l.connect(ctx, config, f.source(l.sources.Add(1)))
		}
		switch {
		case err != nil:
		case f != nil:
			answered, spent, err = f.step(c)
		default:
			err = c.ask(request)
		}
		if l.measuring.Load() && !l.done.Load() {
			t.times = append(t.times, time.Since(begin))
		}
		if err != nil {
			t.failed++ // while it got warm too
			t.failure = err.Error()
		} else {
			t.sent += answered
		}
		if c != nil && (err != nil || spent) {
			_ = c.conn.Close() // it served its turn
			c = nil
		}
	}
	if c != nil {
		_ = c.conn.Close()
	}
}

type caller struct {
	conn *tls.Conn
	br   *bufio.Reader
}

func (l *load) connect(ctx context.Context, config *tls.Config, from net.Addr) (*caller, error) {
	plain, err := (&net.Dialer{LocalAddr: from}).DialContext(ctx, "tcp", l.Address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	state := conn.ConnectionState()
	agreed := tls.VersionName(state.Version) + ", " + tls.CipherSuiteName(state.CipherSuite) + ", " + state.CurveID.String()
	if l.Again {
		agreed += map[bool]string{true: ", resumed", false: ", not resumed"}[state.DidResume]
		if !state.DidResume && l.measuring.Load() {
			_ = conn.Close() // it is of no use
			return nil, errors.New("the session was not resumed")
		}
	}
	l.agreed.Store(&agreed)
	return &caller{conn, bufio.NewReader(conn)}, nil
}

// ask sends a request and reads the answer, which must be 200 with a known length or
// in chunks.
func (c *caller) ask(request []byte) error {
	if err := c.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	status, length, err := c.head()
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if _, err := c.br.Discard(length); err != nil {
		return fmt.Errorf("body of the answer: %w", err)
	}
	if status != "200" {
		return fmt.Errorf("answered %s", status)
	}
	return nil
}

func (c *caller) head() (status string, length int, err error) {
	length = -1
	for first := true; ; first = false {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return "", 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case first && len(line) >= 12:
			status = string(line[9:12])
		case len(line) == 0 && length < 0:
			return "", 0, fmt.Errorf("%s without Content-Length", status)
		case len(line) == 0:
			return status, length, nil
		case len(line) > 15 && strings.EqualFold(string(line[:15]), "content-length:"):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[15:]))); err != nil {
				return "", 0, err
			}
		}
	}
}
