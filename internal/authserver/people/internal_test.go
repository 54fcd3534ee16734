package people

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// names are Records that only hash.
type names struct{ Records }

func (names) Name(secret []byte) string      { return "h" + markOf(string(secret)) }
func (n names) Names(secret []byte) []string { return []string{"old", n.Name(secret)} }

func FuzzProof(f *testing.F) {
	s := &Service{records: names{}, now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
	v := &visit{browser: "b"}
	good, err := s.seal(v, "/authorize/x", proof{Stage: stageSecond, Subject: "u-1", Stamp: 3, AMR: []string{"pwd"}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{good, "", ".", "e30.old", "e30." + strings.Repeat("0", 64), strings.Repeat("a", 2000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sealed string) {
		if _, err := s.open(v, "/authorize/x", stageSecond, sealed); err == nil && sealed != good && !strings.HasSuffix(sealed, ".old") {
			t.Fatalf("nobody sealed %q", sealed)
		}
		for _, other := range []func() error{
			func() error { _, err := s.open(v, "/authorize/y", stageSecond, good); return err },
			func() error { _, err := s.open(v, "/authorize/x", stagePassword, good); return err },
			func() error { _, err := s.open(&visit{browser: "c"}, "/authorize/x", stageSecond, good); return err },
			func() error {
				_, err := s.open(&visit{browser: "b", secret: "s", signed: true}, "/authorize/x", stageSecond, good)
				return err
			},
		} {
			if other() == nil {
				t.Fatal("a proof is good where it was not made for")
			}
		}
	})
}

func FuzzRequest(f *testing.F) {
	s := &Service{records: names{}, random: strings.NewReader(strings.Repeat("x", 64)), now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
	v := &visit{browser: "b"}
	good, err := s.sealRequest(v, flow{Action: "/authorize/x", Mark: "m", Ends: s.now().Add(flowLife)})
	if err != nil {
		f.Fatal(err)
	}
	over, err := s.sealRequest(v, flow{Action: "/authorize/x", Ends: s.now()})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{good, over, "", ".", "e30.", good + "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if got, err := s.openRequest(v, id); err == nil && id != good && !strings.HasSuffix(id, ".old") {
			t.Fatalf("nobody made %q, which became %+v", id, got)
		}
		if got, err := s.openRequest(v, good); err != nil || got.Action != "/authorize/x" || got.Mark != "m" {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, other := range []*visit{{}, {browser: "c"}} {
			if _, err := s.openRequest(other, good); err == nil {
				t.Fatal("a request is good in another browser")
			}
		}
	})
}

func FuzzCut(f *testing.F) {
	for _, seed := range []string{"Photo Prints", "a\u202eb", "a\u0301\u0301\u0301\u0301\u0301\u0301", "\xff", strings.Repeat("x", 500), "a\nb\u2028c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := cut(text, 80)
		if utf8.RuneCountInString(got) > 81 || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029
		}) {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func FuzzCookies(f *testing.F) {
	f.Add("__Host-pavise-asked=0123456789abcdef.0123456789abcdef")
	f.Add("__Host-pavise-asked=a; __Host-pavise-asked=b")
	f.Add("__Host-pavise-asked=" + strings.Repeat("0123456789abcdef.", 40))
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", header)
		marks := asked(r)
		if len(marks) > maxAsked {
			t.Fatalf("%d marks", len(marks))
		}
		for _, mark := range marks {
			if len(mark) != markLetters {
				t.Fatalf("mark %q", mark)
			}
		}
	})
}

func TestACookieThatStandsTwiceIsNone(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", "a=1; a=2; b=3")
	if cookie(r, "a") != "" || cookie(r, "b") != "3" || cookie(r, "c") != "" {
		t.Error("which of two cookies counts is anybody's guess")
	}
}

func TestLifetimesInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "This once", time.Second: "1 second", 90 * time.Second: "2 minutes", time.Hour: "1 hour", 24 * time.Hour: "1 day", 30 * 24 * time.Hour: "30 days", 36 * time.Hour: "2 days",
	} {
		if got := lifetimeText(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestBrowsersInWords(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36": "Chrome on Linux",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile Safari/604.1":  "Safari on iPhone",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Gecko/20100101 Firefox/150.0":                              "Firefox on Windows",
		"": "A browser", "<script>": "A browser",
	} {
		if got := agentText(agent); got != want {
			t.Errorf("%q: %q, want %q", agent, got, want)
		}
	}
}

func TestAnswersAreForgottenOldestFirst(t *testing.T) {
	c := consent{}
	long := func(i int) said {
		return said{Allowed: []string{strings.Repeat("s", 10_000) + strconv.Itoa(i)}, APIs: []string{strconv.Itoa(i)}, Lifetime: time.Hour}
	}
	for i := range 5 {
		c.add(long(i))
	}
	if len(c.Said) != 3 || c.Said[0].APIs[0] != "2" || c.size() > maxSaid {
		t.Errorf("%d answers, the first of %v, %d bytes", len(c.Said), c.Said[0].APIs, c.size())
	}
	c.add(said{Allowed: []string{strings.Repeat("s", maxSaid)}})
	if len(c.Said) != 0 {
		t.Error("what does not fit into a row was kept")
	}
	for range 3 {
		c.add(said{Allowed: []string{"read"}, Lifetime: time.Hour})
	}
	if len(c.Said) != 1 {
		t.Errorf("the same was remembered %d times", len(c.Said))
	}
}
