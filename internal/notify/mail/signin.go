package mail

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wneessen/go-mail/smtp"

	"pavise.dev/pavise/internal/secret"
)

// signIn signs in with PLAIN (RFC 4616), or LOGIN where a server has nothing better; over TLS
// alone. It implements smtp.Auth, for one connection.
type signIn struct {
	user     string
	password secret.Value
	login    bool
	asked    int
}

// Start implements smtp.Auth.
func (s *signIn) Start(server *smtp.ServerInfo) (mechanism string, first []byte, err error) {
	switch {
	case !server.TLS:
		return "", nil, errors.New("the connection has no TLS: nobody signs in")
	case slices.Contains(server.Auth, "PLAIN"):
		return "PLAIN", fmt.Appendf(nil, "\x00%s\x00%s", s.user, s.password.Reveal()), nil
	case slices.Contains(server.Auth, "LOGIN"):
		s.login = true
		return "LOGIN", nil, nil
	}
	return "", nil, fmt.Errorf("the server offers %q to sign in with; PLAIN or LOGIN is wanted", server.Auth)
}

// Next implements smtp.Auth. What the server asks in LOGIN has no standard wording: the name
// comes first, then the password.
func (s *signIn) Next(_ []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	if !s.login {
		return nil, errors.New("the server asks for more than PLAIN has")
	}
	s.asked++
	switch s.asked {
	case 1:
		return []byte(s.user), nil
	case 2:
		return s.password.Reveal(), nil
	}
	return nil, errors.New("the server asks for more than LOGIN has")
}
