package attack_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attack"
)

func listener(t *testing.T, as string) *attack.Listener {
	t.Helper()
	l, err := attack.Listen(t.Context(), "127.0.0.1:0", as)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// fetch is the status and text at an address.
func fetch(t *testing.T, address string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// What nobody was told nobody finds, and who was told is seen.
func TestAListenerSeesWhoFetchesWhatItHolds(t *testing.T) {
	l := listener(t, "")
	one, other := l.Hold("application/json", []byte(`{"keys":[]}`)), l.Hold("text/plain", []byte("x"))
	if one == other || l.Called(one) != "" {
		t.Errorf("%s and %s, called from %q", one, other, l.Called(one))
	}
	if status, text := fetch(t, one); status != http.StatusOK || text != `{"keys":[]}` {
		t.Errorf("it answers %d %s", status, text)
	}
	if l.Called(one) != "127.0.0.1" || l.Called(other) != "" {
		t.Errorf("called from %q and %q", l.Called(one), l.Called(other))
	}
	for _, path := range []string{"/", "/robots.txt", "/" + strings.Repeat("a", 26)} {
		if status, text := fetch(t, one[:strings.LastIndexByte(one, '/')]+path); status != http.StatusNotFound || text != "" {
			t.Errorf("%s answers %d %q", path, status, text)
		}
	}
	if l.Called("http://elsewhere.example/") != "" {
		t.Error("somebody called elsewhere")
	}
}

// Behind a router the target knows another address, perhaps with a path of its own.
func TestAListenerIsReachedAsItIsSaid(t *testing.T) {
	l := listener(t, "https://tester.example.com/calls/")
	address := l.Hold("text/plain", []byte("x"))
	path, ok := strings.CutPrefix(address, "https://tester.example.com/calls/")
	if !ok {
		t.Fatalf("the target is told %s", address)
	}
	for _, as := range []string{"/calls/" + path, "/" + path} {
		w := &recorder{header: http.Header{}}
		r, err := http.NewRequestWithContext(t.Context(), "GET", as, nil)
		if err != nil {
			t.Fatal(err)
		}
		l.ServeHTTP(w, r)
		if w.text != "x" || l.Called(address) == "" {
			t.Errorf("%s answers %q, called from %q", as, w.text, l.Called(address))
		}
	}
}

type recorder struct {
	header http.Header
	text   string
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(int)     {}
func (r *recorder) Write(text []byte) (int, error) {
	r.text += string(text)
	return len(text), nil
}

func TestAnAddressThatNobodyReachesIsRefused(t *testing.T) {
	for _, bad := range [][2]string{{"0.0.0.0:0", ""}, {"[::]:0", ""}, {":0", ""}, {"8099", ""}, {"127.0.0.1:0", "tester.example.com"}, {"127.0.0.1:0", "http://u:p@tester.example.com"}, {"127.0.0.1:0", "ftp://tester.example.com"}} {
		l, err := attack.Listen(t.Context(), bad[0], bad[1])
		if !errors.Is(err, attack.ErrListener) {
			t.Errorf("%v: %v", bad, err)
		}
		if err == nil {
			_ = l.Close()
		}
	}
	l, err := attack.Listen(t.Context(), "0.0.0.0:0", "http://tester.example.com:8099")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
