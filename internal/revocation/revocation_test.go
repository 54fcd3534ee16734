package revocation_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/revocation"
)

func TestResponderIsAskedOnceAndAgain(t *testing.T) {
	attacktest.Rows(t, 77)
	w := newWorld(t)
	good, lost := w.ca.leaf(), w.ca.leaf()
	w.put(w.question(good), w.ca.answer(good, ocsp.Good, w.Now(), 4*time.Hour))
	w.put(w.question(lost), w.ca.answer(lost, ocsp.Revoked, w.Now(), 4*time.Hour))
	c := w.checker()
	for range 5 {
		w.want("a good one", c, good, "good")
		w.want("a revoked one", c, lost, "revoked")
	}
	if n := w.times("ocsp.example"); n != 2 {
		t.Errorf("asked %d times", n)
	}
	w.forward(time.Hour + time.Second)
	w.put(w.question(good), w.ca.answer(good, ocsp.Revoked, w.Now(), 4*time.Hour))
	w.want("revoked in the meantime", c, good, "revoked")
	w.want("and it stays", c, good, "revoked")
	w.forward(100 * time.Hour)
	w.away(errors.New("away"))
	w.want("an old word that it is revoked", c, lost, "revoked")
	w.away(nil)
	w.put(w.question(lost), w.ca.answer(lost, ocsp.Good, w.Now(), 4*time.Hour))
	w.forward(time.Minute)
	w.want("until there is a newer one", c, lost, "good")
}

func TestWhatIsKnownServesWhileNobodyAnswers(t *testing.T) {
	w := newWorld(t)
	leaf := w.ca.leaf()
	w.put(responder, w.ca.answer(leaf, ocsp.Good, w.Now(), 4*time.Hour))
	c := w.checker(only(revocation.OCSP))
	w.want("asked", c, leaf, "good")
	w.away(errors.New("the responder is away"))
	w.forward(2 * time.Hour)
	before := w.times("ocsp.example")
	for range 10 {
		w.want("old, and still good", c, leaf, "good")
	}
	if n := w.times("ocsp.example") - before; n != 1 {
		t.Errorf("asked %d times within the same moment", n)
	}
	w.forward(2 * time.Hour)
	w.want("ended", c, leaf, "the responder is away")
	before = w.times("ocsp.example")
	w.want("left alone after it failed", c, leaf, "the responder is away")
	if n := w.times("ocsp.example") - before; n != 0 {
		t.Errorf("asked %d times", n)
	}
	w.away(nil)
	w.put(responder, w.ca.answer(leaf, ocsp.Good, w.Now(), 4*time.Hour))
	w.forward(11 * time.Second)
	w.want("there again", c, leaf, "good")
}

