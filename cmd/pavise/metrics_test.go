package main

import (
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/admin"
)

func TestStatusAsMetrics(t *testing.T) {
	var b strings.Builder
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	err := writeMetrics(&b, admin.Status{
		Running: true, Clients: 2, Credentials: 3, Faults: map[string]string{"log": "the disk is full"},
		Certificates: []admin.CertificateEnd{{Name: "host a.example", NotAfter: at}, {Name: "client \"x\\\n", NotAfter: at.Add(time.Hour)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"pavise_running 1", "pavise_clients 2", "pavise_credentials 3", `pavise_part_failing{part="log"} 1`,
		`pavise_certificate_not_after_timestamp_seconds{kind="host",name="a.example"} 1.7960832e+09`,
		`pavise_certificate_not_after_timestamp_seconds{kind="clients",name=""} 1.7960868e+09`,
	} {
		if !strings.Contains(b.String(), "\n"+line+"\n") && !strings.HasPrefix(b.String(), line+"\n") {
			t.Errorf("no line %s in\n%s", line, b.String())
		}
	}
	if strings.Contains(b.String(), "disk") {
		t.Error("texts of faults are no labels")
	}
	if strings.Contains(b.String(), `\"x`) {
		t.Error("names of clients are no labels")
	}
}
