package account

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/internal/store/memory"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func store(t testing.TB, now func() time.Time) *Store {
	t.Helper()
	master, err := seal.NewMaster(slices.Repeat([]byte{7}, 32))
	must(t, err)
	registry, err := client.OpenRegistry(t.Context(), client.Options{Store: memory.New(), Master: master, Now: now})
	must(t, err)
	s, err := New(Options{Records: registry.Records(), Now: now, Rand: rand.Reader, Issuer: "https://login.example.com"})
	must(t, err)
	return s
}

// RFC 6238 appendix B, the last six of eight digits.
func TestCodesAreTheStandards(t *testing.T) {
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got := codeAt([]byte("12345678901234567890"), at/30); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for typed, want := range map[string]string{
		"ada": "ada", " Ada ": "ada", "ADA.Lovelace": "ada.lovelace", "ada@example.com": "ada@example.com", "ａｄａ": "ada",
		"Müller": "müller", "mu\u0308ller": "müller", "straße": "straße", "дмитрий": "дмитрий", "Łukasz": "łukasz", "李明": "李明", "a+b-c_d": "a+b-c_d",
	} {
		if got, err := NormaliseName(typed); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", typed, got, err, want)
		}
	}
	for _, typed := range []string{
		"", " ", ".ada", "ada.", "a..b", "ada lovelace", "ada\x00", "ada\u200b", "ada\u202e", "аda", "ԁоса", "ada١", "adа",
		strings.Repeat("a", 65), strings.Repeat("a", 600), "\xff", "<b>", "ıan", "ada\u0301\u0301", "ο", "оса", "ɡreen", "i̇", "ada/..", "ada%00", "ada\nroot",
	} {
		if got, err := NormaliseName(typed); !errors.Is(err, ErrName) {
			t.Errorf("%q became %q", typed, got)
		}
	}
}

func FuzzNormaliseName(f *testing.F) {
	for _, seed := range []string{"ada", "Müller", "аda", "ｆｕｌｌ", "a.b", "İ", "ﬁ", "ada\u200d", "Ǆ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		name, err := NormaliseName(typed)
		if err != nil {
			return
		}
		if again, err := NormaliseName(name); err != nil || again != name {
			t.Fatalf("%q became %q, which becomes %q, %v", typed, name, again, err)
		}
		if n := utf8.RuneCountInString(name); n < 1 || n > maxName || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || unicode.Is(unicode.M, r) }) {
			t.Fatalf("%q became %q", typed, name)
		}
	})
}

func FuzzRules(f *testing.F) {
	for _, seed := range []string{"", "password1234", "correct horse battery", "\xff", strings.Repeat("é", 300), "qwertyuiop[]", "aaaaaaaaaaaa"} {
		f.Add(seed, "ada")
	}
	f.Fuzz(func(t *testing.T, password, own string) {
		if (Rules{Minimum: 12}).Check(password, own) != nil {
			return
		}
		if n := utf8.RuneCountInString(prepared(password)); n < 12 || n > MaxPassword || !utf8.ValidString(password) {
			t.Fatalf("accepted %q", password)
		}
	})
}

func TestPasswordRules(t *testing.T) {
	rules := Rules{Minimum: 12}
	for _, good := range []string{
		"correct-horse-battery-staple-nine", "planted-heron-quartz-71", "один два три сорок", "🦊 jumps over 🌙 tonight", strings.Repeat("xq7 ", 60) + "end", "my cat is 3 years",
	} {
		if err := rules.Check(good, "ada", "ada@example.com"); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for bad, want := range map[string]error{
		"": ErrShort, "elevenchars": ErrShort, strings.Repeat("xq7 ", 65): ErrLong, strings.Repeat("x", 100_000): ErrLong,
		"password1234": ErrCommon, "P@ssw0rd!!!!": ErrCommon, "123456789012": ErrCommon, "qwertyuiopas": ErrCommon, "aaaaaaaaaaaa": ErrCommon,
		"abcabcabcabc": ErrCommon, "abcdefghijkl": ErrCommon, "letmein12345": ErrCommon, "dragondragon": ErrCommon, "!!summer2026": ErrCommon, "1q2w3e4r5t6y": ErrCommon,
		"lovelace1843": ErrOwn, "Lovelace-Ada1": ErrOwn, "\xff\xfe\xfd123456789": ErrText, "planted\x00heron-quartz": ErrText,
	} {
		if err := rules.Check(bad, "lovelace"); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", bad, err, want)
		}
	}
}

