package attack_test

import (
	"testing"

	"pavise.dev/pavise/internal/attack"
)

// TestAHandshakeToPasteIsQuoted: what a target is called is a word, whatever it holds.
func TestAHandshakeToPasteIsQuoted(t *testing.T) {
	for _, c := range []struct{ host, name, flags, want string }{
		{"api.example.com:443", "api.example.com", "-tls1", "openssl s_client -connect api.example.com:443 -servername api.example.com -tls1 </dev/null"},
		{"'$(x):443", "'$(x)", "", `openssl s_client -connect ''\''$(x):443' -servername ''\''$(x)' </dev/null`},
	} {
		if got := attack.OpenSSL(c.host, c.name, c.flags); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
