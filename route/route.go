// Package route finds the endpoint of a request: method and path patterns with
// the syntax and precedence of Go's [net/http.ServeMux], which does the work.
//
// The request's path must be canonical (the guard's door sees to that), so that
// the mux never redirects. HEAD follows GET. What is not listed is not found;
// a path that is listed for other methods is told apart, with those methods.
package route

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrNotFound says that no pattern has this path.
var ErrNotFound = errors.New("no endpoint has this path")

// MethodError says that the path is listed, but not with this method.
type MethodError struct {
	Allow string // the listed methods, as in an Allow header
}

// Error lists the methods that would do.
func (e *MethodError) Error() string { return "the endpoint's methods are " + e.Allow }

// Table maps requests to values of T. It is built once and then safe for
// concurrent use. The zero Table is not usable; see [New].
type Table[T any] struct {
	mux *http.ServeMux
}

// New returns an empty table.
func New[T any]() *Table[T] { return &Table[T]{mux: http.NewServeMux()} }

// Add registers value under a pattern "METHOD /path/{name}". A pattern without
// a method, with a host, or in conflict with an earlier one is an error.
func (t *Table[T]) Add(pattern string, value T) (err error) {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok || method == "" || !strings.HasPrefix(path, "/") {
		return fmt.Errorf("pattern %q: want METHOD /path, for example GET /v1/orders/{id}", pattern)
	}
	// ServeMux reports faults of patterns only by panicking.
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("pattern %q: %v", pattern, fault)
		}
	}()
	t.mux.Handle(pattern, entry[T]{value})
	return nil
}

// Match returns the value of the most specific pattern, and sets the request's
// path values and Pattern. The error is [ErrNotFound] or a [*MethodError].
func (t *Table[T]) Match(r *http.Request) (T, error) {
	var result found[T]
	t.mux.ServeHTTP(&result, r)
	switch {
	case result.ok:
		return result.value, nil
	case result.status == http.StatusMethodNotAllowed:
		return result.value, &MethodError{Allow: result.header.Get("Allow")}
	}
	return result.value, ErrNotFound
}

// entry is the handler that the mux finds: it hands its value to the caller of
// Match instead of answering.
type entry[T any] struct{ value T }

func (e entry[T]) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if result, ok := w.(*found[T]); ok {
		result.value, result.ok = e.value, true
	}
}

// found is the response writer that catches what the mux says.
type found[T any] struct {
	value  T
	ok     bool
	status int
	header http.Header
}

func (f *found[T]) Header() http.Header {
	if f.header == nil {
		f.header = http.Header{}
	}
	return f.header
}

func (f *found[T]) WriteHeader(status int)      { f.status = status }
func (f *found[T]) Write(p []byte) (int, error) { return len(p), nil }
