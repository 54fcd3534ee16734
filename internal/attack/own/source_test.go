package own_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/shield"
)

const oneAddress = `
listen: {https: "{{address}}:{{port}}"}
hosts: {"{{address}}": {certificate: local}}
oauth: {issuer: "https://{{address}}:{{port}}"}
fetch: {allow: ["{{address}}"]}
apis:
  orders:
    host: "{{address}}"
    upstream: "{{upstream}}"
    endpoints:
      GET /v1/orders: {shield: {any: [jwt, api_key]}, scopes: [orders:read]}
      POST /v1/orders: {shield: hmac, scopes: [orders:write]}
scopes: {orders:read: See orders, orders:write: Place orders}
`

// TestFromOneAddressNobodyIsLockedOut: where there is no other address to send from, the test keeps below the
// lock-out, with a neighbour at the same address who has a broken key.
func TestFromOneAddressNobodyIsLockedOut(t *testing.T) {
	fromOneAddress(t, "127.0.0.1", func(g *own.Gateway) { g.From = netip.MustParsePrefix("127.0.0.1/32") })
}

// inside says that the test runs within a network of its own.
const inside = "PAVISE_TEST_NETWORK"

// TestFromAnotherAddressNobodyIsLockedOut is the same in a network of its own, whose address is none of
// 127.0.0.0/8: as a gateway that listens where others reach it.
func TestFromAnotherAddressNobodyIsLockedOut(t *testing.T) {
	const address = "198.51.100.7"
	if os.Getenv(inside) != "" {
		fromOneAddress(t, address, func(*own.Gateway) {})
		return
	}
	const enter = `ip link set lo up && ip address add ` + address + `/32 dev lo`
	if out, err := exec.Command("unshare", "-n", "sh", "-c", enter).CombinedOutput(); err != nil {
		t.Skipf("no network of its own can be had here: %v %s", err, out)
	}
	again := exec.CommandContext(t.Context(), "unshare", "-n", "sh", "-c", enter+` && exec "$0" "$@"`, os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), inside+"=yes")
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

func fromOneAddress(t *testing.T, address string, change func(*own.Gateway)) {
	t.Helper()
	c := newClock()
	i := installOn(t, c, strings.ReplaceAll(oneAddress, "{{address}}", address), nil)
	f := i.load(t, "pavise.yaml")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: localCA(t, f)}}
	defer transport.CloseIdleConnections()
	neighbour, wrong, refused := &http.Client{Transport: transport}, 0, 0
	last := c.Now()
	c.step, c.then = 2*time.Second, func(ctx context.Context) {
		if c.Now().Sub(last) < time.Minute {
			return
		}
		last = c.Now()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+f.Listen.HTTPS+"/v1/orders", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Api-Key", "pvs_live_pavise0broken0pavise0broken")
		answer, err := neighbour.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if wrong++; answer.StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	began := c.Now()
	report, outcomes := i.attack(t, "pavise.yaml", 0, func(g *own.Gateway) { c.on(g); change(g) })
	if wrong == 0 || refused > 0 {
		t.Errorf("%d of %d tries of a neighbour were locked out", refused, wrong)
	}
	if len(report.Findings) > 0 || len(report.Unjudged) > len(outcomes)/2 {
		show(t, report)
		t.Errorf("%d of %d cases came to no verdict", len(report.Unjudged), len(outcomes))
	}
	if err := i.running.App().State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	locked, err := audit.Search(t.Context(), f.Log.Folder, audit.Query{Code: string(shield.LockedOut)})
	if err != nil || len(locked) > 0 {
		t.Errorf("locked out %d times, %v", len(locked), err)
	}
	t.Logf("%s, in %s of the test's time", report.About, c.Now().Sub(began).Round(time.Second))
}
