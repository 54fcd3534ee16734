package attack_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/finding"
)

func prober(t *testing.T, target string, change func(*attack.Settings)) *attack.Prober {
	t.Helper()
	s := attack.Settings{Target: target, PerSecond: 100_000}
	if change != nil {
		change(&s)
	}
	p, err := attack.NewProber(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// open is a case that finds a path which answers without a credential.
func open(id, path string) attack.Case {
	rule := &finding.Rule{ID: "no-credential", Severity: finding.High, Title: "It answers anybody", Why: "anybody reads it", Mend: "shield it"}
	return attack.Case{ID: id, Rule: rule, Row: 1, Try: func(ctx context.Context, s *attack.Session) error {
		r, err := s.NewRequest(ctx, "GET", path, nil)
		if err != nil {
			return err
		}
		a, err := s.Send(attack.Nobody(), r)
		if err == nil && a.Status == 200 {
			s.Found("GET "+path, a, "it answers %q", a.Body)
		}
		return err
	}}
}

func run(t *testing.T, p *attack.Prober, o attack.Options, cases ...attack.Case) *finding.Report {
	t.Helper()
	report, err := attack.Run(t.Context(), p, &attack.Plan{Cases: cases}, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestARunFindsWhatIsOpenAndLeavesTheRest(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/open" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = w.Write([]byte("hello"))
	}))
	defer api.Close()
	report := run(t, prober(t, api.URL, nil), attack.Options{}, open("a", "/open"), open("b", "/shut"),
		attack.Case{ID: "c", Rule: open("", "").Rule, Demands: attack.Writes, Try: func(context.Context, *attack.Session) error {
			t.Error("it wrote, which was not allowed")
			return nil
		}})
	if len(report.Findings) != 1 || report.Findings[0].Where.Path != "GET /open" || !strings.Contains(report.About, "1 held, 1 fell, 1 skipped, 0 unsure") {
		t.Errorf("%s: %+v", report.About, report.Findings)
	}
	if proof := report.Findings[0].Proof; proof != "curl -i -X 'GET' '"+api.URL+"/open' -H 'User-Agent: pavise-attack'" {
		t.Errorf("to paste: %s", proof)
	}
}

// TestNothingLeavesTheScope: row 154.
func TestNothingLeavesTheScope(t *testing.T) {
	attacktest.Rows(t, 154)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was asked elsewhere", r.URL) }))
	defer other.Close()
	asked := 0
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, other.URL+"/elsewhere", http.StatusFound)
	}))
	defer api.Close()
	p := prober(t, api.URL, nil)
	run(t, p, attack.Options{}, open("a", "/"))
	if asked != 1 {
		t.Errorf("the target was asked %d times", asked)
	}
	for _, address := range []string{other.URL, "https" + strings.TrimPrefix(api.URL, "http"), "http://127.0.0.1/", strings.Replace(api.URL, "//", "//user@", 1), "http://169.254.169.254/latest/meta-data"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Send(r); !errors.Is(err, attack.ErrOutside) {
			t.Errorf("%s: %v", address, err)
		}
	}
	// A name that points at what clouds tell their machines, however that is written.
	for address, is := range map[string]bool{
		"169.254.169.254": false, "::ffff:169.254.169.254": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::a9fe:a9fe": false, "2002:a9fe:a9fe::1": false, "::a9fe:a9fe": false, "fe80::1": false, "fd00:ec2::254": false, "100.100.100.200": false,
		"0.0.0.0": false, "::": false, "224.0.0.1": false,
		"127.0.0.1": true, "::1": true, "10.0.0.7": true, "fd00:ec2::255": true, "64:ff9b::7f00:1": true, "2001:db8::7": true,
	} {
		_, err := attack.NewProber(t.Context(), attack.Settings{Target: "http://api.example.com", Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("10.0.0.8"), netip.MustParseAddr(address)}, nil
		}})
		if (err == nil) != is {
			t.Errorf("a name for %s: %v", address, err)
		}
	}
	for _, bad := range []string{"", "api.example.com", "ftp://api.example.com", "http://u:p@api.example.com", "http://api.example.com?x=1"} {
		if _, err := attack.NewProber(t.Context(), attack.Settings{Target: bad}); err == nil {
			t.Errorf("%q is a target", bad)
		}
	}
	if asked != 1 {
		t.Errorf("the target was asked %d times", asked)
	}
}