func TestPasswordIsTheSameHoweverItIsTyped(t *testing.T) {
	s := store(t, time.Now)
	const composed, apart = "caf\u00e9-au-lait-71-x", "cafe\u0301-au-lait-71-x"
	_, _, err := s.Create(t.Context(), NewUser{Login: "ada", Password: secret.New([]byte(composed))})
	must(t, err)
	if _, err := s.Password(t.Context(), "ADA", apart); err != nil {
		t.Error(err)
	}
	if _, err := s.Password(t.Context(), "ada", "cafe-au-lait-71-x"); !errors.Is(err, ErrWrong) {
		t.Error(err)
	}
}

// An unknown name costs a hash like a known one: that it does is shown by its turns being
// needed, not by a clock.
func TestUnknownNamesCostAHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, time.Now)
		_, _, err := s.Create(t.Context(), NewUser{Login: "nopassword"})
		must(t, err)
		for range cap(s.hasher.turns) {
			s.hasher.turns <- struct{}{}
		}
		for _, name := range []string{"nobody", "nopassword", "not a name", ""} {
			if _, err := s.Password(t.Context(), name, "x"); !errors.Is(err, ErrBusy) {
				t.Errorf("%q was judged without a hash: %v", name, err)
			}
		}
	})
}

func TestHashingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, time.Now)
		for range cap(s.hasher.turns) {
			s.hasher.turns <- struct{}{}
		}
		var busy atomic.Int32
		var all sync.WaitGroup
		for range 2 * maxWaiting {
			all.Go(func() {
				if _, err := s.Password(t.Context(), "x", "y"); errors.Is(err, ErrBusy) {
					busy.Add(1)
				}
			})
		}
		synctest.Wait()
		if n := busy.Load(); n != maxWaiting {
			t.Errorf("%d were told at once to come again, want %d", n, maxWaiting)
		}
		all.Wait() // the others are told after some seconds
		if n := busy.Load(); n != 2*maxWaiting {
			t.Errorf("%d were told to come again, want %d", n, 2*maxWaiting)
		}
	})
}

func TestOldHashesAreRenewed(t *testing.T) {
	s := store(t, time.Now)
	const password = "planted-heron-quartz-71"
	u, _, err := s.Create(t.Context(), NewUser{Login: "ada", Password: secret.New([]byte(password))})
	must(t, err)
	_, err = s.users.Change(t.Context(), u.Subject, func(k *kept) error {
		old := &hash{cost: cost{KiB: 64, Passes: 1, Threads: 1}, Salt: k.Password.Salt}
		old.Sum = old.of(prepared(password))
		k.Password = old
		return nil
	})
	must(t, err)
	for range 2 {
		_, err = s.Password(t.Context(), "ada", password)
		must(t, err)
	}
	k, err := s.get(t.Context(), u.Subject)
	must(t, err)
	if k.Password.isOld() {
		t.Error("the hash is as cheap as before")
	}
}

