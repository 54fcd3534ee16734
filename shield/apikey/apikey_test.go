package apikey

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

func TestConformance(t *testing.T) { shieldtest.Run(t, Kind(), shieldtest.Fixture{}) }

func FuzzVerify(f *testing.F) { shieldtest.Fuzz(f, Kind(), shieldtest.Fixture{}) }

func FuzzParse(f *testing.F) {
	key, _, err := generate(shieldtest.NewWorld().Env().Rand, "live")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key)
	f.Add("pvs_live_")
	f.Add("pvs__x")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parse(text)
		if err != nil {
			return
		}
		if !strings.HasPrefix(text, "pvs_"+p.environment+"_"+p.id) || checked(text[:len(text)-checksumLength]) != text {
			t.Errorf("%q was taken for a key of %q with id %q", text, p.environment, p.id)
		}
	})
}

func TestKeysHaveTheirForm(t *testing.T) {
	env := shieldtest.NewWorld().Env()
	seen := map[string]bool{}
	for range 200 {
		issued, err := issue(env, shield.IssueRequest{Environment: "live"})
		if err != nil {
			t.Fatal(err)
		}
		p, err := parse(issued.Secret)
		if err != nil || p.id != issued.ID || p.environment != "live" || issued.Keep != shield.KeepHash {
			t.Fatalf("%+v, %+v, %v", issued, p, err)
		}
		if seen[issued.ID] || seen[issued.Secret] {
			t.Fatal("a key was made twice")
		}
		seen[issued.ID], seen[issued.Secret] = true, true
	}
	for _, environment := range []string{"", "Live", "a_b", "seventeenletterss"} {
		if _, err := issue(env, shield.IssueRequest{Environment: environment}); err == nil {
			t.Errorf("environment %q was taken", environment)
		}
	}
}

func TestTypingErrorsAreFoundWithoutALookUp(t *testing.T) {
	attacktest.Rows(t, 4)
	key, _, err := generate(shieldtest.NewWorld().Env().Rand, "live")
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(key) {
		for _, other := range []byte("0Zz_") {
			if key[i] == other {
				continue
			}
			wrong := key[:i] + string(other) + key[i+1:]
			if _, err := parse(wrong); err == nil {
				t.Errorf("a wrong character at %d was not found", i)
			}
		}
	}
	for _, text := range []string{"", "pvs_", key + "0", key[:len(key)-1], strings.ToUpper(key), " " + key} {
		if _, err := parse(text); err == nil {
			t.Errorf("%q was taken for a key", text)
		}
	}
}

// opened is a shield in a world with one key.
func opened(t testing.TB, change func(*Config)) (*shieldtest.World, shield.Shield, shield.Credential) {
	t.Helper()
	w := shieldtest.NewWorld()
	config := &Config{Header: defaultHeader}
	if change != nil {
		change(config)
	}
	if problems := config.Validate(); len(problems) > 0 {
		t.Fatal(problems)
	}
	s, err := config.Open(w.Env())
	if err != nil {
		t.Fatal(err)
	}
	_, c := w.Issue(t, Kind(), "shop")
	return w, s, c
}

func send(t testing.TB, s shield.Shield, key string, change func(*http.Request)) (*shield.Identity, shield.Code) {
	t.Helper()
	r := httptest.NewRequest("GET", "/v1/orders", nil)
	r.Header.Set(defaultHeader, key)
	if change != nil {
		change(r)
	}
	id, err := s.Verify(r)
	if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
		return nil, refusal.Code
	}
	if err != nil {
		t.Fatal(err)
	}
	return id, ""
}

func TestKeysInQueriesAreExposedWhateverTheirName(t *testing.T) {
	attacktest.Rows(t, 6, 7, 16)
	_, s, c := opened(t, nil)
	for _, query := range []string{"api_key=x", "apikey[]=x", "ApiKey=x", "x-api-key=x", "anything=" + c.Secret, "a=b&access_key=y"} {
		if _, code := send(t, s, c.Secret, func(r *http.Request) { r.URL.RawQuery = query }); code != shield.ExposedCredential {
			t.Errorf("query %q: %q, want exposed", query, code)
		}
	}
	for _, query := range []string{"", "q=key", "key=x", "page=2"} {
		if _, code := send(t, s, c.Secret, func(r *http.Request) { r.URL.RawQuery = query }); code != "" {
			t.Errorf("query %q: refused with %q", query, code)
		}
	}
}

