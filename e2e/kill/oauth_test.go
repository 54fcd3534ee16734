package kill

import (
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/attacktest"
)

const oauthYAML = `
listen: {https: "%[2]s"}
limits: {wrong_tries: 100000, address: 100000000/minute}
hosts: {127.0.0.1: {certificate: local}}
oauth: {issuer: "https://%[2]s", access_token: 1h}
apis:
  orders:
    host: 127.0.0.1
    upstream: %[1]s
    shield: {any: [jwt: {}, introspect: {}]}
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
scopes: {orders:read: See orders}
`

const password = "planted-heron-copper-52"

// server is an installation that is an authorization server, with a person who is signed
// in and has allowed the application web everything before.
type server struct {
	*installation
	secrets map[string]string
	person  *person.Person
}

func serveOAuth(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free: the issuer's name holds it
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := &server{installation: installWith(t, strings.ReplaceAll(strings.ReplaceAll(oauthYAML, "%[2]s", address), "%[1]s", "%s")), secrets: map[string]string{}}
	s.secrets["web"] = s.must("client", "create", "web", "--scope", "orders:read", "--oauth", "--redirect", person.Back, "-q")
	s.secrets["machine"] = s.must("client", "create", "machine", "--scope", "orders:read", "--oauth", "-q")
	s.secrets["opaque"] = s.must("client", "create", "opaque", "--scope", "orders:read", "--oauth", "--tokens", "opaque", "-q")
	cmd := exec.Command(s.program, "user", "create", "ann", "--password-stdin")
	cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(password)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.start()
	s.person = person.New(&http.Transport{TLSClientConfig: s.tls, DisableKeepAlives: true})
	if code := s.code(); code == "" {
		t.Fatal("no code is given out")
	}
	s.kill()
	return s
}

// code takes the person through an authorization; empty if the server went away.
func (s *server) code() string {
	code, _ := s.person.Code("https://"+s.address+"/authorize?"+person.Asking("web", "orders:read").Encode(), "ann", password) // empty then
	return code
}

// post sends a form as a client; a status of 0 says that there was no answer.
func (s *server) post(path, client string, form url.Values) (map[string]any, int) {
	r, err := http.NewRequest(http.MethodPost, "https://"+s.address+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, 0
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client, s.secrets[client])
	bare := http.Client{Transport: s.person.HTTP.Transport, Timeout: 10 * time.Second}
	answer, err := bare.Do(r)
	if err != nil {
		return nil, 0
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, 0
	}
	all := map[string]any{}
	_ = json.Unmarshal(text, &all) // empty for /revoke
	return all, answer.StatusCode
}

func (s *server) redeem(code string) (map[string]any, int) {
	return s.post("/token", "web", person.Redeeming(code))
}

func (s *server) refresh(token string) (map[string]any, int) {
	return s.post("/token", "web", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func withToken(token string) func(*http.Request) error {
	return func(r *http.Request) error { r.Header.Set("Authorization", "Bearer "+token); return nil }
}

// granted is what the server answered for.
type granted struct {
	mu      sync.Mutex
	code    []string // not redeemed, unless a try had no answer
	spent   []string // codes and refresh tokens that were taken
	refresh []string // newest of their grants
	access  []string
	revoked []string
}

func (g *granted) add(list *[]string, value any) {
	text, _ := value.(string)
	g.mu.Lock()
	defer g.mu.Unlock()
	*list = append(*list, text)
}

func TestNoGrantAnsweredForIsLostByKill9(t *testing.T) {
	attacktest.Rows(t, 49, 54)
	enough, most := 4, 20
	if testing.Short() {
		enough = 1
	}
	s := serveOAuth(t)
	done := map[string]int{}
	kills := 0
	for ; kills < enough || kills < most && slices.Contains(slices.Collect(maps.Values(done)), 0); kills++ { // a busy machine does little in a round
		s.start()
		g := s.storm(kills, time.Duration(700+kills*331%900)*time.Millisecond)
		s.hold(t, g)
		for name, list := range map[string][]string{"codes": g.code, "spent": g.spent, "refresh tokens": g.refresh, "access tokens": g.access, "revoked": g.revoked} {
			done[name] += len(list)
		}
	}
	for name, n := range done {
		if n == 0 {
			t.Errorf("no %s: too little was done", name)
		}
	}
	t.Logf("over %d kills: %v", kills, done)
}

// storm redeems, refreshes, issues and revokes until the kill. What becomes of its first code
// depends on the round.
func (s *server) storm(round int, life time.Duration) *granted {
	g, stop := &granted{}, make(chan struct{})
	time.AfterFunc(life, func() { s.kill(); close(stop) })
	var all sync.WaitGroup
	all.Go(func() { // people
		for n := round; running(stop) && n < round+60; n++ {
			code := s.code()
			switch {
			case code == "":
			case n%4 == 3:
				g.add(&g.code, code)
			default:
				s.use(g, code)
			}
		}
	})
	for _, client := range []string{"machine", "opaque"} {
		all.Go(func() {
			for n := 0; running(stop); n++ {
				answer, status := s.post("/token", client, url.Values{"grant_type": {"client_credentials"}})
				if status != http.StatusOK {
					continue
				}
				token := answer["access_token"]
				if n%2 == 0 {
					g.add(&g.access, token)
					continue
				}
				text, _ := token.(string)
				if _, status := s.post("/revoke", client, url.Values{"token": {text}}); status == http.StatusOK {
					g.add(&g.revoked, token)
				}
			}
		})
	}
	all.Wait()
	<-stop
	return g
}

// use redeems a code and refreshes what comes of it. What had no answer promises nothing.
func (s *server) use(g *granted, code string) {
	answer, status := s.redeem(code)
	if status != http.StatusOK {
		return
	}
	g.add(&g.spent, code)
	g.add(&g.access, answer["access_token"])
	token, _ := answer["refresh_token"].(string)
	next, status := s.refresh(token)
	switch status {
	case http.StatusOK:
		g.add(&g.spent, token)
		g.add(&g.refresh, next["refresh_token"])
		g.add(&g.access, next["access_token"])
	case 0: // perhaps it was taken
	default:
		g.add(&g.refresh, token)
	}
}

// hold starts the program again and holds it to what it had answered for. What is spent is
// tried last: whoever tries it ends its grant.
func (s *server) hold(t *testing.T, g *granted) {
	t.Helper()
	s.start()
	defer s.kill()
	for _, token := range g.access {
		if status := s.send(s.request(withToken(token))); status != http.StatusOK {
			t.Errorf("an access token that was given out is answered %d", status)
		}
	}
	for _, token := range g.revoked {
		if status := s.send(s.request(withToken(token))); status != http.StatusUnauthorized {
			t.Errorf("an access token that was revoked is answered %d", status)
		}
	}
	for _, code := range g.code {
		if answer, status := s.redeem(code); status != http.StatusOK {
			t.Errorf("a code that was given out is answered %d %v", status, answer)
		}
	}
	for _, token := range g.refresh {
		if answer, status := s.refresh(token); status != http.StatusOK {
			t.Errorf("a refresh token that was given out is answered %d %v", status, answer)
		}
	}
	for _, secret := range slices.Concat(g.spent, g.code, g.refresh) {
		_, asCode := s.redeem(secret)
		_, asToken := s.refresh(secret)
		if asCode != http.StatusBadRequest || asToken != http.StatusBadRequest {
			t.Errorf("what was spent is answered %d as a code, %d as a refresh token", asCode, asToken)
		}
	}
	if out, err := s.run("log", "verify"); err != nil {
		t.Errorf("log verify: %v\n%s", err, out)
	}
}