// TestANameIsAskedForOnce: it cannot point elsewhere in the middle of a run.
func TestANameIsAskedForOnce(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer api.Close()
	lookups := 0
	named := strings.Replace(api.URL, "127.0.0.1", "api.example.com", 1)
	p := prober(t, named, func(s *attack.Settings) {
		s.Lookup = func(context.Context, string) ([]netip.Addr, error) {
			lookups++
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
	})
	report := run(t, p, attack.Options{}, open("a", "/"), open("b", "/b"))
	if lookups != 1 || len(report.Findings) != 2 {
		t.Errorf("%d lookups, %+v", lookups, report)
	}
}

// TestAHostileTargetIsBounded: part of row 153.
func TestAHostileTargetIsBounded(t *testing.T) {
	attacktest.Rows(t, 153)
	for name, handler := range map[string]http.HandlerFunc{
		"a body without end": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
		"a slow drip": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"no answer at all": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"a head without end": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 5000 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 100))
			}
		},
		"what steers a terminal": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("\x1b[2J\x1b]0;owned\x07\u202Eevil"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			api := httptest.NewServer(handler)
			defer api.Close()
			p := prober(t, api.URL, func(s *attack.Settings) { s.Timeout = 300 * time.Millisecond })
			report := run(t, p, attack.Options{}, open("a", "/"))
			for _, f := range report.Findings {
				if strings.ContainsAny(f.What, "\x1b\x07\u202e") || len(f.What) > 500 {
					t.Errorf("%q", f.What)
				}
			}
			for _, note := range report.Notes {
				if len(note) > 500 {
					t.Errorf("%q", note)
				}
			}
		})
	}
}

// What could not be tried is told with what it is, to programs too.
func TestAReportSaysWhatItIsUnsureOf(t *testing.T) {
	api := httptest.NewServer(http.NotFoundHandler())
	defer api.Close()
	c := open("a", "/")
	c.Try = func(context.Context, *attack.Session) error { return errors.New("there is no list of orders") }
	var written bytes.Buffer
	if err := finding.WriteJSON(&written, run(t, prober(t, api.URL, nil), attack.Options{}, c)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(written.String(), `"unsure: a: there is no list of orders"`) {
		t.Errorf("%s", &written)
	}
}

func TestCredentialsAreNotInWhatIsFound(t *testing.T) {
	const secret = "pvs_live_0123456789abcdef"
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "you sent %s", r.Header.Get("Authorization"))
	}))
	defer api.Close()
	alice := &attack.User{Name: "alice", Sign: func(r *http.Request) error { r.Header.Set("Authorization", "Bearer "+secret); return nil }}
	c := open("a", "/")
	c.Try = func(ctx context.Context, s *attack.Session) error {
		r, err := s.NewRequest(ctx, "GET", "/?key="+secret, nil)
		if err != nil {
			return err
		}
		a, err := s.Send(alice, r)
		if err == nil {
			s.Found("GET /?key="+secret, a, "%s", a.Body)
		}
		return err
	}
	report := run(t, prober(t, api.URL, nil), attack.Options{}, c)
	if text := fmt.Sprintf("%+v", report.Findings); len(report.Findings) != 1 || strings.Contains(text, secret) || !strings.Contains(text, "<credential of alice>") {
		t.Errorf("found %s", text)
	}
}

