package dynamic

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"pavise.dev/pavise/shield"
)

// answer is what is sent.
type answer struct {
	status int
	body   any // nil: none
}

// fault is a refusal: a registered code for the caller (RFC 7591 §3.2.2, RFC 6750 §3.1).
type fault struct {
	status       int
	code, detail string
}

func (f *fault) Error() string { return f.code + ": " + f.detail }

func invalid(format string, args ...any) error {
	return &fault{http.StatusBadRequest, "invalid_client_metadata", fmt.Sprintf(format, args...)}
}

func unauthorized(detail string) error {
	return &fault{http.StatusUnauthorized, "invalid_token", detail}
}

// bearerOf is the token of the request; empty if there is none that could be one.
func bearerOf(r *http.Request) string {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return ""
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || len(token) > 256 {
		return ""
	}
	return token
}

// handle makes a handler of a function, and writes what it returns.
func (s *Server) handle(serve func(*http.Request) (*answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		a, err := serve(r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		write(w, a)
	}
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f, ok := errors.AsType[*fault](err)
	if !ok {
		s.Decline(r, http.StatusServiceUnavailable, string(shield.Undecided), err.Error())
		write(w, &answer{http.StatusServiceUnavailable, map[string]string{"error": "temporarily_unavailable"}})
		return
	}
	s.Decline(r, f.status, f.code, f.detail)
	body := map[string]string{"error": f.code}
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", error_description="an access token for registration is needed"`)
	} else {
		body["error_description"] = plain(f.detail)
	}
	write(w, &answer{f.status, body})
}

// plain keeps to what may stand in an error_description (RFC 6749 §5.2).
func plain(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"':
			return '\''
		case c == '\\' || c < ' ' || c > '~':
			return '?'
		}
		return c
	}, text)
}

func write(w http.ResponseWriter, a *answer) {
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	text, err := json.Marshal(a.body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write(text) // who left does not want it
}
