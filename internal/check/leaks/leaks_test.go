package leaks_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"pavise.dev/pavise/internal/check/leaks"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/apikey"
	"pavise.dev/pavise/shield/hmac"
)

// newKey makes a key as the shield does.
func newKey(t testing.TB) shield.Issued {
	t.Helper()
	made, err := apikey.Kind().Issue(shield.Env{Rand: rand.Reader}, shield.IssueRequest{Client: "shop", Environment: "live"})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// newSigning makes a secret of signatures as the shield does.
func newSigning(t testing.TB) shield.Issued {
	t.Helper()
	made, err := hmac.Kind().Issue(shield.Env{Rand: rand.Reader}, shield.IssueRequest{Client: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func newPrivate(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func newToken(claims string) string {
	part := base64.RawURLEncoding.EncodeToString
	var signature [64]byte
	_, _ = rand.Read(signature[:])
	return part([]byte(`{"alg":"ES256","typ":"at+jwt"}`)) + "." + part([]byte(claims)) + "." + part(signature[:])
}

func opaque(prefix string) string {
	return prefix + "q7Rk2LmZ8vTn4XcBw9JfHs3GdYp6Ka1EuQoi_-x"
}

func TestWhatIsFound(t *testing.T) {
	key, private, signing := newKey(t), newPrivate(t), newSigning(t)
	wide := func(text string) string {
		var b []byte
		for _, u := range utf16.Encode([]rune(text)) {
			b = append(b, byte(u), byte(u>>8))
		}
		return string(b)
	}
	for name, c := range map[string]struct {
		text string
		kind leaks.Kind
		line int
		col  int
	}{
		"a key":                        {"x = 1\nkey = \"" + key.Secret + "\"\n", leaks.APIKey, 2, 8},
		"a key behind é":               {"é " + key.Secret, leaks.APIKey, 1, 3},
		"a key at the end of the file": {key.Secret, leaks.APIKey, 1, 1},
		"a key in a binary file":       {"\x7fELF\x00\xff\xfe" + key.Secret + "\x00\x01", leaks.APIKey, 1, 8},
		"a key in UTF-16":              {"\xff\xfe" + wide("key = "+key.Secret+"\n"), leaks.APIKey, 1, 15},
		"a secret of signatures":       {"PAVISE_HMAC_SECRET=" + signing.Secret + "\n", leaks.SigningSecret, 1, 20},
		"one in JSON":                  {`{"id": "` + signing.ID + `", "secret": "` + signing.Secret + `"}`, leaks.SigningSecret, 1, 38},
		"one in UTF-16":                {"\xff\xfe" + wide("secret "+signing.Secret), leaks.SigningSecret, 1, 17},
		"a secret of a client":         {"SECRET=" + opaque("pvscs_"), leaks.ClientSecret, 1, 8},
		"an access token":              {opaque("pvsat_"), leaks.AccessToken, 1, 1},
		"a refresh token":              {opaque("pvsrt_"), leaks.RefreshToken, 1, 1},
		"a registration token":         {opaque("pvsrm_"), leaks.Registration, 1, 1},
		"an invitation":                {opaque("pvsit_"), leaks.Invitation, 1, 1},
		"an enrolment token":           {opaque("pvenr_"), leaks.Enrolment, 1, 1},
		"a private key":                {"# key\n" + private, leaks.PrivateKey, 2, 1},
		"a private key in YAML":        {"key: |\n  " + strings.ReplaceAll(private, "\n", "\n  "), leaks.PrivateKey, 2, 3},
		"a private key in JSON":        {`{"key": "` + strings.ReplaceAll(private, "\n", `\n`) + `"}`, leaks.PrivateKey, 1, 10},
		"a token":                      {"Authorization: Bearer " + newToken(`{"iss":"https://login.example.com","jti":"a","exp":1}`), leaks.JWT, 1, 23},
		"no key: the checksum":         {key.Secret[:len(key.Secret)-1] + "!", "", 0, 0},
		"no secret: the checksum":      {signing.Secret[:20] + flipped(signing.Secret[20]) + signing.Secret[21:], "", 0, 0},
		"no secret: another word":      {"x" + signing.Secret, "", 0, 0},
		"no secret: too long":          {signing.Secret + "a", "", 0, 0},
		"no secret: too short":         {signing.Secret[:63], "", 0, 0},
		"no secret: its prefix":        {"secrets begin with pvshs_", "", 0, 0},
		"no key: another word":         {"x" + key.Secret, "", 0, 0},
		"no key: too long":             {key.Secret + "a", "", 0, 0},
		"no secret: a placeholder":     {"pvscs_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "", 0, 0},
		"no secret: a name":            {"pvscs_the_secret_of_the_client_itself", "", 0, 0},
		"no private key: its head":     {"-----BEGIN PRIVATE KEY-----\n…\n", "", 0, 0},
		"no private key: a sample":     {"-----BEGIN PRIVATE KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n", "", 0, 0},
		"no private key: a public one": {"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n", "", 0, 0},
		"no token: nothing behind":     {"eyJhbGciOiJFUzI1NiJ9.eyJhIjoxfQ.", "", 0, 0},
		"nothing":                      {"a perfectly harmless text", "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			found := leaks.Scan([]byte(c.text))
			if c.kind == "" {
				if len(found) > 0 {
					t.Errorf("found %v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Kind != c.kind || found[0].Line != c.line || found[0].Column != c.col {
				t.Errorf("found %v, want %s at %d:%d", found, c.kind, c.line, c.col)
			}
		})
	}
	if found := leaks.Scan([]byte(key.Secret)); found[0].ID != key.ID {
		t.Errorf("the id is %q, want %q", found[0].ID, key.ID)
	}
	if found := leaks.Scan([]byte(signing.Secret)); found[0].ID != signing.ID {
		t.Errorf("the id is %q, want %q", found[0].ID, signing.ID)
	}
}

func flipped(c byte) string {
	if c == 'a' {
		return "b"
	}
	return "a"
}

// A line of base64 may begin and end with a plus, which other files have around lines as well.
func TestPlusesOfAPrivateKey(t *testing.T) {
	line := "+" + strings.Repeat("aB3/x+9Q", 7) + "zzzzzz" + "+"
	key := "-----BEGIN PRIVATE KEY-----\n" + line + "\n" + line + "\n+ab+\n-----END PRIVATE KEY-----"
	each := func(before, behind string) string {
		return before + strings.ReplaceAll(key, "\n", behind+"\n"+before) + behind
	}
	for name, text := range map[string]string{
		"as it is":                         key,
		"in a patch":                       each("+", ""),
		"taken away in a patch":            each("-", ""),
		"in an indented file of a patch":   each("+\t", ""),
		"put together, as Go and Java do":  each("\t\"", `\n" +`),
		"put together with a leading plus": each(`+ "`, `\n"`),
		"in JSON as PHP writes it":         strings.NewReplacer("\n", `\n`, "/", `\/`).Replace(key),
	} {
		if found := leaks.Scan([]byte(text)); len(found) != 1 || found[0].Kind != leaks.PrivateKey {
			t.Errorf("%s: found %v in\n%s", name, found, text)
		}
	}
	for range 500 {
		if private := newPrivate(t); len(leaks.Scan([]byte(private))) != 1 {
			t.Errorf("not found:\n%s", private)
		}
	}
}

// No form in which a leak can be written holds the secret.
func TestNothingOfTheSecretIsTold(t *testing.T) {
	key, private, token, signing := newKey(t), newPrivate(t), newToken(`{"sub":"alice"}`), newSigning(t)
	folder := t.TempDir()
	text := key.Secret + "\n" + private + token + "\n" + opaque("pvscs_") + "\n" + signing.Secret
	if err := os.WriteFile(filepath.Join(folder, "all"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := leaks.Walk(folder)
	if err != nil || len(found.Leaks) != 5 {
		t.Fatalf("%v %+v", err, found)
	}
	var told strings.Builder
	fmt.Fprintf(&told, "%v %+v %#v", found.Leaks, found.Leaks, found.Leaks)
	raw, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	told.Write(raw)
	for _, form := range finding.Forms() {
		if err := finding.Write(&told, form, finding.Style{All: true}, leaks.Report(folder, found, nil, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	for _, secret := range []string{key.Secret[len(key.Secret)-30:], private[40:80], token[len(token)-40:], opaque("")[8:], signing.Secret[18:]} {
		if strings.Contains(told.String(), secret) {
			t.Errorf("%.4s… is told", secret)
		}
	}
}

// Hidden, ignored and binary files are looked at; links and large files are not.
func TestWalk(t *testing.T) {
	folder, outside := t.TempDir(), t.TempDir()
	key := newKey(t).Secret
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(folder, ".git/config"), key)
	write(filepath.Join(folder, ".gitignore"), "ignored\n")
	write(filepath.Join(folder, "ignored"), key)
	write(filepath.Join(folder, "deep/er/binary.so"), "\x00\x01"+key+"\x00")
	write(filepath.Join(folder, "large"), strings.Repeat("x", leaks.MaxFile)+key)
	write(filepath.Join(outside, "secret"), key)
	for name, to := range map[string]string{"link": filepath.Join(outside, "secret"), "folder": outside, "circle": folder} {
		if err := os.Symlink(to, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	found, err := leaks.Walk(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Leaks) != 3 || found.Files != 4 || len(found.Skipped) != 1 || !strings.Contains(found.Skipped[0], "large") {
		t.Errorf("%d leaks in %d files, skipped %v", len(found.Leaks), found.Files, found.Skipped)
	}
	if one, err := leaks.Walk(filepath.Join(folder, "ignored")); err != nil || len(one.Leaks) != 1 {
		t.Errorf("a file by itself: %v %+v", err, one)
	}
	if _, err := leaks.Walk(filepath.Join(folder, "nowhere")); err == nil {
		t.Error("a folder that there is not was looked at")
	}
}

// What the store says decides how bad it is, and what is to be done.
func TestTheStoreSaysWhetherAKeyIsInForce(t *testing.T) {
	for name, key := range map[string]shield.Issued{"an API key": newKey(t), "a secret of signatures": newSigning(t)} {
		t.Run(name, func(t *testing.T) { theStoreSays(t, key) })
	}
}

func theStoreSays(t *testing.T, key shield.Issued) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	found := &leaks.Found{Leaks: leaks.Scan([]byte(key.Secret))}
	for name, c := range map[string]struct {
		credential client.Credential
		disabled   bool
		rule       string
		what       string
	}{
		"in force": {client.Credential{ID: key.ID, Client: "shop"}, false, "leaked-live-key", "of shop: in force; pavise revoke " + key.ID},
		"revoked":  {client.Credential{ID: key.ID, Client: "shop", Revoked: now.Add(-time.Hour)}, false, "leaked-dead-key", "revoked"},
		"expired":  {client.Credential{ID: key.ID, Client: "shop", Expires: now}, false, "leaked-dead-key", "expired"},
		"disabled": {client.Credential{ID: key.ID, Client: "shop"}, true, "leaked-live-key", "disabled"},
		"unknown":  {client.Credential{ID: "another", Client: "shop"}, false, "leaked-key", "does not know it"},
	} {
		holders := leaks.HoldersOf([]client.Client{{ID: "shop", Disabled: c.disabled}}, []client.Credential{c.credential}, now)
		r := leaks.Report(".", found, holders, now)
		if len(r.Findings) != 1 || r.Findings[0].Rule != c.rule || !strings.Contains(r.Findings[0].What, c.what) {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}

func TestTokensSayThemselvesWhetherTheyAreOver(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	old := &leaks.Found{Leaks: leaks.Scan([]byte(newToken(`{"exp":1700000000}`) + "\n" + newToken(`{"exp":2000000000,"iss":"https://a.example","jti":"j"}`)))}
	r := leaks.Report(".", old, nil, now)
	if len(r.Findings) != 2 || r.Findings[0].Rule != "leaked-token" || !strings.Contains(r.Findings[0].What, "pavise revoke 'https://a.example#j'") || r.Findings[1].Rule != "leaked-dead-token" {
		t.Errorf("%+v", r.Findings)
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte(newKey(f).Secret))
	f.Add([]byte(newSigning(f).Secret))
	f.Add([]byte(newToken(`{"exp":1e300}`)))
	f.Add([]byte("p\x00v\x00s\x00_\x00-----BEGIN PRIVATE KEY-----"))
	f.Add([]byte("eyJ.eyJ.eyJ-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, l := range leaks.Scan(text) {
			if l.Line < 1 || l.Column < 1 || l.Secret == "" || l.Kind != leaks.PrivateKey && strings.Contains(l.What(), l.Secret) {
				t.Errorf("%+v", l)
			}
		}
	})
}

func BenchmarkScan(b *testing.B) {
	text := bytes.Repeat([]byte("func main() { fmt.Println(\"pvs_ is a prefix, and eyJ one too\") } // a line of source code\n"), 10_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		leaks.Scan(text)
	}
}
