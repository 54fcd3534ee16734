package hmac

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// The Authorization header has one form, byte for byte, but for the case of the
// scheme's name (RFC 9110 §11.1). With two forms there would be two readers.
//
//	HMAC id="hk_3q…", alg="hmac-sha256", ts="1795435200", nonce="Zk3…", headers="content-type", signature="…="

const (
	maxHeader  = 4096 // bytes of the Authorization header
	maxID      = 64
	minNonce   = 16 // base64url characters: 96 bits
	maxNonce   = 64
	maxCovered = 16 // headers
	maxName    = 64 // bytes of a header's name
	maxSeconds = 11 // digits of the timestamp

	sha256Name = "hmac-sha256"
	sha512Name = "hmac-sha512"
)

// algorithm is a hash under HMAC (RFC 2104).
type algorithm struct {
	name string
	new  func() hash.Hash
	size int // bytes of the signature
}

func algorithmOf(name string) (algorithm, bool) {
	switch name {
	case sha256Name:
		return algorithm{sha256Name, sha256.New, sha256.Size}, true
	case sha512Name:
		return algorithm{sha512Name, sha512.New, sha512.Size}, true
	}
	return algorithm{}, false
}

// claim is what an Authorization header says.
type claim struct {
	id        string
	algorithm algorithm
	timestamp string // as it stands in the header
	seconds   int64
	nonce     string
	list      string   // as it stands in the header: names joined by semicolons
	headers   []string // the names
	signature []byte
}

func (c claim) covers(name string) bool {
	for _, covered := range c.headers {
		if covered == name {
			return true
		}
	}
	return false
}

// authorization returns the header's value.
func (c claim) authorization() string {
	return fmt.Sprintf(`%s id="%s", alg="%s", ts="%s", nonce="%s", headers="%s", signature="%s"`,
		scheme, c.id, c.algorithm.name, c.timestamp, c.nonce, c.list, base64.StdEncoding.EncodeToString(c.signature))
}

// isOurs reports whether an Authorization value names our scheme.
func isOurs(value string) bool {
	return len(value) >= len(scheme) && strings.EqualFold(value[:len(scheme)], scheme) &&
		(len(value) == len(scheme) || !isToken(value[len(scheme)]))
}

// parse reads the value of an Authorization header of our scheme. Its errors say
// which part is wrong and never quote it. The claim's id is set as soon as it is
// known, for the event.
func parse(value string) (claim, error) {
	var c claim
	if len(value) > maxHeader {
		return c, fmt.Errorf("the Authorization header has %d bytes, at most %d are read", len(value), maxHeader)
	}
	rest := value[len(scheme):]
	if rest == "" || rest[0] != ' ' {
		return c, fmt.Errorf("want one space after %s", scheme)
	}
	values, err := parameters(rest[1:])
	if err != nil {
		return c, err
	}
	id, alg, ts, nonce, list, signature := values[0], values[1], values[2], values[3], values[4], values[5]
	if !isWord(id, 1, maxID) {
		return c, fmt.Errorf("id is not 1 to %d of A-Z a-z 0-9 - _", maxID)
	}
	c.id = id
	var ok bool
	if c.algorithm, ok = algorithmOf(alg); !ok {
		return c, fmt.Errorf("alg is neither %s nor %s", sha256Name, sha512Name)
	}
	if c.seconds, err = parseSeconds(ts); err != nil {
		return c, err
	}
	if !isWord(nonce, minNonce, maxNonce) {
		return c, fmt.Errorf("nonce is not %d to %d of A-Z a-z 0-9 - _", minNonce, maxNonce)
	}
	if c.headers, err = parseList(list); err != nil {
		return c, err
	}
	c.timestamp, c.nonce, c.list = ts, nonce, list
	c.signature, err = parseSignature(signature, c.algorithm.size)
	return c, err
}

