package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/e2e/person"
)

// Flows are rows whose requests depend on the answers before.
const (
	flowCode    = "code"    // a person who is signed in comes, and the application redeems the code
	flowRefresh = "refresh" // an application goes on, with what the answer before gave it
	flowRenew   = "renew"   // a service renews its certificate
)

// perAddress is how many codes one address asks for: what people see is limited for each
// address, and Linux has all of 127.0.0.0/8.
const perAddress = 100

// flow is one caller of such a row.
type flow struct {
	*load
	client  secret
	cookie  string
	refresh string
	codes   int
	csr     string // base64
}

// flowOf returns nil for rows without a flow.
func (l *load) flowOf() *flow {
	if l.Flow == "" {
		return nil
	}
	if l.Flow == flowRenew {
		return &flow{load: l, csr: l.signingRequest()}
	}
	return &flow{load: l, client: l.Proofs[0], cookie: l.Cookie}
}

// source is the address that the next connection comes from; the zero one: any.
func (f *flow) source(n int64) net.Addr {
	if f == nil {
		return nil
	}
	return &net.TCPAddr{IP: net.IPv4(127, 1+byte(n>>16), byte(n>>8), byte(n))}
}

// step does what comes next, and says how many requests were answered, and whether the
// connection has served its turn.
func (f *flow) step(c *caller) (answered int, spent bool, err error) {
	if f.Flow == flowRenew {
		f.codes++
		return 1, f.codes%perAddress == 0, f.renew(c)
	}
	if f.Flow == flowRefresh && f.refresh != "" {
		return 1, false, f.redeem(c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {f.refresh}})
	}
	code, err := f.authorize(c)
	if err != nil {
		return 0, false, err
	}
	f.codes++
	return 2, f.codes%perAddress == 0, f.redeem(c, person.Redeeming(code))
}

func (f *flow) authorize(c *caller) (code string, err error) {
	answer, err := f.exchange(c, "GET /authorize?"+flowQuery().Encode(), "Cookie: "+f.cookie, "")
	if err != nil {
		return "", err
	}
	to, err := answer.Location()
	if err != nil || to.Query().Get("code") == "" {
		return "", fmt.Errorf("no code: %d to %v", answer.StatusCode, to)
	}
	return to.Query().Get("code"), nil
}

func flowQuery() url.Values { return person.Asking("web", "openid offline_access orders:read") }

func (f *flow) redeem(c *caller, form url.Values) error {
	answer, err := f.exchange(c, "POST /token", "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(f.client.ID+":"+f.client.Secret))+
		"\r\nContent-Type: application/x-www-form-urlencoded", form.Encode())
	if err != nil {
		return err
	}
	var tokens struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&tokens); err != nil || tokens.Refresh == "" {
		return fmt.Errorf("answered %d without tokens (%v)", answer.StatusCode, err)
	}
	f.refresh = tokens.Refresh
	return answer.Body.Close()
}

func (f *flow) exchange(c *caller, what, header, body string) (*http.Response, error) {
	if err := c.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	request := what + " HTTP/1.1\r\nHost: " + f.Name + "\r\nUser-Agent: bench\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n" + header + "\r\n\r\n" + body
	if _, err := c.conn.Write([]byte(request)); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(c.br, nil)
	if err == nil && answer.StatusCode == http.StatusSeeOther {
		err = answer.Body.Close()
	}
	return answer, err
}

// counted counts what is answered.
type counted struct {
	http.RoundTripper
	n *int
}

// RoundTrip implements http.RoundTripper.
func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	*c.n++
	return c.RoundTripper.RoundTrip(r)
}

// person signs somebody in who allows the application everything, and returns the cookies.
func (t *track) person(ctx context.Context, file string, r *running) (cookie string, err error) {
	const password = "otter-marble-lantern-38"
	if _, err := t.pvReads(ctx, file, password, "user", "create", "ann", "--password-stdin"); err != nil {
		return "", err
	}
	transport, err := t.transport(r.open)
	if err != nil {
		return "", err
	}
	defer transport.CloseIdleConnections()
	ann := person.New(counted{transport, &r.asked})
	if _, err := ann.Code("https://"+openHost+"/authorize?"+flowQuery().Encode(), "ann", password); err != nil {
		return "", err
	}
	var all []string
	for _, c := range ann.HTTP.Jar.Cookies(&url.URL{Scheme: "https", Host: openHost, Path: "/"}) {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; "), nil
}
