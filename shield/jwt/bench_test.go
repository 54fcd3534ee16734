package jwt

import (
	"fmt"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
)

func benchmark(b *testing.B, alg string, cache, tokens int) {
	b.Helper()
	w := newWorld(b, func(_ *shield.Issuer, c *Config) { c.Cache = cache })
	kid := w.corp.Add(alg)
	load(b, w.corp, w.keys)
	env := w.Env()
	env.Credentials, env.Revoked = none{}, none{}
	opened, err := w.config.Open(env)
	if err != nil {
		b.Fatal(err)
	}
	requests := make([]string, tokens)
	for i := range requests {
		requests[i] = "Bearer " + w.corp.Sign(map[string]any{"kid": kid, "alg": alg}, w.corp.Claims(nil))
	}
	r := request("")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.Header["Authorization"][0] = requests[i%tokens]
		if _, err := opened.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		b.Run(alg+"/cached", func(b *testing.B) { benchmark(b, alg, defaultCache, 1) })
		b.Run(alg+"/first", func(b *testing.B) { benchmark(b, alg, 0, 1) })
	}
	for _, n := range []int{1000} {
		b.Run(fmt.Sprintf("RS256/%d_tokens", n), func(b *testing.B) { benchmark(b, "RS256", defaultCache, n) })
	}
}

func BenchmarkCachedParallel(b *testing.B) {
	w := newWorld(b, func(_ *shield.Issuer, c *Config) { c.Cache = defaultCache })
	env := w.Env()
	env.Credentials, env.Revoked = none{}, none{}
	opened, err := w.config.Open(env)
	if err != nil {
		b.Fatal(err)
	}
	token := "Bearer " + w.corp.Token(nil)
	b.RunParallel(func(p *testing.PB) {
		r := request(token)
		for p.Next() {
			if _, err := opened.Verify(r); err != nil {
				b.Error(err)
			}
		}
	})
}

// none knows no credential and no revocation, without a lock.
type none struct{}

func (none) Credential(string, string) (*shield.Record, error) { return nil, shield.ErrUnknown }
func (none) Holder(string, []byte) (*shield.Record, error)     { return nil, shield.ErrUnknown }
func (none) Token(string, string, string, time.Time) (bool, error) {
	return false, nil
}
func (none) Generation() uint64 { return 0 }
