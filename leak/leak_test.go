package leak_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/leak"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/apikey"
	"pavise.dev/pavise/shield/hmac"
)

// all has every kind masked, but traces, which cannot be.
func all(t testing.TB) *leak.Scanner {
	t.Helper()
	what := map[leak.Kind]leak.Action{}
	for _, k := range leak.Kinds() {
		what[k] = leak.Mask
	}
	what[leak.Trace] = leak.Block
	return scanner(t, what)
}

func scanner(t testing.TB, what map[leak.Kind]leak.Action) *leak.Scanner {
	t.Helper()
	s, err := leak.New(what)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func only(t testing.TB, k leak.Kind) *leak.Scanner {
	t.Helper()
	action := leak.Mask
	if k == leak.Trace {
		action = leak.Block
	}
	return scanner(t, map[leak.Kind]leak.Action{k: action})
}

func counts(r leak.Result) string {
	var all []string
	for _, f := range r.Found {
		all = append(all, fmt.Sprintf("%s=%d", f.Kind, f.Count))
	}
	return strings.Join(all, " ")
}

// What is one beside what is none, though it looks alike.
func TestCardsHaveAnIssuerALengthAndACheckDigit(t *testing.T) {
	attacktest.Rows(t, 113)
	s := only(t, leak.Card)
	for text, want := range map[string]string{
		"4111111111111111":                         "************1111",
		"pay with 4111 1111 1111 1111, please":     "pay with ************1111, please",
		"4111-1111-1111-1111.":                     "************1111.",
		"(378282246310005)":                        "(************0005)",
		"3782 822463 10005":                        "************0005",
		"5555555555554444 and 2223003122003222":    "************4444 and ************3222",
		"6011111111111117,3530111333300000":        "************1117,************0000",
		"30569309025904":                           "************5904",
		"6200000000000005":                         "************0005",
		"/cards/4111111111111111":                  "/cards/************1111",
		"card:4111111111111111":                    "card:************1111",
		"no. 4 4111111111111111 2":                 "no. 4 ************1111 2",
		"4111111111111112":                         "", // the check digit
		"4111 1111 1111 1112":                      "",
		"41111111111111111":                        "", // seventeen
		"411111111111111":                          "", // fifteen
		"9111111111111114":                         "", // no issuer
		"1234 4111 1111 1111 1111":                 "", // longer
		"4111 1111 1111 1111 1234":                 "",
		"4111 1111-1111 1111":                      "", // two ways to part them
		"411 1111 1111 11111":                      "", // not as on a card
		"x4111111111111111":                        "",
		"4111111111111111x":                        "",
		"0.4111111111111111":                       "",
		"4111111111111111.5":                       "",
		"+4111111111111111":                        "",
		"00000000-0000-4111-8111-4111111111111111": "",
		"4111111111111111-22":                      "",
		"20261130093245":                           "",
		"1701336765000000":                         "",
	} {
		check(t, s, text, want)
	}
}

func check(t *testing.T, s *leak.Scanner, text, want string) {
	t.Helper()
	r := s.Text([]byte(text))
	if want == "" && (len(r.Found) > 0 || string(r.Text) != text) {
		t.Errorf("%q is taken for %s", text, counts(r))
	}
	if want != "" && (len(r.Found) != 1 || string(r.Text) != want) {
		t.Errorf("%q: %s, %q, want %q", text, counts(r), r.Text, want)
	}
}

func TestAddressesHaveALocalPartAndADomain(t *testing.T) {
	s := only(t, leak.Email)
	for text, want := range map[string]string{
		"ada@example.com":                      "a***@example.com",
		"<Ada.Lovelace+x@mail.example.co.uk>.": "<A***@mail.example.co.uk>.",
		"mailto:ada@example.com?subject=x":     "mailto:a***@example.com?subject=x",
		"**ada@example.com**":                  "**a***@example.com**",
		"write to ada@example.com.":            "write to a***@example.com.",
		"user=ada@example.com&x":               "user=a***@example.com&x",
		"ünal@exämple.de":                      "ü***@exämple.de",
		"a@b.io,c@d.io":                        "a***@b.io,c***@d.io",
		"ada@localhost":                        "",
		"@ada and @example.com":                "",
		"icon@2x.png":                          "",
		"lodash@4.17.21":                       "",
		"ada@example.":                         "",
		"ada@-example.com":                     "",
		"ada@@example.com":                     "",
		"git@github.com:pavise/pavise.git":     "",
		"a***@example.com":                     "",
	} {
		check(t, s, text, want)
	}
}

func TestAccountNumbersFitTheirCountry(t *testing.T) {
	s := only(t, leak.IBAN)
	for text, want := range map[string]string{
		"DE89370400440532013000":                  "***",
		"IBAN DE89 3704 0044 0532 0130 00 of Ada": "IBAN *** of Ada",
		"de89370400440532013000":                  "***",
		"GB82 WEST 1234 5698 7654 32":             "***",
		"FR1420041010050500013M02606":             "***",
		"NO9386011117947":                         "***",
		"MT84MALT011000012345MTLCAST001S":         "***",
		"CH9300762011623852957":                   "***",
		"NL91ABNA0417164300.":                     "***.",
		"DE89370400440532013001":                  "", // the check digits
		"DE8937040044053201300":                   "", // too short
		"DE893704004405320130000":                 "", // too long
		"GB82123412345698765432":                  "", // not of this country's form
		"ZZ89370400440532013000":                  "",
		"xDE89370400440532013000":                 "",
		"DE89  3704 0044 0532 0130 00":            "",
		"De89370400440532013000":                  "",
	} {
		check(t, s, text, want)
	}
}

// Keys are put together here so that nobody's scanner takes this file for a leak.
func TestKeysOfProvidersAreKnown(t *testing.T) {
	s := only(t, leak.Key)
	letters := strings.Repeat("aB3dE5gH7j", 10)
	for _, key := range []string{
		"AKIA" + "IOSFODNN7EXAMPLE", "ASIA" + "IOSFODNN7EXAMPLE", "ghp_" + letters[:36], "github_pat_" + letters[:22] + "_" + letters[:59],
		"glpat-" + letters[:20], "xoxb-" + "123456789012-123456789012-" + letters[:24], "https://hooks.slack.com/services/T" + "00000000/B00000000/" + letters[:24],
		"sk_live_" + letters[:24], "rk_test_" + letters[:24], "AIza" + letters[:35], "npm_" + letters[:36], "sk-" + letters[:48], "sk-ant-api03-" + letters[:80],
		"SG." + letters[:22] + "." + letters[:43], "dop_v1_" + strings.Repeat("0a1b", 16), "shpat_" + strings.Repeat("0a1b", 8), "hf_" + strings.Repeat("aBcD", 8) + "eF",
		"AGE-SECRET-KEY-1" + strings.Repeat("QZ", 29), "pypi-" + letters[:90],
	} {
		for _, text := range []string{key, "key=" + key + ";", `"` + key + `"`, key + "."} {
			want := strings.Replace(text, strings.TrimPrefix(key, "https://"), "***", 1)
			check(t, s, text, want)
		}
		if !strings.HasPrefix(key, "https://") { // which begins behind a slash
			check(t, s, "x"+key, "")
		}
		check(t, s, key[:12], "")
	}
	for _, text := range []string{
		"sk-learn-is-a-library-for-machine-learning", "the task-force-of-the-year", "risk-assessment-0123456789abcdef", "npm_config_registry", "hf_token", "SG.1",
		"AKIAIOSFODNN7EXAMPLEX", "ghp_" + letters[:12], "sk_live_short",
	} {
		check(t, s, text, "")
	}
}

func TestTokensAndPrivateKeysAreKnown(t *testing.T) {
	tokens := only(t, leak.JWT)
	const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	check(t, tokens, jwt, "***")
	check(t, tokens, "Bearer "+jwt+",", "Bearer ***,")
	for _, text := range []string{
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ", "eyJub3BlIjoxfQ.eyJzdWIiOiJhZGEifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "x" + jwt, "eyJ.eyJ.eyJ", "eyJh.bGci.OiJIUzI1NiJ9",
	} {
		check(t, tokens, text, "")
	}
	keys := only(t, leak.PrivateKey)
	for _, label := range []string{"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"} {
		pem := "-----BEGIN " + label + "-----\nMIIE\n-----END " + label + "-----"
		check(t, keys, "a "+pem+" b", "a *** b")
		check(t, keys, "a "+strings.TrimSuffix(pem, "-----END "+label+"-----"), "a ***")
	}
	for _, label := range []string{"PUBLIC KEY", "CERTIFICATE", "RSA PUBLIC KEY"} {
		check(t, keys, "-----BEGIN "+label+"-----\nMIIE\n-----END "+label+"-----", "")
	}
}

func TestTracesAreKnown(t *testing.T) {
	attacktest.Rows(t, 113)
	s := only(t, leak.Trace)
	for name, text := range map[string]string{
		"Go":           "panic: runtime error\n\ngoroutine 1 [running]:\nmain.main()\n\t/srv/main.go:12 +0x1d\n",
		"a Go frame":   "\t/srv/main.go:12 +0x1d",
		"Java":         "java.lang.NullPointerException\n\tat com.example.Orders.find(Orders.java:12)",
		"Kotlin":       "\tat com.example.OrdersKt.find(Orders.kt:12)",
		"Java, main":   "Exception in thread \"main\" java.lang.Error",
		"Python":       "Traceback (most recent call last):\n  File \"/srv/app.py\", line 3, in find",
		".NET":         "   at Shop.Orders.Find(Int32 id) in /srv/Orders.cs:line 12",
		".NET, system": "   at System.Data.SqlClient.SqlCommand.ExecuteReader(CommandBehavior behavior)",
		"Node":         "Error: no\n    at find (/srv/orders.js:12:7)",
		"Node, bare":   "    at /srv/orders.mjs:12:7",
		"Node itself":  "    at Module._compile (node:internal/modules/cjs/loader:1369:14)",
		"PHP":          "PHP Fatal error:  Uncaught Error in /srv/orders.php on line 12",
		"PHP, HTML":    "<b>Warning</b>: no in <b>/srv/orders.php</b> on line <b>12</b>",
		"PHP, frames":  "#0 /srv/orders.php(12): find()",
		"Ruby":         "/srv/orders.rb:12:in `find'",
		"Rust":         "thread 'main' panicked at src/main.rs:2:5",
		"MySQL":        "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version",
		"PDO":          "SQLSTATE[42000]: Syntax error",
		"PostgreSQL":   `ERROR:  syntax error at or near "FROM"`,
		"Oracle":       "ORA-00933: SQL command not properly ended",
		"SQL Server":   "Unclosed quotation mark after the character string ''.",
		"SQLite":       "SQLITE_ERROR: near \"x\": syntax error",
	} {
		if r := s.Text([]byte(text)); !r.Has(leak.Block) {
			t.Errorf("%s is not found", name)
		}
	}
	for _, text := range []string{
		"see main.go:12 and Orders.java:12", "the file orders.js:12:7 is at /srv", "a goroutine is light", "look at System.Text for texts", "panic: a word",
		"orders.rb:12", "the trace begins with Traceback", "a syntax error near the end", "ORA-12", "meet me at Orders.java", "the line at x in y.cs: line 12", "orders.php(12) is called",
	} {
		check(t, s, text, "")
	}
}

func TestKindsAndActionsThatThereAreNot(t *testing.T) {
	for _, what := range []map[leak.Kind]leak.Action{{"phone": leak.Mask}, {leak.Card: "hide"}, {leak.Trace: leak.Mask}} {
		if _, err := leak.New(what); err == nil {
			t.Errorf("%v is accepted", what)
		}
	}
	s := scanner(t, nil)
	check(t, s, "4111111111111111 ada@example.com", "")
}

// Our own keys, made where they are made.
func TestKeysOfOurOwnAreKnown(t *testing.T) {
	s := only(t, leak.Key)
	for range 20 {
		for _, kind := range []shield.Kind{apikey.Kind(), hmac.Kind()} {
			key := issue(t, kind, rand.Reader)
			check(t, s, "X-API-Key: "+key, "X-API-Key: ***")
			other := []byte(key)
			other[len(other)-1] ^= 1
			check(t, s, string(other), "")
		}
	}
}

func issue(t *testing.T, kind shield.Kind, random io.Reader) string {
	t.Helper()
	issued, err := kind.Issue(shield.Env{Rand: random}, shield.IssueRequest{Environment: "live"})
	if err != nil {
		t.Fatal(err)
	}
	return issued.Secret
}