// A key that is in base64 is written otherwise in an address, one with a quote otherwise for a shell.
func TestCredentialsAreNotInWhatIsFoundHoweverTheyAreWritten(t *testing.T) {
	const secret = "c2Vj+cmV0/MDEy'MzQ1=="
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer api.Close()
	alice := &attack.User{Name: "alice", Sign: func(r *http.Request) error { r.Header.Set("X-Api-Key", secret); return nil }}
	c := open("a", "/")
	c.Try = func(ctx context.Context, s *attack.Session) error {
		r, err := s.NewRequest(ctx, "GET", "/"+url.PathEscape(secret)+"?key="+url.QueryEscape(secret), nil)
		if err != nil {
			return err
		}
		a, err := s.Send(alice, r)
		if err == nil {
			s.Found("GET /", a, "it answers %d", a.Status)
		}
		return err
	}
	report := run(t, prober(t, api.URL, nil), attack.Options{}, c)
	text := fmt.Sprintf("%+v", report.Findings)
	for _, part := range []string{"cmV0", "MzQ1"} {
		if strings.Contains(text, part) || strings.Count(text, "<credential of alice>") != 3 {
			t.Errorf("found %s", text)
		}
	}
}

// An answer may be of a case before, and the token renewed since.
func TestCredentialsOfCasesBeforeAreNotInWhatIsFound(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer api.Close()
	token := "the-token-of-before"
	alice := &attack.User{Name: "alice", Sign: func(r *http.Request) error { r.Header.Set("Authorization", "Bearer "+token); return nil }}
	var kept *attack.Answer
	first, second := open("a", "/"), open("b", "/")
	first.Try = func(ctx context.Context, s *attack.Session) error {
		r, err := s.NewRequest(ctx, "GET", "/", nil)
		if err == nil {
			kept, err = s.Send(alice, r)
		}
		return err
	}
	second.Try = func(_ context.Context, s *attack.Session) error {
		token = "the-token-of-now"
		s.Found("GET /", kept, "it answers %d", kept.Status)
		return nil
	}
	report := run(t, prober(t, api.URL, nil), attack.Options{}, first, second)
	if text := fmt.Sprintf("%+v", report.Findings); len(report.Findings) != 1 || strings.Contains(text, "the-token") || !strings.Contains(text, "<credential of alice>") {
		t.Errorf("found %s", text)
	}
}

func TestARunGoesOnWhereItWasBrokenOff(t *testing.T) {
	asked := map[string]int{}
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked[r.URL.Path]++ }))
	defer api.Close()
	name := filepath.Join(t.TempDir(), "journal")
	journal := func(target string) *attack.Journal {
		j, err := attack.OpenJournal(name, target)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = j.Close() })
		return j
	}
	ctx, cancel := context.WithCancel(t.Context())
	plan := &attack.Plan{Cases: []attack.Case{open("a", "/a"), open("b", "/b"), open("c", "/c")}}
	broken, err := attack.Run(ctx, prober(t, api.URL, nil), plan, attack.Options{Journal: journal(api.URL), Progress: func(p attack.Progress) {
		if p.Done == 2 {
			cancel()
		}
	}})
	if err != nil || broken.Partial == "" || len(broken.Findings) != 2 {
		t.Fatalf("%v, %+v", err, broken)
	}
	// A crash in the middle of a line.
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(text, `{"case":"c","outc`...), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, err := attack.Run(t.Context(), prober(t, api.URL, nil), plan, attack.Options{Journal: journal(api.URL)})
	if err != nil || whole.Partial != "" || len(whole.Findings) != 3 {
		t.Fatalf("%v, %+v", err, whole)
	}
	if asked["/a"] != 1 || asked["/b"] != 1 || asked["/c"] != 1 {
		t.Errorf("asked %v", asked)
	}
	if _, err := attack.OpenJournal(name, "http://another"); err == nil {
		t.Error("the journal of another target is taken")
	}
	if err := os.WriteFile(name, []byte("no journal\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := attack.OpenJournal(name, api.URL); err == nil {
		t.Error("what is no journal is taken")
	}
	for text, is := range map[string]bool{"": true, `{"tar`: true, `{"target":"http://127`: true, "a key without a line's end": false, "{}": false} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := attack.OpenJournal(name, api.URL)
		_ = j.Close()
		if after, _ := os.ReadFile(name); (err == nil) != is || !is && string(after) != text {
			t.Errorf("%q: %v, left %q", text, err, after)
		}
	}
}

