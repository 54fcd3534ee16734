package workload_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/pki/pkitest"
	"pavise.dev/pavise/workload"
)

func TestFirstCertificateIsGotByATokenAndKept(t *testing.T) {
	w := pkitest.Start(t)
	one := join(w, web())
	base := strings.TrimSuffix(one.options.Chain, ".pem")
	info, err := os.Stat(base + "-key.pem")
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %o", info.Mode().Perm())
	}
	first := serial(t, one.Certificate)
	check(t, one.Close())

	w.Away(true)
	o := one.options
	o.Token = func() (string, error) { t.Error("a token was asked for"); return "", nil }
	again := open(t, o, one.warned)
	if got := serial(t, again.Certificate); got != first {
		t.Errorf("after a restart without the authority: certificate %s, want %s", got, first)
	}
	accepted(t, to(again.ClientConfig(), "web.internal"), again.ServerConfig())
}

func TestOneFileForBoth(t *testing.T) {
	w := pkitest.Start(t)
	o, warned := options(w, web())
	o.Key = o.Chain
	one := open(t, o, warned)
	info, err := os.Stat(o.Chain)
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %o", info.Mode().Perm())
	}
	check(t, one.Close())
	open(t, o, warned)
}

func TestWhatCannotBeOpened(t *testing.T) {
	w := pkitest.Start(t)
	for name, one := range map[string]struct {
		change func(*workload.Options)
		want   string
	}{
		"no file is named": {func(o *workload.Options) { o.Chain = "" }, "Options.Chain"},
		"no token":         {func(o *workload.Options) { o.Token = nil }, "pavise cert token"},
		"a token that cannot be had": {func(o *workload.Options) {
			o.Token = func() (string, error) { return "", errors.New("the vault is sealed") }
		}, "the vault is sealed"},
		"a wrong token": {func(o *workload.Options) {
			good := w.Token(web())
			o.Token = func() (string, error) {
				return "pvenr_" + strings.Repeat("A", 43) + good[strings.Index(good, "."):], nil
			}
		}, "refused with 401"},
		"no server":          {func(o *workload.Options) { o.Server = "https://127.0.0.1:1" }, "127.0.0.1:1"},
		"an address without": {func(o *workload.Options) { o.Server = "http://pki.example.com" }, "write https://"},
		"files of nobody":    {func(o *workload.Options) { o.Server = "" }, "own-roots.pem"},
		"no folder": {func(o *workload.Options) {
			o.Chain = filepath.Join(filepath.Dir(o.Chain), "none", "own.pem")
			o.Token = func() (string, error) { t.Error("a token was spent on what cannot be kept"); return "", nil }
		}, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := options(w, web())
			one.change(&o)
			c, err := workload.Open(t.Context(), o)
			if err == nil {
				_ = c.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), one.want) || !strings.HasPrefix(err.Error(), "workload: ") {
				t.Errorf("%v, want %q", err, one.want)
			}
			if strings.Contains(err.Error(), "AAAAAAAA") {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}

func TestKeyThatOthersCanReadIsRefused(t *testing.T) {
	w := pkitest.Start(t)
	one := join(w, web())
	check(t, one.Close())
	check(t, os.Chmod(strings.TrimSuffix(one.options.Chain, ".pem")+"-key.pem", 0o644))
	if _, err := workload.Open(t.Context(), one.options); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v", err)
	}
}

func TestOpeningEndsWithItsContext(t *testing.T) {
	w := pkitest.Start(t)
	o, _ := options(w, web())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := workload.Open(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestNewCertificateIsShownWithoutNewSettings(t *testing.T) {
	w := pkitest.Start(t)
	one, other := join(w, web()), join(w, est.Token{Client: "pay"})
	client, server := to(other.ClientConfig(), "web.internal"), one.ServerConfig()
	before := accepted(t, client, server).PeerCertificates[0]
	w.Clock.Add(19 * time.Hour)
	one.Look(t.Context())
	other.Look(t.Context())
	after := accepted(t, client, server).PeerCertificates[0]
	if after.Equal(before) || after.SerialNumber.Text(16) != serial(t, one.Certificate) {
		t.Error("the old certificate is still shown")
	}
	w.Clock.Add(6 * time.Hour) // the first ones have ended
	accepted(t, client, server)
	if told := append(one.warned.take(), other.warned.take()...); told != nil {
		t.Errorf("warned %q", told)
	}
}

func TestAuthorityThatIsAwayIsAskedAgain(t *testing.T) {
	w := pkitest.Start(t)
	one := join(w, est.Token{Client: "pay", Names: pki.Names{"dns:pay.internal"}})
	one.options.Token = nil
	first := serial(t, one.Certificate)
	w.Away(true)
	w.Clock.Add(18 * time.Hour)
	asked := w.Asked()
	for range 3 * 3600 {
		one.Look(t.Context())
		w.Clock.Add(time.Second)
	}
	if n := w.Asked() - asked; n < 10 || n > 120 {
		t.Errorf("it was asked %d times in three hours", n)
	}
	if told := one.warned.take(); len(told) < 10 || len(told) > 60 || !strings.Contains(told[0], "503") || !strings.Contains(told[0], "own.pem") {
		t.Errorf("warned %d times: %q", len(told), told)
	}
	accepted(t, to(one.ClientConfig(), "pay.internal"), one.ServerConfig())
	w.Away(false)
	w.Clock.Add(20 * time.Minute)
	one.Look(t.Context())
	if serial(t, one.Certificate) == first {
		t.Error("when it was back it was not asked")
	}
}

func TestEndedCertificateIsNotShownAndNeedsAToken(t *testing.T) {
	w := pkitest.Start(t)
	tokens := 0
	o, warned := options(w, web())
	next := o.Token
	o.Token = func() (string, error) {
		if tokens++; tokens == 2 {
			return "", errors.New("the operator sleeps")
		}
		return next()
	}
	one := open(t, o, warned)
	w.Clock.Add(25 * time.Hour)
	refused(t, to(one.ClientConfig(), "web.internal"), one.ServerConfig(), "there is no certificate in force: it ended at")
	one.Look(t.Context())
	if told := strings.Join(warned.take(), "\n"); !strings.Contains(told, "the operator sleeps") {
		t.Errorf("warned %q", told)
	}
	w.Clock.Add(time.Minute)
	one.Look(t.Context())
	accepted(t, to(one.ClientConfig(), "web.internal"), one.ServerConfig())
	if tokens != 3 {
		t.Errorf("%d tokens were asked for", tokens)
	}
}

func TestClockThatJumps(t *testing.T) {
	w := pkitest.Start(t)
	own := pkitest.NewClock() // of the program; the authority's stands
	o, warned := options(w, web())
	o.Now = own.Now
	one := open(t, o, warned)
	client, server := to(one.ClientConfig(), "web.internal"), one.ServerConfig()
	for _, jump := range []time.Duration{48 * time.Hour, 365 * 24 * time.Hour} {
		own.Add(jump)
		for range 20 {
			one.Look(t.Context())
			own.Add(time.Second)
		}
		refused(t, client, server, "")
		own.Add(-jump - 20*time.Second)
		one.Look(t.Context())
		accepted(t, client, server)
	}
	own.Add(-30 * time.Minute)
	one.Look(t.Context())
	own.Add(30*time.Minute + 19*time.Hour)
	w.Clock.Add(19 * time.Hour)
	before := serial(t, one.Certificate)
	one.Look(t.Context())
	if serial(t, one.Certificate) == before {
		t.Errorf("after jumps it is renewed no more: %q", warned.take())
	}
}

func TestCloseWaitsForARenewal(t *testing.T) {
	w := pkitest.Start(t)
	o, warned := options(w, web())
	began, finish, tick := make(chan bool), make(chan bool), make(chan time.Time)
	o = workload.Ticking(o, tick)
	o.Warn = func(error) {
		began <- true
		<-finish
	}
	one := open(t, o, warned)
	w.Away(true)
	w.Clock.Add(19 * time.Hour)
	tick <- time.Time{}
	<-began // the renewal is under way
	closed := make(chan error)
	go func() { closed <- one.Close() }()
	select {
	case <-closed:
		t.Error("it does not wait")
	case finish <- true:
		check(t, <-closed)
	}
	check(t, one.Close())
	accepted(t, to(one.ClientConfig(), "web.internal"), one.ServerConfig())
}
