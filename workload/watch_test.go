package workload_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/pkitest"
	"pavise.dev/pavise/workload"
)

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	check(t, err)
	return string(text)
}

func TestFilesThatSomebodyElseRenews(t *testing.T) {
	w := pkitest.Start(t)
	issue := func() pki.Request { return pki.Request{Client: "web", Names: pki.Names{"dns:web.internal"}} }
	one := watch(w, w.Issue(issue()))
	client, server := to(one.ClientConfig(), "web.internal"), one.ServerConfig()
	accepted(t, client, server)
	first := serial(t, one.Certificate)
	one.Look(t.Context())
	put(t, one.options.Chain, w.Issue(issue()), w.Roots())
	one.Look(t.Context())
	if serial(t, one.Certificate) == first {
		t.Error("the new files were not read")
	}
	accepted(t, client, server)
	if told := one.warned.take(); told != nil {
		t.Errorf("warned %q", told)
	}
}

// Key and chain cannot be replaced in one step: who looks between the two finds what does
// not fit, and keeps what was.
func TestHalfReplacedFilesAreReadAgain(t *testing.T) {
	w := pkitest.Start(t)
	one := watch(w, w.Issue(pki.Request{Client: "web"}))
	first, key := serial(t, one.Certificate), strings.TrimSuffix(one.options.Chain, ".pem")+"-key.pem"
	before := read(t, one.options.Chain)
	put(t, one.options.Chain, w.Issue(pki.Request{Client: "web"}), w.Roots())
	after := read(t, one.options.Chain)
	check(t, os.WriteFile(one.options.Chain, []byte(before), 0o644))

	one.Look(t.Context())
	if told := one.warned.take(); told != nil || serial(t, one.Certificate) != first {
		t.Errorf("between the two: certificate %s, warned %q", serial(t, one.Certificate), told)
	}
	for range 5 {
		one.Look(t.Context())
	}
	if told := one.warned.take(); len(told) != 1 || !strings.Contains(told[0], "stays in use") || serial(t, one.Certificate) != first {
		t.Errorf("files that stay unfit: warned %q", told)
	}
	check(t, os.WriteFile(one.options.Chain, []byte(after), 0o644))
	one.Look(t.Context())
	if serial(t, one.Certificate) == first {
		t.Error("the whole files were not read")
	}
	check(t, os.Chmod(key, 0o644))
	check(t, os.Remove(strings.TrimSuffix(one.options.Chain, ".pem")+"-roots.pem"))
	one.Look(t.Context())
	one.Look(t.Context())
	if told := one.warned.take(); len(told) != 1 || !strings.Contains(told[0], "own-roots.pem") {
		t.Errorf("roots that are gone: warned %q", told)
	}
}

func TestRootThatIsTakenOutOfTheFileIsTrustedNoMore(t *testing.T) {
	w, elsewhere := pkitest.Start(t), pkitest.Start(t)
	one := watch(w, w.Issue(pki.Request{Client: "web", Names: pki.Names{"dns:web.internal"}}))
	client, server := with(w.Issue(pki.Request{Client: "pay"})), one.ServerConfig()
	accepted(t, client, server)
	put(t, one.options.Chain, current(t, one), elsewhere.Roots())
	one.Look(t.Context())
	refused(t, client, server, "unknown authority")
	accepted(t, with(elsewhere.Issue(pki.Request{Client: "pay"})), server)
}

func TestCertificateThatNobodyRenewsIsTold(t *testing.T) {
	w := pkitest.Start(t)
	one := watch(w, w.Issue(pki.Request{Client: "web"}))
	w.Clock.Add(21 * time.Hour)
	one.Look(t.Context())
	if told := one.warned.take(); told != nil {
		t.Errorf("too early: %q", told)
	}
	w.Clock.Add(2 * time.Hour)
	for range 3 {
		one.Look(t.Context())
	}
	if told := one.warned.take(); len(told) != 1 || !strings.Contains(told[0], "pavise cert agent") {
		t.Errorf("in the last tenth: %q", told)
	}
	w.Clock.Add(2 * time.Hour)
	for range 3 {
		one.Look(t.Context())
	}
	if told := one.warned.take(); len(told) != 1 || !strings.Contains(told[0], "it ended at") {
		t.Errorf("after its end: %q", told)
	}
	check(t, one.Close())
	if _, err := workload.Open(t.Context(), one.options); err == nil || !strings.Contains(err.Error(), "pavise cert agent") {
		t.Errorf("%v", err)
	}
	put(t, one.options.Chain, w.Issue(pki.Request{Client: "web"}), w.Roots())
	open(t, one.options, one.warned)
}
