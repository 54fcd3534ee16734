package gateway_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/gateway"
)

// What reached the upstream may have been done there; what did not can be tried again.
func TestAResultSaysWhetherAnythingReachedTheUpstream(t *testing.T) {
	hangsUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer hangsUp.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + silent.Addr().String()
	if err := silent.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		addresses []string
		unsent    bool
	}{
		"nobody listens":          {[]string{gone.URL}, true},
		"nobody listens anywhere": {[]string{gone.URL, address}, true},
		"the upstream hangs up":   {[]string{hangsUp.URL}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := guardless(t, gateway.Settings{Addresses: c.addresses}, false)
			response, err := f.server.Client().Post(f.server.URL+"/pay", "text/plain", strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if got := f.last().Unsent; response.StatusCode < 500 || got != c.unsent {
				t.Errorf("status %d, unsent %t", response.StatusCode, got)
			}
		})
	}
}
