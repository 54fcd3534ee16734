package hmac

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"pavise.dev/pavise/shield"
)

// attacks is what somebody tries who has read a signed request but not the
// secret. A guard may refuse some of them before the shield is asked: a path that
// no endpoint has, a host that nobody serves.
func attacks() []shield.Attack {
	return []shield.Attack{
		{Row: 86, Name: "the same request again", Repeat: 1, Code: shield.ReplayedRequest},
		{Row: 86, Name: "the same request ten times again", Repeat: 10, Code: shield.ReplayedRequest},
		{Row: 87, Name: "a timestamp of an hour ago", Change: shiftTimestamp(-3600), Code: shield.StaleRequest},
		{Row: 87, Name: "a timestamp in an hour", Change: shiftTimestamp(3600), Code: shield.StaleRequest},
		{Row: 87, Name: "a timestamp moved within the window", Change: shiftTimestamp(-2), Code: shield.BadSignature},
		{Row: 87, Name: "no timestamp", Change: edit(` ts="\d+",`, ""), Code: shield.InvalidCredential},
		{Row: 87, Name: "a timestamp that is no number", Change: edit(`ts="\d+"`, `ts="now"`), Code: shield.InvalidCredential},
		{Row: 88, Name: "another body", Change: otherBody, Code: shield.BadDigest},
		{Row: 88, Name: "another body with its digest", Change: otherBodyAndDigest, Code: shield.BadSignature},
		{Row: 88, Name: "no digest", Change: setHeader(digestHeader, ""), Code: shield.BadDigest},
		{Row: 88, Name: "only an MD5 digest", Change: setHeader(digestHeader, "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:"), Code: shield.BadDigest},
		{Row: 88, Name: "only a SHA-1 digest", Change: setHeader(digestHeader, "sha=:2jmj7l5rSw0yVb/vlWAYkK/YBwk=:"), Code: shield.BadDigest},
		{Row: 89, Name: "another method", Change: otherMethod, Code: shield.BadSignature},
		{Row: 89, Name: "the path in another case", Change: changePath(strings.ToUpper), Code: shield.BadSignature},
		{Row: 89, Name: "a slash after the path", Change: changePath(func(p string) string { return p + "/" }), Code: shield.BadSignature},
		{Row: 89, Name: "an escaped slash in the path", Change: escapedSlash, Code: shield.BadSignature},
		{Row: 89, Name: "a parameter added to the query", Change: changeQuery(func(q string) string { return strings.TrimPrefix(q+"&admin=1", "&") }), Code: shield.BadSignature},
		{Row: 89, Name: "a parameter doubled", Change: changeQuery(func(q string) string { return q + "&" + q }), Code: shield.BadSignature},
		{Row: 89, Name: "the query removed", Change: changeQuery(emptyOr("x=1")), Code: shield.BadSignature},
		{Row: 90, Name: "another host", Change: otherHost(false), Code: shield.BadSignature},
		{Row: 90, Name: "another host, with the signed one in X-Forwarded-Host", Change: otherHost(true), Code: shield.BadSignature},
		{Row: 93, Name: "another algorithm than the key's", Change: otherAlgorithm, Code: shield.BadSignature},
		{Row: 93, Name: "no algorithm", Change: edit(`alg="[^"]*"`, `alg="none"`), Code: shield.InvalidCredential},
		{Row: 93, Name: "an unknown key id", Change: edit(` id="[^"]*"`, ` id="hk_0000000000000000"`), Code: shield.BadSignature},
		{Row: 96, Name: "a covered header twice", Change: addHeader("Content-Type", "text/plain"), Code: shield.BadHeader},
		{Row: 96, Name: "a covered header with a second value joined", Change: joinHeader("Content-Type", "text/plain"), Code: shield.BadSignature},
		{Row: 96, Name: "a covered header removed", Change: setHeader("Content-Type", ""), Code: shield.BadSignature},
		{Row: 97, Name: "an encoding of the content that was not signed", Change: setHeader("Content-Encoding", "gzip"), Code: shield.InvalidCredential},
		{Row: 97, Name: "trailers", Change: trailers, Code: shield.BadSignature},
		{Row: 98, Name: "half a signature", Change: changeSignature(func(s []byte) string { return encode(s[:len(s)/2]) }), Code: shield.InvalidCredential},
		{Row: 98, Name: "an empty signature", Change: changeSignature(func([]byte) string { return "" }), Code: shield.InvalidCredential},
		{Row: 98, Name: "the signature in hexadecimal", Change: changeSignature(hex.EncodeToString), Code: shield.InvalidCredential},
		{Row: 98, Name: "the signature without padding", Change: changeSignature(base64.RawStdEncoding.EncodeToString), Code: shield.InvalidCredential},
		{Row: 98, Name: "the signature with a blank", Change: changeSignature(func(s []byte) string { return encode(s)[:20] + " " + encode(s)[20:] }), Code: shield.InvalidCredential},
		{Row: 98, Name: "the signature with a blank instead of a character", Change: changeSignature(func(s []byte) string { return encode(s)[:20] + " " + encode(s)[21:] }), Code: shield.InvalidCredential},
		{Row: 98, Name: "the signature with other unused bits", Change: changeSignature(otherLastBits), Code: shield.InvalidCredential},
		{Row: 98, Name: "one bit of the signature changed", Change: changeSignature(flipped), Code: shield.BadSignature},
		{Row: 101, Name: "a body of gigabytes under a wrong signature", Change: hugeBody, Code: shield.BadSignature},
		{Name: "another nonce", Change: edit(`nonce="[^"]*"`, `nonce="AAAAAAAAAAAAAAAAAAAAAA"`), Code: shield.BadSignature},
		{Name: "a short nonce", Change: edit(`nonce="[^"]*"`, `nonce="AAAA"`), Code: shield.InvalidCredential},
		{Name: "an empty list of headers", Change: edit(`headers="[^"]*"`, `headers=""`), Code: shield.InvalidCredential},
		{Name: "a parameter twice", Change: edit(`ts=("\d+"),`, `ts=$1, ts=$1,`), Code: shield.InvalidCredential},
		{Name: "an unknown parameter", Change: edit(`$`, `, admin="1"`), Code: shield.InvalidCredential},
		{Name: "a header of 8 kB", Change: edit(`$`, strings.Repeat(" ", 8192)+"x"), Code: shield.InvalidCredential},
	}
}