func TestAnswersThatSayNothing(t *testing.T) {
	attacktest.Rows(t, 77)
	w := newWorld(t)
	stranger, twin := newAuthority(t, w.now, "Strangers", nil), newAuthority(t, w.now, "Partners", nil)
	leaf := w.ca.leaf()
	now := w.Now()
	sibling := func(change func(*x509.Certificate)) func() []byte {
		return func() []byte {
			cert, key := w.ca.pair(change)
			return answerBy(t, cert, &authority{TB: t, cert: w.ca.cert, key: key}, leaf, ocsp.Good, now, time.Hour, func(r *ocsp.Response) { r.Certificate = cert })
		}
	}
	for name, c := range map[string]struct {
		der  func() []byte
		want string
	}{
		"good":                              {func() []byte { return w.ca.answer(leaf, ocsp.Good, now, time.Hour) }, "good"},
		"by whom it was certified for that": {sibling(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }), "good"},
		"by another certificate of the authority": {sibling(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "may not sign"},
		"by one without any usage":                {sibling(func(*x509.Certificate) {}), "may not sign"},
		"by one for that which has ended": {sibling(func(c *x509.Certificate) {
			c.ExtKeyUsage, c.NotAfter = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, now.Add(-time.Second)
		}), "not in force"},
		"by an authority below": {sibling(func(c *x509.Certificate) {
			c.ExtKeyUsage, c.IsCA, c.BasicConstraintsValid = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, true, true
		}), "may not make signatures"},
		"by a stranger for that": {func() []byte {
			cert, key := stranger.pair(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} })
			return answerBy(t, cert, &authority{TB: t, cert: w.ca.cert, key: key}, leaf, ocsp.Good, now, time.Hour, func(r *ocsp.Response) { r.Certificate = cert })
		}, "not certified by the authority"},
		"of a stranger":               {func() []byte { return stranger.answer(leaf, ocsp.Good, now, time.Hour) }, "verification failure"},
		"of another one of that name": {func() []byte { return twin.answer(leaf, ocsp.Good, now, time.Hour) }, "verification failure"},
		"about another certificate":   {func() []byte { return w.ca.answer(w.ca.leaf(), ocsp.Good, now, time.Hour) }, "no response matching"},
		"about one of another authority": {func() []byte {
			return answerBy(t, w.ca.cert, &authority{TB: t, cert: stranger.cert, key: w.ca.key}, leaf, ocsp.Good, now, time.Hour)
		}, "another authority"},
		"old":                            {func() []byte { return w.ca.answer(leaf, ocsp.Good, now.Add(-time.Hour), time.Hour) }, "ended"},
		"of the future":                  {func() []byte { return w.ca.answer(leaf, ocsp.Good, now.Add(10*time.Minute), time.Hour) }, "begins"},
		"a clock that is a minute ahead": {func() []byte { return w.ca.answer(leaf, ocsp.Good, now.Add(time.Minute), time.Hour) }, "good"},
		"unknown":                        {func() []byte { return w.ca.answer(leaf, ocsp.Unknown, now, time.Hour) }, "does not know"},
		"unauthorized":                   {func() []byte { return ocsp.UnauthorizedErrorResponse }, "unauthorized"},
		"HTML":                           {func() []byte { return []byte("<html>") }, "asn1"},
		"a megabyte":                     {func() []byte { return make([]byte, 1<<20) }, "too long"},
	} {
		w.put(responder, c.der())
		w.want(name, w.checker(only(revocation.OCSP)), leaf, c.want)
	}
}

