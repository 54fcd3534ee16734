package file_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"pavise.dev/pavise"
	"pavise.dev/pavise/file"
)

// ExampleOpen guards a program's own handler with a configuration file.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "pavise")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }() // it was only an example
	path := filepath.Join(dir, "pavise.yaml")
	if err := os.WriteFile(path, []byte(configuration), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	guard, err := file.Open(context.Background(), path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() {
		if err := guard.Close(); err != nil {
			fmt.Println(err)
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "up, asked by %s", pavise.IdentityOf(r.Context()).Shield)
	})
	handler := guard.Wrap(mux) // of an http.Server with TLSConfig: guard.TLSConfig()

	for _, path := range []string{"/health", "/v1/orders", "/elsewhere"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil))
		fmt.Println(path, w.Code)
	}
	// Output:
	// /health 200
	// /v1/orders 401
	// /elsewhere 404
}