// edit replaces what a pattern finds in the Authorization header.
func edit(pattern, with string) func(*http.Request) error {
	find := regexp.MustCompile(pattern)
	return func(r *http.Request) error {
		value := r.Header.Get("Authorization")
		if !find.MatchString(value) {
			return fmt.Errorf("the signature has no %s", pattern)
		}
		r.Header.Set("Authorization", find.ReplaceAllString(value, with))
		return nil
	}
}

func shiftTimestamp(by int64) func(*http.Request) error {
	return func(r *http.Request) error {
		c, err := parse(r.Header.Get("Authorization"))
		if err != nil {
			return err
		}
		return edit(`ts="\d+"`, `ts="`+strconv.FormatInt(c.seconds+by, 10)+`"`)(r)
	}
}

func changeSignature(change func([]byte) string) func(*http.Request) error {
	return func(r *http.Request) error {
		c, err := parse(r.Header.Get("Authorization"))
		if err != nil {
			return err
		}
		return edit(`signature="[^"]*"`, `signature="`+change(c.signature)+`"`)(r)
	}
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func flipped(signature []byte) string {
	changed := append([]byte(nil), signature...)
	changed[0] ^= 1
	return encode(changed)
}

// otherLastBits returns another text that a careless decoder reads as the same
// bytes: the bits of the last character that carry nothing are set.
func otherLastBits(signature []byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	text := []byte(encode(signature))
	last := strings.IndexByte(string(text), '=') - 1
	text[last] = alphabet[strings.IndexByte(alphabet, text[last])+1]
	return string(text)
}

func otherAlgorithm(r *http.Request) error {
	c, err := parse(r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	name, size := sha512Name, 64
	if c.algorithm.name == sha512Name {
		name, size = sha256Name, 32
	}
	c.algorithm, _ = algorithmOf(name)
	c.signature = append(c.signature, c.signature...)[:size]
	r.Header.Set("Authorization", c.authorization())
	return nil
}

// otherBody replaces the body by one of the same length.
func otherBody(r *http.Request) error {
	length := max(r.ContentLength, 1)
	r.Body, r.GetBody, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("#", int(length)))), nil, length
	return nil
}

func otherBodyAndDigest(r *http.Request) error {
	content := strings.Repeat("#", int(max(r.ContentLength, 1)))
	field, err := digestField("", []byte(content))
	if err != nil {
		return err
	}
	r.Header.Set(digestHeader, field)
	return otherBody(r)
}

// hugeBody is 4 GiB that must not be read, since the signature is wrong.
func hugeBody(r *http.Request) error {
	r.Body, r.GetBody, r.ContentLength = io.NopCloser(io.LimitReader(blanks{}, 4<<30)), nil, -1
	return changeSignature(flipped)(r)
}

type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func otherMethod(r *http.Request) error {
	if r.Method == http.MethodPut {
		r.Method = http.MethodPost
	} else {
		r.Method = http.MethodPut
	}
	return nil
}

func changePath(change func(string) string) func(*http.Request) error {
	return func(r *http.Request) error {
		r.URL.Path, r.URL.RawPath = change(r.URL.Path), ""
		return nil
	}
}

// escapedSlash escapes the last slash of a path; the first stays, since no request is sent without,
// and the escaped one comes after it.
func escapedSlash(r *http.Request) error {
	escaped := r.URL.EscapedPath()
	at := strings.LastIndexByte(escaped, '/')
	if at <= 0 {
		r.URL.Path, r.URL.RawPath = "/"+r.URL.Path, "/%2F"+strings.TrimPrefix(escaped, "/")
		return nil
	}
	r.URL.RawPath = escaped[:at] + "%2F" + escaped[at+1:]
	return nil
}

func changeQuery(change func(string) string) func(*http.Request) error {
	return func(r *http.Request) error {
		r.URL.RawQuery = change(r.URL.RawQuery)
		return nil
	}
}

// emptyOr empties a query, or sets it to other where it is empty already.
func emptyOr(other string) func(string) string {
	return func(query string) string {
		if query == "" {
			return other
		}
		return ""
	}
}

func otherHost(forwarded bool) func(*http.Request) error {
	return func(r *http.Request) error {
		if forwarded {
			r.Header.Set("X-Forwarded-Host", authorityOf(r))
		}
		r.Host = "other." + authorityOf(r)
		return nil
	}
}

// setHeader sets a header; an empty value removes it.
func setHeader(name, value string) func(*http.Request) error {
	return func(r *http.Request) error {
		r.Header.Del(name)
		if value != "" {
			r.Header.Set(name, value)
		}
		return nil
	}
}

func addHeader(name, value string) func(*http.Request) error {
	return func(r *http.Request) error {
		r.Header.Add(name, value)
		return nil
	}
}

func joinHeader(name, value string) func(*http.Request) error {
	return func(r *http.Request) error {
		r.Header.Set(name, r.Header.Get(name)+", "+value)
		return nil
	}
}

// trailers announces one after the body; where there is no body, none can be sent.
func trailers(r *http.Request) error {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	r.Trailer = http.Header{"X-Late": nil}
	r.ContentLength = -1
	return nil
}
