package admin_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

// What has the form of a secret of signatures is no subject, unless something is called so.
func TestASecretOfSignaturesIsNotKeptAsASubject(t *testing.T) {
	const secret, thumbprint = "Xk3vQ9_mT2bR7wLpZs-4NcYhGdJf8uKeAq1iOo5tUxE", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	w, ctx := newWorld(t), t.Context()
	silences, err := alert.OpenSilences(filepath.Join(t.TempDir(), "silences.json"), time.Now)
	must(t, err)
	w.service.Alerts = func() (*admin.Alerts, error) {
		return &admin.Alerts{Silences: silences, Known: func() []string { return []string{"guessing"} }}, nil
	}
	a := w.client()
	_, err = a.CreateClient(ctx, admin.NewClient{ID: "shop"})
	must(t, err)
	_, _, err = w.service.Registry.AddCredential(ctx, client.Credential{Kind: "api_key", Client: "shop"}, shield.Issued{ID: thumbprint, Material: []byte("m"), Keep: shield.KeepSealed})
	must(t, err)
	for name, n := range map[string]admin.NewSilence{
		"the subject": {Detection: "guessing", Subject: secret, Life: time.Hour, Reason: "a test"},
		"the reason":  {Detection: "guessing", Subject: "shop", Life: time.Hour, Reason: "it is " + secret},
	} {
		_, err := a.Silence(ctx, n)
		if p := problemIn(t, err); p.Code != "secret_given" || !strings.HasPrefix(p.Detail, name) || strings.Contains(p.Detail+p.Hint, secret) {
			t.Errorf("%s: %+v", name, p)
		}
	}
	_, err = a.Silence(ctx, admin.NewSilence{Detection: "guessing", Subject: thumbprint, Life: time.Hour, Reason: "a test"})
	must(t, err)
	if all := silences.All(); len(all) != 1 || all[0].Subject != thumbprint {
		t.Errorf("kept are %+v", all)
	}
	for _, e := range w.events(t) {
		if strings.Contains(e.Target+e.Change+e.Detail, secret) {
			t.Errorf("the log has it: %+v", e)
		}
	}
}
