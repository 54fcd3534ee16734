package fetch_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/fetch"
)

func TestHTTPIsBounded(t *testing.T) {
	s, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the server sees when the client is gone
		switch r.URL.Path {
		case "/ok":
			_, _ = io.WriteString(w, strings.Repeat("x", 10))
		case "/no":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "reason")
		case "/long":
			_, _ = io.WriteString(w, strings.Repeat("x", 11))
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		case "/away":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/packed":
			w.Header().Set("Content-Encoding", "gzip")
		case "/slow":
			<-r.Context().Done()
		}
	})
	c := client(t, fetch.Settings{Allow: []string{"127.0.0.1"}, Roots: roots, Timeout: 500 * time.Millisecond, Concurrent: 2}).HTTP(10)
	get := func(address string) (int, string, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("a=b"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		return answer.StatusCode, string(body), err
	}
	for range 5 { // more than may be under way: turns come back
		if status, body, err := get(s.URL + "/ok"); err != nil || status != http.StatusOK || len(body) != 10 {
			t.Errorf("%d %q %v", status, body, err)
		}
		if status, body, err := get(s.URL + "/no"); err != nil || status != http.StatusBadRequest || body != "reason" {
			t.Errorf("%d %q %v", status, body, err)
		}
		for _, path := range []string{"/long", "/endless", "/away", "/packed"} {
			if status, body, err := get(s.URL + path); err == nil {
				t.Errorf("%s: %d, %d bytes", path, status, len(body))
			}
		}
	}
	if _, _, err := get(s.URL + "/slow"); err == nil {
		t.Error("a server that never answers was waited for")
	}
	for _, address := range []string{"http://127.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/", "file:///etc/passwd", "https://user@127.0.0.1/"} {
		if _, _, err := get(address); err == nil {
			t.Errorf("%s was asked", address)
		}
	}
	if _, _, err := get("https://10.0.0.1/?secret=planted"); !errors.Is(err, fetch.ErrAddress) {
		t.Errorf("error %v", err)
	}
}