// parameters cuts the six parameters, in their one order, out of s.
func parameters(s string) (values [6]string, err error) {
	for i, name := range [...]string{"id", "alg", "ts", "nonce", "headers", "signature"} {
		if i > 0 {
			var ok bool
			if s, ok = strings.CutPrefix(s, ", "); !ok {
				return values, fmt.Errorf("want a comma and one space before %s", name)
			}
		}
		var ok bool
		if values[i], s, ok = parameter(s, name); !ok {
			return values, fmt.Errorf(`want %s="…" as parameter %d of 6`, name, i+1)
		}
	}
	if s != "" {
		return values, fmt.Errorf("something follows the signature")
	}
	return values, nil
}

// parameter cuts name="value" off s. No value holds a quote or an escape.
func parameter(s, name string) (value, rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, name); !ok {
		return "", "", false
	}
	if s, ok = strings.CutPrefix(s, `="`); !ok {
		return "", "", false
	}
	return strings.Cut(s, `"`)
}

func parseSeconds(ts string) (int64, error) {
	if len(ts) == 0 || len(ts) > maxSeconds || ts[0] == '0' {
		return 0, fmt.Errorf("ts is not seconds since 1970 in 1 to %d digits%s", maxSeconds, millisecondHint(ts))
	}
	for i := range len(ts) {
		if ts[i] < '0' || ts[i] > '9' {
			return 0, fmt.Errorf("ts is not seconds since 1970 in 1 to %d digits", maxSeconds)
		}
	}
	return strconv.ParseInt(ts, 10, 64)
}

func millisecondHint(ts string) string {
	if len(ts) == 13 {
		return "; 13 digits are milliseconds"
	}
	return ""
}

// parseList reads names of headers joined by semicolons; the empty list is
// written as an empty string.
func parseList(list string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	if strings.Count(list, ";") >= maxCovered {
		return nil, fmt.Errorf("headers lists more than %d names", maxCovered)
	}
	names := strings.Split(list, ";")
	for i, name := range names {
		if err := checkName(name); err != nil {
			return nil, fmt.Errorf("headers: name %d %w", i+1, err)
		}
		for _, before := range names[:i] {
			if before == name {
				return nil, fmt.Errorf("headers lists %s twice", name)
			}
		}
	}
	return names, nil
}

// checkName says why a header cannot be covered by its name.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("is not 1 to %d characters long", maxName)
	}
	for i := range len(name) {
		if c := name[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return fmt.Errorf("is not of a-z 0-9 -, lower case")
		}
	}
	switch name {
	case "authorization", "host", "content-digest", "content-length":
		return fmt.Errorf("is %s, which the signature covers by another line or by itself", name)
	case "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
		"te", "trailer", "transfer-encoding", "upgrade", "expect":
		return fmt.Errorf("is %s, which belongs to the connection and may change on the way", name)
	}
	return nil
}

// parseSignature reads standard base64 with padding and zero trailing bits
// (RFC 4648 §4, §3.5): one signature has one form.
func parseSignature(text string, size int) ([]byte, error) {
	if len(text) != base64.StdEncoding.EncodedLen(size) {
		return nil, fmt.Errorf("signature has %d characters, want %d of standard base64 with padding%s",
			len(text), base64.StdEncoding.EncodedLen(size), encodingHint(text, size))
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(signature) != size {
		return nil, fmt.Errorf("signature is not canonical standard base64%s", encodingHint(text, size))
	}
	return signature, nil
}

// encodingHint names the usual mistake, from the form alone.
func encodingHint(text string, size int) string {
	switch {
	case len(text) == 2*size && isHexadecimal(text):
		return "; it looks like hexadecimal"
	case strings.ContainsAny(text, " \t"):
		return "; it holds blanks"
	case strings.ContainsAny(text, "-_"):
		return "; it looks like base64url"
	case len(text) == base64.RawStdEncoding.EncodedLen(size):
		return "; the padding is missing"
	case len(text) < base64.RawStdEncoding.EncodedLen(size):
		return "; it is cut off, or of a shorter algorithm"
	}
	return ""
}

func isHexadecimal(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

// isWord reports whether s is shortest to longest characters of base64url.
func isWord(s string, shortest, longest int) bool {
	if len(s) < shortest || len(s) > longest {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(isAlphanumeric(c) || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// isToken reports whether c may stand in a token (RFC 9110 §5.6.2).
func isToken(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
