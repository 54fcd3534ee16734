package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/authserver/grants"
)

const withGrants = `hosts: {127.0.0.1: {certificate: local}}
oauth: {issuer: "https://127.0.0.1:8443"}
apis:
  orders:
    host: 127.0.0.1
    upstream: http://127.0.0.1:9
    shield: jwt
    endpoints: {GET /v1/orders: {scopes: [orders:read]}}
scopes: {orders:read: See orders}
`

// granted is an installation with a registered client, to which somebody has granted something.
func granted(t *testing.T) (file, store string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "pavise.yaml")
	if err := os.WriteFile(file, []byte(withGrants), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := pavise(t, "client", "create", "shop", "-c", file, "--scope", "orders:read", "--oauth", "--redirect", "https://shop.example/cb", "-q"); code != 0 {
		t.Fatalf("%d %s", code, errs)
	}
	f, err := app.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := app.OpenState(t.Context(), f, app.StateOptions{Now: time.Now, Warn: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := grants.New(grants.Options{Records: s.Registry.Records(), Now: time.Now, Revoked: func(context.Context, *grants.Grant, string) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, id := range []string{"g-1", "g-2"} {
		err := kept.Open(t.Context(), &grants.Grant{ID: id, Client: "shop", Subject: "ann", Created: now, Ends: now.Add(time.Hour)}, grants.Key{Kind: grants.Refresh, Secret: "secret of " + id, Ends: now.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return file, filepath.Join(f.State.Folder, "store.db")
}

// in does something to a store that nobody else would.
func in(t *testing.T, store, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", store)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// What is ended in part is told, and proved; the next call ends the rest, with evidence of its own.
func TestALostCredentialEndsInPartAndThenWhole(t *testing.T) {
	file, store := granted(t)
	t.Chdir(filepath.Dir(file))
	in(t, store, `CREATE TRIGGER full BEFORE UPDATE ON row WHEN NEW.tbl = 'oauth.grant' AND NEW.id = 'g-2' BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
	lose := []string{"review", "--lost", "shop", "--kind", "oauth", "--end", "--reason", "laptop stolen", "--yes", "-c", file}
	code, _, errs := pavise(t, "review", "--lost", "shop", "--kind", "oauth", "--end", "--reason", "Xk3vQ9_mT2bR7wLpZs-4NcYhGdJf8uKeAq1iOo5tUxE", "--yes", "-c", file)
	if _, err := os.Stat("evidence-shop"); code != exitRefused || !strings.Contains(errs, "the form of a secret") || !os.IsNotExist(err) {
		t.Errorf("refused with %d %s, and the folder: %v", code, errs, err)
	}
	code, out, errs := pavise(t, lose...)
	if code != exitFailed {
		t.Errorf("it ends with %d", code)
	}
	for _, want := range []string{"ended: oauth shop", "ended: grant g-1", "ended: all tokens of client shop", "NOT ENDED: grant g-2", "because: ", "Evidence is in evidence-shop."} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if !strings.Contains(errs, "not ended: grant g-2") || !strings.Contains(errs, "run it again") {
		t.Errorf("the error is %s", errs)
	}
	proved(t, file, "evidence-shop", "grant g-2")
	if code, _, errs := pavise(t, append(lose, "--evidence", "evidence-shop")...); code != exitUsage || !strings.Contains(errs, "nothing was done") {
		t.Errorf("into a folder that is there: %d %s", code, errs)
	}
	in(t, store, "DROP TRIGGER full")
	code, out, errs = pavise(t, lose...)
	if code != 0 || !strings.Contains(out, "over before: oauth shop") || !strings.Contains(out, "ended: grant g-2") || strings.Contains(out, "NOT ENDED") {
		t.Errorf("asked again: %d %s\n%s", code, errs, out)
	}
	proved(t, file, "evidence-shop-2", "")
}

// proved verifies a folder of evidence as somebody elsewhere would.
func proved(t *testing.T, file, folder, left string) {
	t.Helper()
	_, key, _ := pavise(t, "log", "key", "--note", "-c", file)
	if code, _, errs := pavise(t, "log", "verify", filepath.Join(folder, recordFile), "--key", strings.TrimSpace(key), "-c", file); code != 0 {
		t.Errorf("%s does not verify: %s", folder, errs)
	}
	text, err := os.ReadFile(filepath.Join(folder, lostFile))
	if err != nil {
		t.Fatal(err)
	}
	var report lostReport
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(report.Ended.Left, " "); got != left || (report.Fault != "") != (left != "") {
		t.Errorf("%s says that %q is left, want %q: %q", folder, got, left, report.Fault)
	}
}
