package client_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/internal/store/sqlite"
	"pavise.dev/pavise/shield"
)

// crowd is a view of many credentials of a hundred clients.
func crowd(tb testing.TB, s client.Store, many int) (*client.Registry, *client.View) {
	tb.Helper()
	m, err := seal.NewMaster(make([]byte, 32))
	if err != nil {
		tb.Fatal(err)
	}
	r, err := client.OpenRegistry(tb.Context(), client.Options{Store: s, Master: m})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range 100 {
		if _, err := r.CreateClient(tb.Context(), client.Client{ID: fmt.Sprint("c", i), Scopes: shield.Scopes{"orders:read", "orders:write"}}); err != nil {
			tb.Fatal(err)
		}
	}
	for i := range many {
		id := fmt.Sprintf("key%013d", i)
		keep := shield.KeepHash
		if i%4 == 3 {
			keep = shield.KeepSealed
		}
		if _, _, err := r.AddCredential(tb.Context(), client.Credential{Kind: "api_key", Client: fmt.Sprint("c", i%100), Scopes: shield.Scopes{"orders:read"}},
			shield.Issued{ID: id, Material: []byte("secret-of-" + id), Keep: keep}); err != nil {
			tb.Fatal(err)
		}
	}
	v, err := r.View(tb.Context(), client.ViewOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = v.Close() })
	return r, v
}

func BenchmarkView(b *testing.B) {
	_, v := crowd(b, memory.New(), 10_000)
	ids := make([]string, 1024)
	for i := range ids {
		ids[i] = fmt.Sprintf("key%013d", i*4) // those that are kept as a hash
	}
	material := []byte("secret-of-" + ids[0])
	record, err := v.Credential("api_key", ids[0])
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	steps := map[string]func(i int) error{
		"Credential": func(i int) error { _, err := v.Credential("api_key", ids[i%1024]); return err },
		"Match": func(int) error {
			if !record.Match(material) {
				return errors.New("no match")
			}
			return nil
		},
		"Holder": func(int) error { _, err := v.Holder("api_key", material); return err },
		"Token":  func(int) error { _, err := v.Token("https://issuer", "somebody", "token", now); return err },
		"Used":   func(i int) error { v.Used("api_key", ids[i%1024], now); return nil },
		"Live":   func(int) error { _ = record.Identity(now).Revocation(); return nil },
	}
	for name, step := range steps {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := step(i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRevocation measures from the call to the moment at which another node
// refuses, among many credentials.
func BenchmarkRevocation(b *testing.B) {
	for _, kind := range []string{"memory", "sqlite"} {
		b.Run(kind, func(b *testing.B) {
			var s client.Store = memory.New()
			const many = 100_000
			if kind == "sqlite" {
				// Filled at once: a hundred thousand commits would take minutes.
				s = copied(b, many)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			r, v := crowdOrOpen(b, s, kind, many)
			runtime.GC()
			runtime.ReadMemStats(&after)
			var applied time.Duration
			n := 0
			for ; b.Loop(); n++ {
				id := fmt.Sprintf("key%013d", n)
				if _, err := r.Revoke(b.Context(), id, ""); err != nil {
					b.Fatal(err)
				}
				start := time.Now()
				if err := v.Refresh(b.Context()); err != nil {
					b.Fatal(err)
				}
				applied += time.Since(start)
				if record, err := v.Credential("api_key", id); err != nil || record.Revoked.IsZero() {
					b.Fatal("not revoked", err)
				}
			}
			b.ReportMetric(float64(applied.Microseconds())/float64(n), "µs/refresh")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		})
	}
}

func copied(b *testing.B, many int) client.Store {
	b.Helper()
	from := memory.New()
	crowd(b, from, many)
	rows, _, err := from.Since(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	for len(rows) > 0 {
		n := min(len(rows), 1000)
		if _, err := s.Commit(b.Context(), rows[:n]...); err != nil {
			b.Fatal(err)
		}
		rows = rows[n:]
	}
	return s
}

func crowdOrOpen(b *testing.B, s client.Store, kind string, many int) (*client.Registry, *client.View) {
	b.Helper()
	if kind == "memory" {
		return crowd(b, s, many)
	}
	m, err := seal.NewMaster(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	r, err := client.OpenRegistry(b.Context(), client.Options{Store: s, Master: m, Mark: filepath.Join(b.TempDir(), "mark"), AcceptRestored: true})
	if err != nil {
		b.Fatal(err)
	}
	v, err := r.View(b.Context(), client.ViewOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("opened %d credentials in %s", many, time.Since(start).Round(time.Millisecond))
	b.Cleanup(func() { _ = v.Close() })
	return r, v
}

// BenchmarkAdministration measures changes with a store on disk and a mark.
func BenchmarkAdministration(b *testing.B) {
	s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	m, err := seal.NewMaster(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	r, err := client.OpenRegistry(b.Context(), client.Options{Store: s, Master: m, Mark: filepath.Join(b.TempDir(), "mark")})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := r.CreateClient(b.Context(), client.Client{ID: "shop"}); err != nil {
		b.Fatal(err)
	}
	n := 0
	b.Run("AddCredential", func(b *testing.B) {
		for b.Loop() {
			n++
			id := fmt.Sprint("k", n)
			if _, _, err := r.AddCredential(b.Context(), client.Credential{Kind: "api_key", Client: "shop"}, shield.Issued{ID: id, Material: []byte(id), Keep: shield.KeepHash}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDisableClient measures how long the snapshot takes to follow a change
// of a client that owns many credentials.
func BenchmarkDisableClient(b *testing.B) {
	r, v := crowd(b, memory.New(), 100_000)
	disabled := false
	for b.Loop() {
		disabled = !disabled
		for i := range 100 {
			if _, err := r.UpdateClient(b.Context(), fmt.Sprint("c", i), "update", func(c *client.Client) error { c.Disabled = disabled; return nil }); err != nil {
				b.Fatal(err)
			}
		}
		start := time.Now()
		if err := v.Refresh(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/refresh")
	}
}