func TestOneOfFiftyCodesIsGood(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := store(t, func() time.Time { return now })
	u, _, err := s.Create(t.Context(), NewUser{Login: "ada"})
	must(t, err)
	key, err := s.TOTPSecret()
	must(t, err)
	if _, err := s.SetTOTP(t.Context(), u.Subject, key, "000000"); !errors.Is(err, ErrWrong) && codeAt(key, now.Unix()/30) != "000000" {
		t.Errorf("an app without a code: %v", err)
	}
	codes, err := s.SetTOTP(t.Context(), u.Subject, key, codeAt(key, now.Unix()/30))
	must(t, err)
	for name, code := range map[string]string{"app": codeAt(key, now.Unix()/30+1), "recovery": codes[0]} {
		var good atomic.Int32
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				switch _, err := s.Second(t.Context(), u.Subject, code); {
				case err == nil:
					good.Add(1)
				case !errors.Is(err, ErrWrong):
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		all.Wait()
		if good.Load() != 1 {
			t.Errorf("%s: %d of fifty were good", name, good.Load())
		}
	}
	for step, want := range map[int64]bool{-2: false, -1: false, 0: false, 1: false, 2: false, 3: false} { // all used, or out of the window
		if _, err := s.Second(t.Context(), u.Subject, codeAt(key, now.Unix()/30+step)); (err == nil) != want {
			t.Errorf("step %d: %v", step, err)
		}
	}
	now = now.Add(90 * time.Second) // three steps on: two and four are in the window
	if _, err := s.Second(t.Context(), u.Subject, codeAt(key, now.Unix()/30-1)); err != nil {
		t.Errorf("the step before: %v", err)
	}
	if _, err := s.Second(t.Context(), u.Subject, codeAt(key, now.Unix()/30+1)); err != nil {
		t.Errorf("the step after: %v", err)
	}
	if _, err := s.Second(t.Context(), u.Subject, codeAt(key, now.Unix()/30)); !errors.Is(err, ErrWrong) {
		t.Errorf("a step before one that was used: %v", err)
	}
}

func TestNamesAreTakenOnce(t *testing.T) {
	s := store(t, time.Now)
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			switch _, _, err := s.Create(t.Context(), NewUser{Login: []string{"Ada", "ada", "ＡＤＡ"}[i%3]}); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, ErrTaken):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d got the name", won.Load())
	}
}

func TestAdministration(t *testing.T) {
	s := store(t, time.Now)
	ada, change, err := s.Create(t.Context(), NewUser{Login: "ada", Name: "Ada", Password: secret.New([]byte("planted-heron-quartz-71"))})
	must(t, err)
	if change.Action != "user.create" || change.Target != "user ada" || strings.Contains(change.Text, "planted") {
		t.Errorf("change %+v", change)
	}
	_, _, err = s.Create(t.Context(), NewUser{Login: "bob", Name: "B\nob"})
	if err == nil {
		t.Error("a name with a line break was kept")
	}
	_, _, err = s.Create(t.Context(), NewUser{Login: "bob", Password: secret.New([]byte("short"))})
	if !errors.Is(err, ErrShort) {
		t.Errorf("a short password: %v", err)
	}
	_, _, err = s.Create(t.Context(), NewUser{Login: "bob"})
	must(t, err)
	all, err := s.List(t.Context())
	if err != nil || len(all) != 2 || all[0].Login != "ada" || all[1].Login != "bob" {
		t.Errorf("list %+v, %v", all, err)
	}
	if _, err := s.Delete(t.Context(), ada.Subject); err != nil {
		t.Error(err)
	}
	if _, err := s.Delete(t.Context(), ada.Subject); !errors.Is(err, ErrUnknown) {
		t.Errorf("deleted twice: %v", err)
	}
	if _, err := s.Disable(t.Context(), ada.Subject, ""); !errors.Is(err, ErrUnknown) {
		t.Errorf("disabled a deleted one: %v", err)
	}
	if _, err := s.Password(t.Context(), "ada", "planted-heron-quartz-71"); !errors.Is(err, ErrWrong) {
		t.Errorf("a deleted one signs in: %v", err)
	}
}

func BenchmarkPassword(b *testing.B) {
	s := store(b, time.Now)
	_, _, err := s.Create(b.Context(), NewUser{Login: "ada", Password: secret.New([]byte("planted-heron-quartz-71"))})
	must(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Password(b.Context(), "ada", "planted-heron-quartz-71"); err != nil {
			b.Fatal(err)
		}
	}
}
