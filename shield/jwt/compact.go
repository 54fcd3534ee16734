package jwt

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"pavise.dev/pavise/internal/strictjson"
)

const maxKeyID = 256 // bytes

// parts are the three parts of a token, read but not believed.
type parts struct {
	alg, kid, typ string // of the header; typ in lower case, without "application/"
	claims        map[string]any
	signed        []byte // header and payload as they were sent
	signature     []byte
}

// split reads the compact form (RFC 7515 §7.1) of a token that passed form.
// Errors quote nothing of it.
func split(token string) (*parts, error) {
	dot := strings.LastIndexByte(token, '.')
	header, payload, ok := strings.Cut(token[:max(dot, 0)], ".")
	if !ok {
		return nil, errors.New("not three parts")
	}
	p := &parts{signed: []byte(token[:dot])}
	text, err := decode(header)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if err := p.readHeader(text); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if text, err = decode(payload); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	if p.claims, err = strictjson.Object(text); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	if p.signature, err = decode(token[dot+1:]); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	if len(p.signature) == 0 {
		return nil, errors.New("the signature is empty")
	}
	return p, nil
}

// decode reads base64url without padding. Strict refuses bits behind the end, so
// that each part has one spelling only.
func decode(part string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("not canonical base64url")
	}
	return b, nil
}

// readHeader takes what it needs and refuses what would change how the token is
// read. It does not look at jwk, jku, x5u, x5c and x5t: a token does not bring the
// key that it is verified with.
func (p *parts) readHeader(text []byte) error {
	header, err := strictjson.Object(text)
	if err != nil {
		return err
	}
	for _, name := range []string{"crit", "b64", "zip", "enc"} {
		if _, ok := header[name]; ok {
			return fmt.Errorf("%s is not supported", name)
		}
	}
	for name, target := range map[string]*string{"alg": &p.alg, "kid": &p.kid, "typ": &p.typ} {
		value, ok := header[name]
		if !ok {
			continue
		}
		if *target, ok = value.(string); !ok {
			return fmt.Errorf("%s is not a string", name)
		}
	}
	if p.alg == "" {
		return errors.New("alg is missing")
	}
	if len(p.kid) > maxKeyID {
		return fmt.Errorf("kid has more than %d bytes", maxKeyID)
	}
	p.typ = plainType(p.typ)
	return nil
}

// plainType is a media type as RFC 7515 §4.1.9 compares it: in any case, and with
// or without "application/".
func plainType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}
