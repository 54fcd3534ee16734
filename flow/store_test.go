package flow_test

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/flow"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// asked is an endpoint that is asked without a guard.
type asked struct {
	t testing.TB
	e *flow.Endpoint
}

func (w *world) asked(s flow.Settings) asked {
	w.t.Helper()
	s.API, s.Pattern, s.MaxBody = "shop", "POST /pay", 1<<20
	e, err := flow.New(w.store, s)
	if err != nil {
		w.t.Fatal(err)
	}
	return asked{w.t, e}
}

// begin asks for a request of a client.
func (a asked) begin(client, key string) (pavise.Turn, error) {
	r, err := http.NewRequest(http.MethodPost, "https://api.test/pay", http.NoBody)
	if err != nil {
		a.t.Fatal(err)
	}
	r.Body = shield.NewBody(http.NoBody, 1<<20)
	if key != "" {
		r.Header.Set(flow.KeyHeader, key)
	}
	return a.e.Begin(r, &shield.Identity{Client: client})
}

// carryOut begins and ends a request with an answer.
func (a asked) carryOut(client, key string, body []byte) {
	a.t.Helper()
	turn, err := a.begin(client, key)
	if err != nil || turn.End == nil {
		a.t.Fatalf("begin %s: %v", key, err)
	}
	answer := &pavise.Answer{Status: 200, Header: http.Header{}, Body: body}
	if err := turn.End(pavise.Ended{Status: 200, Whole: true, Answer: answer}); err != nil {
		a.t.Fatal(err)
	}
}

// TestTheJournalDoesNotGrowForEver has many short-lived keys behind one that lives long: the
// files of those that are over go, and the one, its answer and an open sequence stay.
func TestTheJournalDoesNotGrowForEver(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 180 MB, one after another")
	}
	w := newWorld(t)
	w.open()
	long := w.asked(flow.Settings{Idempotency: &flow.Idempotency{Keep: 24 * time.Hour, MaxAnswer: flow.MaxAnswer}})
	short := w.asked(flow.Settings{Idempotency: &flow.Idempotency{Keep: time.Minute, MaxAnswer: flow.MaxAnswer}})
	of := &flow.Sequence{Name: "checkout", Steps: 2, Within: 24 * time.Hour, Per: limit.PerClient, Once: true, Open: 1}
	first, second := w.asked(flow.Settings{Step: &flow.Step{Of: of}}), w.asked(flow.Settings{Step: &flow.Step{Of: of, Index: 1}})
	long.carryOut("a", "long", []byte("the long one"))
	first.carryOut("a", "", nil)
	big := bytes.Repeat([]byte("x"), 900<<10)
	for i := range 200 {
		short.carryOut("b", fmt.Sprint(i), big)
		w.wait(10 * time.Second)
	}
	files, err := filepath.Glob(filepath.Join(w.dir, "*.journal"))
	if err != nil || len(files) > 8 {
		t.Errorf("%d files are left of about 24 (%v)", len(files), err)
	}
	if n := w.store.Keys(); n > 8 || n < 2 {
		t.Errorf("%d keys are known", n)
	}
	for _, restart := range []bool{false, true} {
		if restart {
			if err := w.store.Close(); err != nil {
				t.Fatal(err)
			}
			w.open()
			long = w.asked(flow.Settings{Idempotency: &flow.Idempotency{Keep: 24 * time.Hour, MaxAnswer: flow.MaxAnswer}})
			second = w.asked(flow.Settings{Step: &flow.Step{Of: of, Index: 1}})
		}
		if turn, err := long.begin("a", "long"); err != nil || turn.Earlier == nil || string(turn.Earlier.Body) != "the long one" {
			t.Errorf("restarted %t: the long one: %+v, %v", restart, turn.Earlier, err)
		}
	}
	if _, err := second.begin("a", ""); err != nil {
		t.Errorf("the sequence that was open: %v", err)
	}
}

func TestAClosedStoreLetsNothingPass(t *testing.T) {
	w := newWorld(t)
	w.open()
	a := w.asked(flow.Settings{Idempotency: keys()})
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.begin("a", "k"); err == nil {
		t.Error("a key was given although nothing can be kept")
	}
	if w.store.Keys() != 0 {
		t.Error("and it is known")
	}
}

func TestNobodyHasNoKeys(t *testing.T) {
	w := newWorld(t)
	w.open()
	if _, err := w.asked(flow.Settings{Idempotency: keys()}).begin("", "k"); err == nil {
		t.Error("a stranger has a key, which another stranger could use")
	}
}

func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{`"8e03978e-40d5-43e8-bc93-6894a57f9324"`, "8e03978e", `"a\"b\\"`, `"`, `""`, `"a";b`, " a ", "a b", "\x00", `"\a"`, "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, ok := flow.ParseKey(text)
		if !ok {
			return
		}
		if key == "" || len(key) > 255 {
			t.Fatalf("%q is the key %q", text, key)
		}
		for _, c := range []byte(key) {
			if c < ' ' || c > '~' {
				t.Fatalf("%q is the key %q", text, key)
			}
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, ok := flow.ParseKey(quoted); !ok || again != key {
			t.Fatalf("%q is the key %q, which quoted is %q, %t", text, key, again, ok)
		}
	})
}

// BenchmarkIdempotency is a request with a new key: claimed, on the disk, answered, kept.
func BenchmarkIdempotency(b *testing.B) {
	w := newWorld(b)
	w.open()
	a := w.asked(flow.Settings{Idempotency: &flow.Idempotency{Keep: time.Minute, MaxAnswer: 64 << 10}})
	body := bytes.Repeat([]byte("x"), 1024)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.carryOut("a", fmt.Sprint(i), body)
		w.wait(time.Second)
	}
}

// BenchmarkReplay is a retry whose answer is kept.
func BenchmarkReplay(b *testing.B) {
	w := newWorld(b)
	w.open()
	a := w.asked(flow.Settings{Idempotency: keys()})
	a.carryOut("a", "k", bytes.Repeat([]byte("x"), 1024))
	b.ReportAllocs()
	for b.Loop() {
		if turn, err := a.begin("a", "k"); err != nil || turn.Earlier == nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStep is a sequence of two steps.
func BenchmarkStep(b *testing.B) {
	w := newWorld(b)
	w.open()
	of := &flow.Sequence{Name: "checkout", Steps: 2, Within: time.Hour, Per: limit.PerClient, Once: true, Open: 1}
	first, second := w.asked(flow.Settings{Step: &flow.Step{Of: of}}), w.asked(flow.Settings{Step: &flow.Step{Of: of, Index: 1}})
	b.ReportAllocs()
	for b.Loop() {
		first.carryOut("a", "", nil)
		second.carryOut("a", "", nil)
	}
}

// BenchmarkRefusedStep is what a bot costs that goes straight to the end.
func BenchmarkRefusedStep(b *testing.B) {
	w := newWorld(b)
	w.open()
	of := &flow.Sequence{Name: "checkout", Steps: 2, Within: time.Hour, Per: limit.PerClient, Once: true, Open: 1}
	second := w.asked(flow.Settings{Step: &flow.Step{Of: of, Index: 1}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := second.begin("a", ""); err == nil {
			b.Fatal("it passed")
		}
	}
}