func TestKeysOfBrowsersAreExposedUnlessThatIsWanted(t *testing.T) {
	_, s, c := opened(t, nil)
	for _, header := range []string{"Origin", "Sec-Fetch-Site"} {
		if _, code := send(t, s, c.Secret, func(r *http.Request) { r.Header.Set(header, "x") }); code != shield.ExposedCredential {
			t.Errorf("with %s: %q, want exposed", header, code)
		}
	}
	_, s, c = opened(t, func(c *Config) { c.AllowBrowsers = "the page is public on purpose" })
	if _, code := send(t, s, c.Secret, func(r *http.Request) { r.Header.Set("Origin", "x") }); code != "" {
		t.Errorf("allowed on purpose, and refused with %q", code)
	}
}

func TestOnlyKeysOfTheEnvironmentAreTaken(t *testing.T) {
	_, s, c := opened(t, nil)
	if _, code := send(t, s, c.Secret, nil); code != "" {
		t.Fatalf("refused with %q", code)
	}
	_, other, _ := opened(t, func(c *Config) { c.Environment = "other" })
	if id, code := send(t, other, c.Secret, nil); id != nil || code != shield.InvalidCredential {
		t.Errorf("%v, %q", id, code)
	}
}

func TestImportedKeysAreFoundByTheirDigest(t *testing.T) {
	const theirs = "legacy-key-0123456789-abcdef"
	sum := sha256.Sum256([]byte(theirs))
	env := shieldtest.NewWorld().Env()
	plain, err := issue(env, shield.IssueRequest{Import: theirs})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := issue(env, shield.IssueRequest{Import: "sha256:" + hex.EncodeToString(sum[:])})
	if err != nil || string(plain.Material) != string(digest.Material) || plain.ID == digest.ID || plain.Secret != "" {
		t.Errorf("%+v and %+v, %v: want one material, two ids, nothing to show", plain, digest, err)
	}
	for _, text := range []string{"short", strings.Repeat("x", 513), "has a blank in the middle of it", "pvs_live_looks-like-one-of-ours", "sha256:00", "sha256:" + strings.Repeat("zz", 32)} {
		if _, err := issue(env, shield.IssueRequest{Import: text}); err == nil {
			t.Errorf("%.24q was imported", text)
		}
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	for name, c := range map[string]Config{
		"no header": {}, "a header with a blank": {Header: "X Key"}, "Authorization": {Header: "authorization"}, "Cookie": {Header: "Cookie"},
		"an environment in capitals": {Header: "X-K", Environment: "Live"}, "a short reason": {Header: "X-K", AllowBrowsers: "yes"},
	} {
		if problems := c.Validate(); len(problems) == 0 || problems[0].Path == "" || problems[0].Hint == "" {
			t.Errorf("%s: %+v", name, problems)
		}
	}
}

func TestSignerPrintsNoKey(t *testing.T) {
	signer, err := client(shield.Credential{Secret: "planted-secret"})
	if err != nil {
		t.Fatal(err)
	}
	if printed := fmt.Sprintf("%v %+v %#v %s", signer, signer, signer, signer); strings.Contains(printed, "planted") {
		t.Errorf("it prints %s", printed)
	}
	if _, err := client(shield.Credential{}); err == nil {
		t.Error("a profile without a key was taken")
	}
}

func TestReadmeShowsTheSettings(t *testing.T) {
	for _, setting := range []string{"header", "environment", "insecure_allow_browsers"} {
		if !strings.Contains(readme, "| `"+setting+"` |") {
			t.Errorf("the README lacks %s", setting)
		}
	}
}

// BenchmarkVerify measures the shield with a look-up in memory.
func BenchmarkVerify(b *testing.B) {
	_, s, c := opened(b, nil)
	r := httptest.NewRequest("GET", "/v1/orders", nil)
	r.Header.Set(defaultHeader, c.Secret)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}
