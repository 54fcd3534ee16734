package flow_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/flow"
	"pavise.dev/pavise/limit"
)

// TestAModelAgrees does what chance says, with restarts in between, and holds the store to a
// model of what was done: no key carried out twice, no step taken out of turn, every kept
// answer the first one.
func TestAModelAgrees(t *testing.T) {
	steps, seed := 3000, rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	w.change = func(o *flow.Options) { o.MaxKeys, o.MaxRuns = 1000, 1000 }
	w.open()
	of := &flow.Sequence{Name: "checkout", Steps: 3, Within: time.Hour, Per: limit.PerClient, Once: true, Open: 1}
	type known struct {
		answer string
		until  time.Time
		lost   bool
	}
	keysOf, done, until := map[string]known{}, map[string]int{}, map[string]time.Time{}
	for n := range steps {
		client := fmt.Sprint(chance.IntN(3))
		switch chance.IntN(12) {
		case 0:
			w.wait(time.Duration(chance.IntN(20)) * time.Minute)
		case 1:
			if err := w.store.Close(); err != nil {
				t.Fatal(err)
			}
			w.open()
		case 2, 3, 4, 5, 6:
			key := fmt.Sprint(chance.IntN(5))
			a := w.asked(flow.Settings{Idempotency: keys()})
			was, ok := keysOf[client+key]
			ok = ok && was.until.After(w.now())
			turn, err := a.begin(client, key)
			switch {
			case ok && was.lost && err == nil, ok && !was.lost && (err != nil || turn.Earlier == nil || string(turn.Earlier.Body) != was.answer),
				!ok && (err != nil || turn.End == nil):
				t.Fatalf("step %d: key %s of %s, known %t %+v: %+v, %v", n, key, client, ok, was, turn, err)
			case ok:
				continue
			}
			answer := fmt.Sprint("answer ", n)
			ended := pavise.Ended{Status: 200, Whole: true, Answer: &pavise.Answer{Status: 200, Header: http.Header{}, Body: []byte(answer)}}
			is := known{answer: answer, until: w.now().Add(time.Hour)}
			switch chance.IntN(3) {
			case 0:
				ended, is.lost = pavise.Ended{}, true
			case 1:
				ended, is = pavise.Ended{Unsent: true}, known{}
			}
			if err := turn.End(ended); err != nil {
				t.Fatal(err)
			}
			keysOf[client+key] = is
		default:
			index := chance.IntN(3)
			a := w.asked(flow.Settings{Step: &flow.Step{Of: of, Index: index}})
			turn, err := a.begin(client, "")
			may := index == 0 || done[client] == index && until[client].After(w.now())
			if may != (err == nil) {
				t.Fatalf("step %d: step %d of %s, of which %d are done until %s at %s: %v", n, index+1, client, done[client], until[client], w.now(), err)
			}
			if !may {
				continue
			}
			ended, next := pavise.Ended{Status: 200, Whole: true}, index+1
			switch chance.IntN(4) {
			case 0:
				ended, next = pavise.Ended{Status: 402, Whole: true}, done[client]
			case 1:
				ended, next = pavise.Ended{}, 0
				if index == 0 {
					next = done[client]
				}
			default:
				until[client] = w.now().Add(time.Hour)
			}
			if err := turn.End(ended); err != nil {
				t.Fatal(err)
			}
			done[client] = next
		}
	}
}
