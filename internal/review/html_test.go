package review_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/review"
)

// pageOf is the page about the shop, and about a client with a name of its own choice.
func pageOf(t testing.TB) string {
	t.Helper()
	g := granted()
	g.Endpoints = append(g.Endpoints, review.Configured{API: "orders", Pattern: "GET /v1/export", Scopes: []string{"export:read"}})
	g.Clients[0].Scopes = append(g.Clients[0].Scopes, "export:read")
	g.Since = map[string]time.Time{"orders " + read: ago(200), "orders " + write: ago(200), "orders " + catalog: ago(200), "orders " + reportOf: ago(200), "orders GET /v1/export": ago(1)}
	for i := range 12 {
		id := fmt.Sprintf("partner-with-a-rather-long-name-%02d", i)
		g.Clients = append(g.Clients, client.Client{ID: id, Scopes: []string{"orders:read", "orders:write", "<b>x</b>"}[:1+i%3], Created: ago(300)})
		g.Credentials = append(g.Credentials, client.Credential{Kind: "api_key", ID: fmt.Sprint("P", i), Client: id, Created: ago(300)})
	}
	u := looked(t, g, old(), asked(ago(20), read, nil))
	var b bytes.Buffer
	if err := u.WriteHTML(&b, u.Report("pavise.yaml", aim()), aim()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestThePageSaysWhatAManagerAsks(t *testing.T) {
	page := pageOf(t)
	for _, want := range []string{
		"From 2026-09-01 12:00Z to 2026-11-30 12:00Z", "what was watched for less than 14 days is not judged",
		`aria-label="1 used, 2 not used, 1 not judged"`, "not used: orders:write, orders:all", `class="idle"`,
		"client shop: takes away orders:write orders:all; keeps orders:read export:read", "endpoint <code>orders POST /v1/orders</code>: takes it out",
		"endpoint orders GET /v1/export <span class=\"note\">new since 2026-11-29</span>", "api_key K4 of fresh", "grant-unused", `aria-label="Findings by severity"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("it does not have %q", want)
		}
	}
	for _, bad := range []string{"<script", "<b>x", "style=", "http://", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("it has %q", bad)
		}
	}
	if i, n := strings.Index(page, `<td class="name">shop`), strings.Index(page, `<td class="name">fresh`); i < 0 || n < i {
		t.Error("who uses less than he has does not stand before who is new")
	}
}