func TestAnswerWithoutAnEnd(t *testing.T) {
	w := newWorld(t)
	leaf := w.ca.leaf()
	w.put(responder, w.ca.answer(leaf, ocsp.Good, w.Now(), 0))
	c := w.checker(only(revocation.OCSP))
	w.want("asked", c, leaf, "good")
	w.forward(4 * time.Minute)
	w.want("four minutes later", c, leaf, "good")
	if n := w.times("ocsp.example"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	w.forward(2 * time.Minute)
	w.away(errors.New("away"))
	w.want("six minutes later", c, leaf, "away")
}

func TestStaple(t *testing.T) {
	attacktest.Rows(t, 77)
	w := newWorld(t)
	leaf := w.ca.leaf()
	c := w.checker(only(revocation.OCSP))
	w.away(errors.New("away"))
	w.want("a good one", c, leaf, "good", w.ca.answer(leaf, ocsp.Good, w.Now(), 10*time.Hour)...)
	w.want("remembered", c, leaf, "good")
	if n := w.times("ocsp.example"); n != 0 {
		t.Errorf("asked %d times", n)
	}
	other := w.ca.leaf()
	w.want("one about another certificate", c, other, "away", w.ca.answer(leaf, ocsp.Good, w.Now(), 10*time.Hour)...)
	w.forward(11 * time.Second)
	w.want("one without an end", c, other, "away", w.ca.answer(other, ocsp.Good, w.Now(), 0)...)
	w.forward(11 * time.Second)
	w.want("one that says revoked", c, other, "revoked", w.ca.answer(other, ocsp.Revoked, w.Now(), 10*time.Hour)...)

	// Who was revoked goes on stapling the answer of before.
	old := w.ca.answer(leaf, ocsp.Good, w.Now(), 10*time.Hour)
	w.away(nil)
	w.forward(2 * time.Hour)
	w.put(responder, w.ca.answer(leaf, ocsp.Revoked, w.Now(), 10*time.Hour))
	w.want("one of two hours ago", w.checker(), leaf, "revoked", old...)
	w.want("to one who has it already", c, leaf, "revoked", old...)
}

func TestListsOfDistributionPoints(t *testing.T) {
	attacktest.Rows(t, 77)
	w := newWorld(t)
	good, lost := w.ca.leaf(), w.ca.leaf()
	w.put(point, w.ca.list(1, w.Now(), 4*time.Hour, nil, lost))
	c := w.checker(only(revocation.CRL))
	w.want("a good one", c, good, "good")
	w.want("a revoked one", c, lost, "revoked")
	if n := w.times("crl.example"); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	w.forward(61 * time.Minute)
	w.put(point, w.ca.list(2, w.Now(), 4*time.Hour, nil, lost, good))
	w.want("on the next list", c, good, "revoked")
	w.forward(61 * time.Minute)
	w.put(point, w.ca.list(1, w.Now().Add(-2*time.Hour), 8*time.Hour, nil))
	w.want("an older list brings nothing back", c, good, "revoked")
	w.away(errors.New("away"))
	w.forward(6 * time.Hour)
	w.want("no list in force", c, w.ca.leaf(), "away")
	w.want("but what was revoked is", c, lost, "revoked")
}

func TestListsThatSayNothing(t *testing.T) {
	attacktest.Rows(t, 77)
	w := newWorld(t)
	stranger := newAuthority(t, w.now, "Partners", nil)
	leaf := w.ca.leaf()
	now := w.Now()
	for name, c := range map[string]struct {
		der  []byte
		want string
	}{
		"good":               {w.ca.list(1, now, time.Hour, nil), "good"},
		"in PEM":             {[]byte("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"), "no revocation list"},
		"of a stranger":      {stranger.list(1, now, time.Hour, nil), "not signed by"},
		"old":                {w.ca.list(1, now.Add(-2*time.Hour), time.Hour, nil), "ended"},
		"of the future":      {w.ca.list(1, now.Add(time.Hour), time.Hour, nil), "begins"},
		"of another address": {w.ca.list(1, now, time.Hour, critical(28, where("http://crl.example/2")...)), "another distribution point"},
		"of this address":    {w.ca.list(1, now, time.Hour, critical(28, where(point)...)), "good"},
		"about authorities":  {w.ca.list(1, now, time.Hour, critical(28, 0x30, 3, 0x82, 1, 0xff)), "about certificates of authorities"},
		"about users":        {w.ca.list(1, now, time.Hour, critical(28, 0x30, 3, 0x81, 1, 0xff)), "good"},
		"HTML":               {[]byte("<html>"), "no revocation list"},
	} {
		w.put(point, c.der)
		checker := w.checker(only(revocation.CRL))
		w.want(name, checker, leaf, c.want)
		w.want(name+", asked again", checker, leaf, c.want)
	}
	w.want("no address", w.checker(only(revocation.CRL)), w.ca.leaf(func(c *x509.Certificate) { c.CRLDistributionPoints = nil }), "does not say where")
}

// Whoever sits on the way has other lists of the authority at hand, signed and in force: none
// of them takes the place of the one that belongs there.
func TestAnotherListBringsNothingBack(t *testing.T) {
	attacktest.Rows(t, 77)
	w := newWorld(t)
	lost := w.ca.leaf()
	w.put(point, w.ca.list(1, w.Now(), 10*time.Hour, nil, lost))
	c := w.checker(only(revocation.CRL))
	w.want("on its list", c, lost, "revoked")
	for name, change := range map[string]func(*x509.RevocationList){
		"of another address": critical(28, where("http://crl.example/2")...),
		"about authorities":  critical(28, 0x30, 3, 0x82, 1, 0xff),
	} {
		w.forward(2 * time.Hour)
		w.put(point, w.ca.list(9, w.Now(), 10*time.Hour, change))
		for range 3 {
			if at, err := c.RevokedAt(t.Context(), revocation.NewLink(lost, w.ca.cert), nil); err == nil && at.IsZero() {
				t.Errorf("a list %s takes its place", name)
			}
		}
	}
}

// later is a way out whose answers take a time.
type later struct {
	*world
	takes time.Duration
}

func (l *later) Get(ctx context.Context, address string, limit int64) ([]byte, http.Header, error) {
	select {
	case <-time.After(l.takes):
		return l.world.Get(ctx, address, limit)
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// A list that takes longer than a request waits is there for the next one.
func TestSlowListsAreHadAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		leaf := w.ca.leaf()
		w.put(point, w.ca.list(1, w.Now(), time.Hour, nil))
		c := w.checker(only(revocation.CRL), func(s *revocation.Settings) {
			s.Fetch, s.Go = &later{w, 20 * time.Second}, func(f func(context.Context)) { go f(context.Background()) }
		})
		begin := time.Now()
		w.want("asked first", c, leaf, "no answer yet")
		w.want("asked again", c, leaf, "no answer yet")
		if took := time.Since(begin); took > 7*time.Second {
			t.Errorf("two requests have waited for %s", took)
		}
		time.Sleep(20 * time.Second) // of the bubble's time
		synctest.Wait()
		w.want("when it has come", c, leaf, "good")
		if n := w.times("crl.example"); n != 1 {
			t.Errorf("fetched %d times", n)
		}
		begin = time.Now()
		other := w.ca.leaf(func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://hangs.example/x"} })
		if _, err := c.Known(revocation.NewLink(other, w.ca.cert)); !errors.Is(err, revocation.ErrUnknown) || time.Since(begin) != 0 {
			t.Errorf("who must not wait has waited for %s: %v", time.Since(begin), err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}

func TestWhatAReaderPanicsOverIsAnError(t *testing.T) {
	w := newWorld(t)
	c := w.checker(only(revocation.CRL), func(s *revocation.Settings) { s.Fetch = panicking{} })
	w.want("a panic", c, w.ca.leaf(), "could not be read")
}

type panicking struct{}

func (panicking) Get(context.Context, string, int64) ([]byte, http.Header, error) {
	panic("out of range")
}

func TestSourcesAreAskedInTurn(t *testing.T) {
	w := newWorld(t)
	leaf := w.ca.leaf()
	w.put(point, w.ca.list(1, w.Now(), time.Hour, nil, leaf))
	w.want("the responder is away", w.checker(), leaf, "revoked")
	w.put(responder, w.ca.answer(leaf, ocsp.Good, w.Now(), time.Hour))
	w.want("the responder comes first", w.checker(), leaf, "good")
	w.want("or last", w.checker(func(s *revocation.Settings) { s.Ask = []string{revocation.CRL, revocation.OCSP} }), leaf, "revoked")
	w.put("http://elsewhere.example/x", nil)
	elsewhere := w.checker(only(revocation.OCSP), func(s *revocation.Settings) { s.Responder = "http://elsewhere.example" })
	w.want("another responder", elsewhere, leaf, "no such page")
	if w.times("elsewhere.example") != 1 {
		t.Error("it was not asked")
	}
	nowhere := w.ca.leaf(func(c *x509.Certificate) { c.OCSPServer, c.CRLDistributionPoints = nil, nil })
	w.want("nobody to ask", w.checker(), nowhere, "does not say where")
	many := w.ca.leaf(func(c *x509.Certificate) {
		c.CRLDistributionPoints = nil
		for i := range 100 {
			c.CRLDistributionPoints = append(c.CRLDistributionPoints, fmt.Sprintf("http://many.example/%d", i))
		}
	})
	w.want("a hundred addresses", w.checker(only(revocation.CRL)), many, "no such page")
	if n := w.times("many.example"); n != 4 {
		t.Errorf("%d of them were tried", n)
	}
	if _, err := revocation.New(revocation.Settings{Fetch: w, Now: w.Now, Ask: []string{"dns"}}); err == nil {
		t.Error("a source that is none")
	}
}

// slow is a way out on which everybody waits.
type slow struct {
	*world
	begun atomic.Int64
	let   chan struct{}
}

func (s *slow) Get(ctx context.Context, address string, limit int64) ([]byte, http.Header, error) {
	s.begun.Add(1)
	select {
	case <-s.let:
		return s.world.Get(ctx, address, limit)
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

func TestManyWhoWantToKnowAskOnce(t *testing.T) {
	w := newWorld(t)
	leaf := w.ca.leaf()
	w.put(responder, w.ca.answer(leaf, ocsp.Good, w.Now(), time.Hour))
	s := &slow{world: w, let: make(chan struct{})}
	c := w.checker(only(revocation.OCSP), func(settings *revocation.Settings) { settings.Fetch = s })
	link := revocation.NewLink(leaf, w.ca.cert)
	leaving, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	left := make(chan error, 1)
	all.Go(func() {
		_, err := c.RevokedAt(leaving, link, nil)
		left <- err
	})
	for s.begun.Load() == 0 { // the first has begun to ask
	}
	var wrong atomic.Int64
	for range 20 {
		all.Go(func() {
			if at, err := c.RevokedAt(t.Context(), link, nil); err != nil || !at.IsZero() {
				wrong.Add(1)
			}
		})
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(s.let)
	all.Wait()
	if wrong.Load() != 0 {
		t.Errorf("%d of 20 were told nothing because somebody else had left", wrong.Load())
	}
	if n := s.begun.Load(); n > 3 {
		t.Errorf("asked %d times", n)
	}
}

func TestBesideRequests(t *testing.T) {
	w := newWorld(t)
	leaf := w.ca.leaf()
	w.put(responder, w.ca.answer(leaf, ocsp.Good, w.Now(), 10*time.Hour))
	var later []func(context.Context)
	atOnce := true
	c := w.checker(only(revocation.OCSP), func(s *revocation.Settings) {
		s.Go = func(f func(context.Context)) {
			if atOnce {
				f(t.Context())
				return
			}
			later = append(later, f)
		}
	})
	w.want("asked", c, leaf, "good")
	atOnce = false
	w.forward(2 * time.Hour)
	w.put(responder, w.ca.answer(leaf, ocsp.Revoked, w.Now(), 10*time.Hour))
	w.want("nobody waits", c, leaf, "good")
	w.want("nor asks twice", c, leaf, "good")
	if len(later) != 1 {
		t.Fatalf("%d questions beside", len(later))
	}
	atOnce = true
	later[0](t.Context())
	w.want("and then it is known", c, leaf, "revoked")
}

func FuzzReadAnswer(f *testing.F) {
	w := newWorld(f)
	leaf := w.ca.leaf()
	f.Add(w.ca.answer(leaf, ocsp.Good, w.Now(), time.Hour))
	cert, key := w.ca.pair(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} })
	f.Add(answerBy(f, cert, &authority{TB: f, cert: w.ca.cert, key: key}, leaf, ocsp.Revoked, w.Now(), time.Hour, func(r *ocsp.Response) { r.Certificate = cert }))
	known := string(w.ca.answer(leaf, ocsp.Good, w.Now(), time.Hour))
	f.Fuzz(func(t *testing.T, der []byte) {
		if strings.HasPrefix(string(der), known) {
			return
		}
		w := &world{TB: t, ca: w.ca, now: w.now, pages: map[string][]byte{responder: der}, asked: map[string]int{}}
		_, _ = w.checker(only(revocation.OCSP)).RevokedAt(t.Context(), revocation.NewLink(leaf, w.ca.cert), nil) // it must not panic
	})
}

// BenchmarkKnown is what each request pays for a certificate about which something is known.
func BenchmarkKnown(b *testing.B) {
	w := newWorld(b)
	leaf := w.ca.leaf()
	w.put(responder, w.ca.answer(leaf, ocsp.Good, w.Now(), time.Hour))
	w.put(point, w.ca.list(1, w.Now(), time.Hour, nil))
	link := revocation.NewLink(leaf, w.ca.cert)
	for _, source := range []string{revocation.OCSP, revocation.CRL} {
		c := w.checker(only(source))
		b.Run(source, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if at, err := c.RevokedAt(b.Context(), link, nil); err != nil || !at.IsZero() {
					b.Fatal(at, err)
				}
			}
		})
	}
}
