package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/shield"
)

// people are those as whom an attack asks.
func (f *attackFlags) people(ctx context.Context) (users []*attack.User, admin *attack.User, err error) {
	if len(f.users) > 2 {
		return nil, nil, &usageError{"--as is given more than twice", "two users suffice: their objects are crossed; --admin names an administrator"}
	}
	names := map[string]bool{}
	one := func(given string) (*attack.User, error) {
		name, from, ok := strings.Cut(given, "=")
		if !ok || name == "" || from == "" || strings.ContainsAny(name, "'<>") {
			return nil, &usageError{"--as and --admin want NAME=FILE or NAME=PROFILE", "--as alice=alice.headers; never the credential itself: command lines are seen by others"}
		}
		if names[name] {
			return nil, &usageError{fmt.Sprintf("two users are called %q", name), ""}
		}
		names[name] = true
		return f.person(ctx, name, from)
	}
	for _, given := range f.users {
		u, err := one(given)
		if err != nil {
			return nil, nil, err
		}
		users = append(users, u)
	}
	if f.admin != "" {
		admin, err = one(f.admin)
	}
	return users, admin, err
}

// person reads a file of header lines, or else a profile.
func (f *attackFlags) person(ctx context.Context, name, from string) (*attack.User, error) {
	if info, err := os.Stat(from); err == nil && info.Mode().IsRegular() {
		lines, err := readHeaders(from)
		if err != nil {
			return nil, err
		}
		return &attack.User{Name: name, Sign: func(r *http.Request) error {
			for name, values := range lines {
				r.Header[name] = values
			}
			return nil
		}}, nil
	}
	if strings.ContainsAny(from, "/\\") && !strings.Contains(from, ":") {
		return nil, &usageError{fmt.Sprintf("there is no file %s", from), "a file of header lines: Authorization: Bearer …"}
	}
	with, err := readProfile(from)
	if errors.Is(err, os.ErrNotExist) && !strings.Contains(from, ":") {
		return nil, &usageError{fmt.Sprintf("%s is neither a file of header lines nor a profile of pavise call", from), "write its header lines into a file: Authorization: Bearer …; or a profile: pavise call --help"}
	}
	if err != nil {
		return nil, err
	}
	return f.fromProfile(ctx, name, with)
}

// fromProfile signs as a profile says.
func (f *attackFlags) fromProfile(ctx context.Context, name string, with *found) (*attack.User, error) {
	signers, err := open(with.credentials)
	if err != nil {
		return nil, err
	}
	u := &attack.User{Name: name}
	var token func(*http.Request) error
	if with.oauth != nil {
		c, err := openClient(*with.oauth, firstOf(with.ca, f.ca), with.oauth.Grant)
		if err != nil {
			return nil, err
		}
		if _, err := c.Token(ctx); err != nil { // now, and not in the middle of the run
			return nil, (&tokenFlags{}).explain(err)
		}
		token = c.Sender().Sign
	}
	for _, s := range signers {
		if presenter, ok := s.(shield.Presenter); ok {
			u.Certificate = presenter.Certificate()
		}
	}
	u.Sign = func(r *http.Request) error {
		if token != nil {
			if err := token(r); err != nil {
				return err
			}
		}
		return sign(r, signers, false, io.Discard)
	}
	return u, nil
}

// maxHeaders is the longest file of header lines, in bytes.
const maxHeaders = 64 << 10

// readHeaders reads header lines from a file that only its owner may read. Errors quote nothing of
// it.
func readHeaders(name string) (http.Header, error) {
	text, err := readPrivate("credential", name, maxHeaders)
	if err != nil {
		return nil, err
	}
	headers, err := parseHeaders(string(text))
	if err != nil {
		return nil, &usageError{fmt.Sprintf("%s: %v", name, err), "write lines like Authorization: Bearer …"}
	}
	return headers, nil
}

// parseHeaders reads "Name: value" line by line; lines that begin with # are left out.
func parseHeaders(text string) (http.Header, error) {
	headers := http.Header{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || !isHeaderName(name) || value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, fmt.Errorf("line %d is no header line", number)
		}
		if strings.EqualFold(name, "Host") || strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "Transfer-Encoding") {
			return nil, fmt.Errorf("line %d is about the connection, and no credential", number)
		}
		headers.Add(name, value)
	}
	if len(headers) == 0 {
		return nil, errors.New("it has no header line")
	}
	return headers, nil
}

// isHeaderName reports whether a text is a token (RFC 9110 §5.6.2), as far as names of headers go.
func isHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}
