package pavise_test

import (
	"net/http"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/shield"
)

// reading is a layer that reads the body.
type reading struct {
	trying
	most int64
}

func (r reading) Body() int64 { return r.most }

func TestSeveralLayersInThePlaceOfOne(t *testing.T) {
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	no, denied := shield.Refuse(shield.InvalidInput, "no"), shield.Refuse(shield.Denied, "no")
	trial := func(err error) pavise.Layer {
		return &pavise.Trial{Name: "contract", Layer: trying{err}, Until: now.Add(1)}
	}
	for name, c := range map[string]struct {
		layers pavise.Layers
		status int
		would  string
	}{
		"all accept":                        {pavise.Layers{trying{}, trying{}}, http.StatusOK, ""},
		"none":                              {pavise.Layers{}, http.StatusOK, ""},
		"the first refuses":                 {pavise.Layers{trying{no}, trying{denied}}, http.StatusBadRequest, ""},
		"the last refuses":                  {pavise.Layers{trying{}, trying{denied}}, http.StatusForbidden, ""},
		"the first is on trial":             {pavise.Layers{trial(no), trying{}}, http.StatusOK, "contract invalid_input"},
		"the first is on trial, not others": {pavise.Layers{trial(no), trying{denied}}, http.StatusForbidden, "contract invalid_input"},
	} {
		events := &sink{}
		guard := one(t, events, says{id: shop()}, func(p *pavise.Policy) {
			p.Now = func() time.Time { return now }
			p.APIs[0].Endpoints[0].Validate = c.layers
		})
		if w, e := send(t, guard, events, get("/v1/orders/7"), nil); w.Code != c.status || e.Would != c.would {
			t.Errorf("%s: %d, would %q", name, w.Code, e.Would)
		}
	}
	all := pavise.Layers{reading{most: 3}, trying{}, reading{most: 7}}
	if all.Body() != 7 {
		t.Errorf("%d bytes are read, want 7", all.Body())
	}
	if err := (pavise.Layers{trying{}, trying{denied}}).Check(get("/"), nil); err == nil {
		t.Error("asked outside of a guard, it accepts")
	}
}
