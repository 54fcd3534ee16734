package shield_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
)

func TestRecordIsUsableOnlyAsItSays(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	good := shield.Record{Kind: "api_key", ID: "k1", Client: &shield.Client{ID: "shop"}}
	tests := []struct {
		name   string
		change func(*shield.Record)
		want   shield.Code
	}{
		{"good", func(*shield.Record) {}, ""},
		{"revoked", func(r *shield.Record) { r.Revoked = now.Add(-time.Second) }, shield.RevokedCredential},
		{"expired this moment", func(r *shield.Record) { r.Expires = now }, shield.ExpiredCredential},
		{"expires in a second", func(r *shield.Record) { r.Expires = now.Add(time.Second) }, ""},
		{"not yet valid", func(r *shield.Record) { r.NotBefore = now.Add(time.Second) }, shield.ExpiredCredential},
		{"client disabled", func(r *shield.Record) { r.Client = &shield.Client{ID: "shop", Disabled: true} }, shield.DisabledClient},
		{"no client", func(r *shield.Record) { r.Client = nil }, shield.DisabledClient},
		{"inside its networks", func(r *shield.Record) { r.Networks = shield.Networks{netip.MustParsePrefix("192.0.2.0/24")} }, ""},
		{"outside its networks", func(r *shield.Record) { r.Networks = shield.Networks{netip.MustParsePrefix("10.0.0.0/8")} }, shield.ForbiddenNetwork},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			record := good
			test.change(&record)
			err := record.Keep(nil, nil, nil).Usable(now, httptest.NewRequest("GET", "/", nil))
			refusal, _ := errors.AsType[*shield.Refusal](err)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (refusal == nil || refusal.Code != test.want || !refusal.Proved):
				t.Errorf("%v, want %s of a proved credential", err, test.want)
			}
		})
	}
}

func TestRecordPrintsNoSecret(t *testing.T) {
	record := shield.Record{Kind: "hmac", ID: "k1"}.Keep(nil, []byte("planted-secret"), nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		printed := fmt.Sprintf(verb+" "+verb, record, struct{ R *shield.Record }{record})
		if strings.Contains(printed, "planted") || strings.Contains(printed, "706c616e746564") {
			t.Errorf("%s prints %s", verb, printed)
		}
	}
}
