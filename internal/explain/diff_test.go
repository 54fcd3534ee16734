package explain_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/explain"
)

// answers judges each event by its client's name.
type answers map[string]explain.Judgement

func (a answers) Judge(e *audit.Event) explain.Judgement { return a[e.Client] }

func TestADiffSortsRequestsByWhatChanges(t *testing.T) {
	pass := explain.Judgement{Passes: true, API: "orders", Endpoint: "GET /a"}
	scope := explain.Judgement{API: "orders", Endpoint: "GET /a", Step: "access", Code: "insufficient_scope", Why: "missing b"}
	denied := explain.Judgement{API: "orders", Endpoint: "GET /a", Step: "policy", Code: "denied"}
	open := explain.Judgement{Open: "nobody knows"}
	differs := pass
	differs.Unjudged, differs.Differs = []string{"validate"}, []string{"validate"}
	partly := pass
	partly.Unjudged = []string{"validate"}
	own := explain.Judgement{Code: "unknown_endpoint", NotConfigured: true}
	before := answers{"same": pass, "fails": pass, "passes": scope, "other": scope, "open": pass, "opened": open, "contract": pass, "partly": pass, "own": own, "outside": pass, "refused": scope}
	after := answers{"same": pass, "fails": scope, "passes": pass, "other": denied, "open": open, "opened": pass, "contract": differs, "partly": partly, "own": own, "outside": scope, "refused": scope}
	d := explain.NewDiff(before, after)
	for client := range before {
		e := &audit.Event{ID: "id-" + client, Class: audit.Request, Client: client, Proved: true, Decision: audit.Accepted, Step: "proxy", Time: time.Unix(1, 0)}
		if client == "outside" {
			e.Decision, e.Step = audit.Refused, "admit"
		}
		d.Add(e)
	}
	d.Add(&audit.Event{Class: audit.Admin, Client: "fails"})
	d.Add(&audit.Event{Class: audit.Request, Client: "fails", Proved: true, Count: 4, ID: "many", Time: time.Unix(2, 0)})
	found := d.Found(time.Unix(0, 0), time.Unix(9, 0))
	if found.Requests != 15 || found.NewlyFails != 5 || found.NewlyPasses != 1 || found.Otherwise != 2 || found.Same != 3 || found.Judged != 11 {
		t.Errorf("%+v", found)
	}
	if fmt.Sprint(found.NotJudged) != "map[an endpoint of Pavise's own: authorization server, enrolment, metadata:1 nobody knows:2 validate: set otherwise, and what it looks at is not recorded:1]" {
		t.Errorf("not judged: %v", found.NotJudged)
	}
	if found.Partly["validate"] != 1 || len(found.Groups) != 2 {
		t.Fatalf("%+v", found)
	}
	g := found.Groups[0]
	if g.Change != explain.NewlyFails || g.Client != "fails" || g.Count != 5 || g.Code != "insufficient_scope" || fmt.Sprint(g.Samples) != "[id-fails many]" || !g.First.Equal(time.Unix(1, 0)) || !g.Last.Equal(time.Unix(2, 0)) {
		t.Errorf("%+v", g)
	}
	if len(found.Notes) == 0 {
		t.Error("what events cannot tell is not said")
	}
}

// What `pavise attack` sent is nobody's loss or gain: it is counted by itself.
func TestADiffLeavesOutWhatAttacksSent(t *testing.T) {
	pass, refused := explain.Judgement{Passes: true}, explain.Judgement{Code: "insufficient_scope"}
	d := explain.NewDiff(answers{"shop": refused, client.TesterA: refused, client.TesterThroughB: refused}, answers{"shop": pass, client.TesterA: pass, client.TesterThroughB: pass})
	d.Add(&audit.Event{Class: audit.Request, Client: "shop", Proved: true})
	d.Add(&audit.Event{Class: audit.Request, Client: client.TesterA, Proved: true, Count: 3})
	d.Add(&audit.Event{Class: audit.Request, Client: client.TesterThroughB, Proved: true})
	d.Add(&audit.Event{Class: audit.Request, Client: "shop", Proved: true, Note: "tested"})
	found := d.Found(time.Unix(0, 0), time.Unix(9, 0))
	if found.Requests != 6 || found.Judged != 1 || found.NewlyPasses != 1 || len(found.Groups) != 1 || found.NotJudged["sent by `pavise attack`"] != 5 {
		t.Errorf("%+v", found)
	}
}

// flips refuses whatever passed, for a reason of its own each time.
type flips struct {
	passes bool
	n      int
}

func (f *flips) Judge(*audit.Event) explain.Judgement {
	f.n++
	if f.passes {
		return explain.Judgement{Passes: true}
	}
	return explain.Judgement{Code: fmt.Sprintf("c%d", f.n), Why: fmt.Sprintf("reason %d", f.n)}
}

// Whatever a log holds, what is kept of it is bounded, and nothing is lost from the count.
func TestADiffIsBounded(t *testing.T) {
	d := explain.NewDiff(&flips{passes: true}, &flips{})
	e := &audit.Event{Class: audit.Request, Decision: audit.Accepted}
	for i := range 50_000 {
		e.ID = fmt.Sprint(i)
		d.Add(e)
	}
	found := d.Found(time.Time{}, time.Time{})
	counted := found.MoreGroups
	for _, g := range found.Groups {
		counted += g.Count
	}
	if found.NewlyFails != 50_000 || counted != 50_000 || len(found.Groups) > 5000 {
		t.Errorf("%d newly fail, %d in groups, %d groups", found.NewlyFails, counted, len(found.Groups))
	}
	runtime.KeepAlive(d)
}
