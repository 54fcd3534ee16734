package revocation_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/revocation"
)

// What the standard library reads of a list is what we read.
func TestListsAreReadAsTheStandardLibraryDoes(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, 40).Draw(t, "size")
		template := &x509.RevocationList{
			Number:     big.NewInt(rapid.Int64Range(1, 1<<60).Draw(t, "number")),
			ThisUpdate: w.Now(), NextUpdate: w.Now().Add(time.Hour),
		}
		for range size {
			serial := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "serial"))
			at := time.Unix(rapid.Int64Range(0, 1<<32-1).Draw(t, "at"), 0)
			template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: serial, RevocationTime: at.UTC(), ReasonCode: rapid.SampledFrom([]int{0, 1, 4, 6}).Draw(t, "reason"),
			})
		}
		der, err := x509.CreateRevocationList(rand.Reader, template, w.ca.cert, w.ca.key)
		if err != nil {
			t.Skip("it cannot be written")
		}
		want, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		got, err := revocation.ParseList(der)
		if err != nil {
			t.Fatalf("not read: %v", err)
		}
		if err := got.SignedBy(w.ca.cert); err != nil {
			t.Errorf("signature: %v", err)
		}
		if !got.From.Equal(want.ThisUpdate) || !got.Until.Equal(want.NextUpdate) || got.Number.Cmp(want.Number) != 0 || got.Len() != len(want.RevokedCertificateEntries) || !got.Whole() {
			t.Errorf("%+v\n%+v", got, want)
		}
		for _, e := range want.RevokedCertificateEntries {
			serial := revocation.SerialOf(&x509.Certificate{SerialNumber: e.SerialNumber})
			if _, revoked := got.RevokedAt(&serial); !revoked {
				t.Errorf("%x is missing", e.SerialNumber)
			}
		}
		other := revocation.SerialOf(&x509.Certificate{SerialNumber: number()})
		if at, revoked := got.RevokedAt(&other); revoked {
			t.Errorf("a stranger was revoked at %s", at)
		}
	})
}

func TestMomentOfRevocation(t *testing.T) {
	w := newWorld(t)
	leaf := w.ca.leaf()
	l, err := revocation.ParseList(w.ca.list(1, w.Now(), time.Hour, nil, w.ca.leaf(), leaf, w.ca.leaf()))
	must(t, err)
	serial := revocation.SerialOf(leaf)
	if at, revoked := l.RevokedAt(&serial); !revoked || !at.Equal(w.Now()) {
		t.Errorf("%s %v", at, revoked)
	}
}

func critical(id int, der ...byte) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, id}, Critical: true, Value: der}}
	}
}

// where is the value of an issuing distribution point with an address.
func where(address string, more ...byte) []byte {
	name := append([]byte{0x86, byte(len(address))}, address...)
	full := append([]byte{0xa0, byte(len(name))}, name...)
	point := append([]byte{0xa0, byte(len(full))}, full...)
	body := append(point, more...)
	return append([]byte{0x30, byte(len(body))}, body...)
}

func TestListsThatAreNoWordOfOneAuthorityAreRefused(t *testing.T) {
	attacktest.Rows(t, 77)
	w := newWorld(t)
	odd := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}
	for name, c := range map[string]struct {
		change func(*x509.RevocationList)
		ok     bool
	}{
		"a plain one":           {nil, true},
		"a delta":               {critical(27, 2, 1, 1), false},
		"of an address":         {critical(28, where(point)...), true},
		"about users":           {critical(28, where(point, 0x81, 1, 0xff)...), true},
		"about authorities":     {critical(28, 0x30, 3, 0x82, 1, 0xff), true},
		"about some reasons":    {critical(28, where(point, 0x83, 2, 1, 0x40)...), false},
		"indirect":              {critical(28, where(point, 0x84, 1, 0xff)...), false},
		"about attributes":      {critical(28, 0x30, 3, 0x85, 1, 0xff), false},
		"users and authorities": {critical(28, 0x30, 6, 0x81, 1, 0xff, 0x82, 1, 0xff), false},
		"a false that is said":  {critical(28, 0x30, 3, 0x81, 1, 0), false},
		"about nothing":         {critical(28, 0x30, 0), false},
		"an entry of another's": {func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: number(), RevocationTime: l.ThisUpdate, ExtraExtensions: []pkix.Extension{odd}}}
		}, false},
		"signed with SHA-1": {func(l *x509.RevocationList) { l.SignatureAlgorithm = x509.ECDSAWithSHA1 }, false},
	} {
		if _, err := revocation.ParseList(w.ca.list(1, w.Now(), time.Hour, c.change)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDamagedListsAreRefused(t *testing.T) {
	w := newWorld(t)
	der := w.ca.list(1, w.Now(), time.Hour, nil, w.ca.leaf(), w.ca.leaf())
	for i := range der {
		bad := bytes.Clone(der)
		bad[i] ^= 0x20
		if l, err := revocation.ParseList(bad); err == nil && l.SignedBy(w.ca.cert) == nil {
			t.Errorf("byte %d may be another", i)
		}
	}
	for i := range der {
		if _, err := revocation.ParseList(der[:i]); err == nil {
			t.Errorf("cut after %d bytes, and read", i)
		}
	}
	if _, err := revocation.ParseList(append(bytes.Clone(der), 0)); err == nil {
		t.Error("something after the end was read over")
	}
}

func FuzzParseList(f *testing.F) {
	w := newWorld(f)
	f.Add(w.ca.list(1, w.Now(), time.Hour, nil))
	f.Add(w.ca.list(7, w.Now(), time.Hour, critical(28, where(point, 0x81, 1, 0xff)...), w.ca.leaf(), w.ca.leaf()))
	f.Fuzz(func(t *testing.T, der []byte) {
		got, err := revocation.ParseList(der)
		if err != nil {
			return
		}
		want, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Skip() // entries that the standard library reads more strictly
		}
		if got.Len() != len(want.RevokedCertificateEntries) || !got.From.Equal(want.ThisUpdate) {
			t.Errorf("%d entries, the standard library has %d", got.Len(), len(want.RevokedCertificateEntries))
		}
	})
}

// million signs a list with a million entries.
func million(t testing.TB, w *world) ([]byte, *x509.Certificate) {
	t.Helper()
	leaf := w.ca.leaf()
	return w.ca.list(1, w.Now(), time.Hour, func(l *x509.RevocationList) {
		for range 999_999 {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: number(), RevocationTime: l.ThisUpdate})
		}
	}, leaf), leaf
}

// BenchmarkMillion is a list with a million certificates: reading it, what it takes in
// memory, and a look-up in it.
func BenchmarkMillion(b *testing.B) {
	w := newWorld(b)
	der, leaf := million(b, w)
	l, err := revocation.ParseList(der)
	must(b, err)
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(der)))
		for b.Loop() {
			if _, err := revocation.ParseList(der); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("look-up", func(b *testing.B) {
		serial := revocation.SerialOf(leaf)
		b.ReportAllocs()
		for b.Loop() {
			if _, revoked := l.RevokedAt(&serial); !revoked {
				b.Fatal("not found")
			}
		}
	})
	b.Run("kept", func(b *testing.B) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		again, err := revocation.ParseList(der)
		must(b, err)
		runtime.GC()
		runtime.ReadMemStats(&after)
		for b.Loop() { // nothing: what is measured is above
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
		runtime.KeepAlive(again)
	})
}