// What repeats in a body is made by commands, so that a finding stays short; what they make is the body.
func TestALongBodyIsPastedAsWhatMakesIt(t *testing.T) {
	for _, body := range []string{
		`{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}",
		strings.Repeat(`{"b":`, 900) + "1" + strings.Repeat("}", 900),
		`{"text":"it's ` + strings.Repeat("A", 5000) + `"}`,
		strings.Repeat("-", 600) + strings.Repeat(" ", 600) + `\`,
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1:1/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		command := attack.Curl(r)
		if len(command) > 900 {
			t.Errorf("%d bytes: %.300s…", len(command), command)
		}
		makes, _, _ := strings.Cut(command, " | curl ")
		out, err := exec.CommandContext(t.Context(), "bash", "-c", makes).Output()
		if strings.HasPrefix(command, "(") && (err != nil || string(out) != body) {
			t.Errorf("%.200s makes %d bytes, want %d: %v", command, len(out), len(body), err)
		}
	}
}

// TestAProberLeavesFromWhereItIsTold: each request has a connection of its own, from the address that
// is in turn; a case may have another prober than the run.
func TestAProberLeavesFromWhereItIsTold(t *testing.T) {
	if l, err := net.Listen("tcp", "127.9.9.9:0"); err != nil {
		t.Skip("this system has 127.0.0.1 alone")
	} else if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			t.Error(err)
		}
		seen = append(seen, host+" "+r.Proto)
	}))
	defer server.Close()
	turn := netip.MustParseAddr("127.9.9.8")
	p := prober(t, server.URL, func(s *attack.Settings) {
		s.HTTP1, s.From = true, func() netip.Addr { turn = turn.Next(); return turn }
	})
	other := prober(t, server.URL, nil)
	first, second := open("first", "/"), open("second", "/")
	first.Prober = p
	report := run(t, other, attack.Options{}, first, first, second)
	if got := strings.Join(seen, ", "); got != "127.9.9.9 HTTP/1.1, 127.9.9.10 HTTP/1.1, 127.0.0.1 HTTP/1.1" {
		t.Errorf("requests came from %s", got)
	}
	if !strings.Contains(report.About, "3 requests") {
		t.Errorf("%s", report.About)
	}
}

// TestTalkHandsOverAConnection: for what is no exchange of HTTP/1.1, within the time of a request.
func TestTalkHandsOverAConnection(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("here")) }))
	defer server.Close()
	p := prober(t, server.URL, nil)
	err := p.Talk(t.Context(), []string{"http/1.1"}, nil, func(net.Conn) error { return nil })
	if err == nil {
		t.Error("a certificate that nobody knows was taken")
	}
	var answer []byte
	err = p.Talk(t.Context(), []string{"http/1.1"}, func(c *tls.Config) { c.InsecureSkipVerify = true }, func(conn net.Conn) error {
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")); err != nil {
			return err
		}
		answer, err = io.ReadAll(conn)
		return err
	})
	if err != nil || !strings.HasSuffix(string(answer), "here") {
		t.Errorf("%q, %v", answer, err)
	}
}

// A journal tells where a target is weak: also one that was there before is its owner's alone.
func TestAJournalIsKeptFromOthers(t *testing.T) {
	name := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	j, err := attack.OpenJournal(name, "http://127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it has mode %v, %v", info.Mode(), err)
	}
}

// What could not be tried, and what was not allowed, is tried when a run goes on.
func TestWhatWasNotTriedIsTriedWhenARunGoesOn(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer api.Close()
	name := filepath.Join(t.TempDir(), "journal")
	ready, tried := false, []string{}
	unsure, writes := open("unsure", "/"), open("writes", "/")
	writes.Demands = attack.Writes
	unsure.Try = func(context.Context, *attack.Session) error {
		if tried = append(tried, "unsure"); !ready {
			return errors.New("not yet")
		}
		return nil
	}
	writes.Try = func(context.Context, *attack.Session) error { tried = append(tried, "writes"); return nil }
	for _, o := range []attack.Options{{}, {Allowed: attack.Writes}, {Allowed: attack.Writes}} {
		var err error
		if o.Journal, err = attack.OpenJournal(name, api.URL); err != nil {
			t.Fatal(err)
		}
		run(t, prober(t, api.URL, nil), o, unsure, writes)
		if err := o.Journal.Close(); err != nil {
			t.Error(err)
		}
		ready = true
	}
	if got := strings.Join(tried, " "); got != "unsure unsure writes" {
		t.Errorf("tried %s", got)
	}
}

// A run that may send no more ends, and says so: what is left is not held.
func TestARunThatMaySendNoMoreIsPartial(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer api.Close()
	report := run(t, prober(t, api.URL, func(s *attack.Settings) { s.Most = 1 }), attack.Options{}, open("a", "/a"), open("b", "/b"), open("c", "/c"))
	if !strings.Contains(report.Partial, "after 1 of 3 cases") || !strings.Contains(report.Partial, "as many requests as it may") || len(report.Findings) != 1 {
		t.Errorf("partial %q, found %d", report.Partial, len(report.Findings))
	}
}

// A short credential stands everywhere in a text, but in its header it is hidden.
func TestShortCredentialsAreNotInWhatIsPasted(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer api.Close()
	for name, values := range map[string]struct{ name, value, shown string }{
		"a key":     {"X-Api-Key", "k4711", "X-Api-Key: <credential of alice>"},
		"a token":   {"Authorization", "Bearer k4711", "Authorization: Bearer <credential of alice>"},
		"a cookie":  {"Cookie", "sid=k4711; lang=en", "Cookie: <credential of alice>"},
		"a PIN":     {"Authorization", "Basic YTprNDcx", "Authorization: Basic <credential of alice>"},
		"the PIN's": {"Authorization", "Basic azpr", "Authorization: Basic <credential of alice>"},
	} {
		alice := &attack.User{Name: "alice", Sign: func(r *http.Request) error { r.Header.Set(values.name, values.value); return nil }}
		c := open("a", "/")
		c.Try = func(ctx context.Context, s *attack.Session) error {
			r, err := s.NewRequest(ctx, "GET", "/", nil)
			if err != nil {
				return err
			}
			a, err := s.Send(alice, r)
			if err == nil {
				s.Found("GET /", a, "it answers %d", a.Status)
			}
			return err
		}
		proof := run(t, prober(t, api.URL, nil), attack.Options{}, c).Findings[0].Proof
		if !strings.Contains(proof, values.shown) || strings.Contains(proof, "k4711") {
			t.Errorf("%s: %s", name, proof)
		}
	}
}

// What no request of a client shows is shown by the command that tries it again; each finding names its case.
func TestAFindingWithoutARequestIsShownByTryingItAgain(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer api.Close()
	c := open("http2 it's a frame", "/")
	c.Demands = attack.Floods
	c.Try = func(_ context.Context, s *attack.Session) error { s.FoundBy("GET /", "", "it passes"); return nil }
	report := run(t, prober(t, api.URL, nil), attack.Options{Allowed: attack.Floods, Again: "pavise attack --self -c pavise.yaml"}, c)
	f := report.Findings[0]
	if want := `pavise attack --self -c pavise.yaml --only 'http2 it'\''s a frame' --allow floods`; f.Proof != want || f.Case != c.ID || f.Again() != `--only 'http2 it'\''s a frame'` {
		t.Errorf("%s, case %s, again %s", f.Proof, f.Case, f.Again())
	}
}

// curl takes brackets and braces in an address for several addresses.
func TestAnAddressWithBracketsIsPastedAsOne(t *testing.T) {
	asked := ""
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.RawQuery }))
	defer api.Close()
	r, err := http.NewRequestWithContext(t.Context(), "GET", api.URL+"/?a[$ne]=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "bash", "-c", attack.Curl(r)).CombinedOutput(); err != nil || asked != "a[$ne]=1" {
		t.Errorf("%s asks for %q: %v, %s", attack.Curl(r), asked, err, out)
	}
}
