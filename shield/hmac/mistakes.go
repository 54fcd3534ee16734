package hmac

import (
	"bytes"
	mac "crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// A signature that does not match is most often an honest caller's mistake. The
// operator learns which of the usual ones explains it; the caller never does.
// The attempts are made for unknown ids too (with the decoy secret, so that time
// does not tell which ids exist), a few times a second, and only for messages of
// a fair length.

const (
	examinations  = 5        // a second, of one opened shield
	maxExamined   = 16 << 10 // bytes of the signed message
	maxBodyHashed = 1 << 20  // bytes of a body whose digest is tried again
)

// allowance lets a bounded number of things happen in each second.
type allowance struct {
	mu     sync.Mutex
	second int64
	used   int
}

func (a *allowance) take(second int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.second != second {
		a.second, a.used = second, 0
	}
	a.used++
	return a.used <= examinations
}

// examine returns, for the operator's detail, the mistake with which the
// signature would match. It quotes nothing of the request.
func (s *signed) examine(r *http.Request, p parts, secret []byte) string {
	if !s.examined.take(s.now().Unix()) {
		return "; not examined further, there were many in this second"
	}
	message := p.append(nil)
	if len(message) > maxExamined {
		return "; not examined further, the signed part is long"
	}
	says := ""
	try := func(what string, key, message []byte) {
		if sum := p.algorithm.sum(key, message); mac.Equal(sum, p.signature) && says == "" {
			says = "; it would match with " + what
		}
	}
	for _, v := range slices.Concat(pathMistakes(p), queryMistakes(p), hostMistakes(p, r), headerMistakes(p), otherMistakes(p)) {
		try(v.says, secret, v.parts.append(nil))
	}
	try("no line feed after the last line", secret, message[:len(message)-1])
	try("a line feed before the first line", secret, append([]byte{'\n'}, message...))
	try("carriage returns before the line feeds", secret, bytes.ReplaceAll(message, []byte("\n"), []byte("\r\n")))
	try("lines joined by nothing", secret, bytes.ReplaceAll(message, []byte("\n"), nil))
	for _, k := range keyMistakes(secret) {
		try(k.says, k.key, message)
	}
	return says
}

// variant is the request as it might have been signed by mistake.
type variant struct {
	says  string
	parts parts
}

// vary returns the variants that differ from p.
func vary(p parts, says string, change func(*parts)) []variant {
	q := p
	q.values, q.headers = slices.Clone(p.values), slices.Clone(p.headers)
	change(&q)
	if bytes.Equal(q.append(nil), p.append(nil)) {
		return nil
	}
	return []variant{{says, q}}
}

func pathMistakes(p parts) []variant {
	decoded, err := url.PathUnescape(p.path)
	if err != nil {
		decoded = p.path
	}
	return slices.Concat(
		vary(p, "a slash at the end of the path", func(q *parts) { q.path += "/" }),
		vary(p, "no slash at the end of the path", func(q *parts) { q.path = strings.TrimSuffix(q.path, "/") }),
		vary(p, "the path's escapes decoded", func(q *parts) { q.path = decoded }),
		vary(p, "the path escaped twice", func(q *parts) { q.path = strings.ReplaceAll(q.path, "%", "%25") }),
		vary(p, "the path's escapes in lower case", func(q *parts) { q.path = lowerEscapes(q.path) }),
		vary(p, "the query on the path's line", func(q *parts) { q.path, q.query = q.path+q.query, "" }),
		vary(p, "the whole address on the path's line", func(q *parts) { q.path = "https://" + q.authority + q.path }),
	)
}

func queryMistakes(p parts) []variant {
	pairs := strings.Split(strings.TrimPrefix(p.query, "?"), "&")
	sorted := slices.Sorted(slices.Values(pairs))
	decoded, err := url.QueryUnescape(p.query)
	if err != nil {
		decoded = p.query
	}
	joined := ""
	if p.query != "" {
		joined = "?" + strings.Join(sorted, "&")
	}
	return slices.Concat(
		vary(p, "no question mark before the query", func(q *parts) { q.query = strings.TrimPrefix(q.query, "?") }),
		vary(p, "a question mark without a query", func(q *parts) {
			if q.query == "" {
				q.query = "?"
			}
		}),
		vary(p, "no query", func(q *parts) { q.query = "" }),
		vary(p, "the query's parameters sorted", func(q *parts) { q.query = joined }),
		vary(p, "blanks of the query as + instead of %20", func(q *parts) { q.query = strings.ReplaceAll(q.query, "%20", "+") }),
		vary(p, "blanks of the query as %20 instead of +", func(q *parts) { q.query = strings.ReplaceAll(q.query, "+", "%20") }),
		vary(p, "the query's escapes decoded", func(q *parts) { q.query = decoded }),
		vary(p, "the query's escapes in lower case", func(q *parts) { q.query = lowerEscapes(q.query) }),
	)
}

// hostMistakes looks at X-Forwarded-Host only to explain; it decides nothing.
func hostMistakes(p parts, r *http.Request) []variant {
	name := p.authority
	if i := strings.LastIndexByte(name, ':'); i > 0 && !strings.HasSuffix(name, "]") {
		name = name[:i]
	}
	return slices.Concat(
		vary(p, "the host without its port", func(q *parts) { q.authority = name }),
		vary(p, "the port 443 after the host", func(q *parts) { q.authority = name + ":443" }),
		vary(p, "the port 80 after the host", func(q *parts) { q.authority = name + ":80" }),
		vary(p, "upper-case letters in the host", func(q *parts) { q.authority = r.Host }),
		vary(p, "https:// before the host", func(q *parts) { q.authority = "https://" + q.authority }),
		vary(p, "the host of X-Forwarded-Host, which is never read", func(q *parts) {
			if forwarded := r.Header.Get("X-Forwarded-Host"); forwarded != "" {
				q.authority = strings.ToLower(forwarded)
			}
		}),
	)
}

func headerMistakes(p parts) []variant {
	each := func(q *parts, change func(string) string) {
		for i := range q.values {
			q.values[i] = change(q.values[i])
		}
	}
	return slices.Concat(
		vary(p, "a blank after the colon of the headers' lines", func(q *parts) { each(q, func(v string) string { return " " + v }) }),
		vary(p, "the headers' names in canonical case", func(q *parts) {
			for i, name := range q.headers {
				q.headers[i] = http.CanonicalHeaderKey(name)
			}
		}),
		vary(p, "the headers' values in lower case", func(q *parts) { each(q, strings.ToLower) }),
		vary(p, "a header's value without its parameters, such as charset", func(q *parts) {
			each(q, func(v string) string { before, _, _ := strings.Cut(v, ";"); return strings.TrimRight(before, " ") })
		}),
		vary(p, "charset=utf-8 after a header's value", func(q *parts) { each(q, func(v string) string { return v + "; charset=utf-8" }) }),
		vary(p, "charset=UTF-8 after a header's value", func(q *parts) { each(q, func(v string) string { return v + ";charset=UTF-8" }) }),
		vary(p, "the headers' names joined by commas", func(q *parts) { q.list = strings.ReplaceAll(q.list, ";", ",") }),
		vary(p, "the headers' lines sorted by name", sortHeaders),
		vary(p, "no headers' lines", func(q *parts) { q.headers, q.values = nil, nil }),
	)
}

func sortHeaders(q *parts) {
	byName := map[string]string{}
	for i, name := range q.headers {
		byName[name] = q.values[i]
	}
	slices.Sort(q.headers)
	for i, name := range q.headers {
		q.values[i] = byName[name]
	}
}

func otherMistakes(p parts) []variant {
	return slices.Concat(
		vary(p, "the method in lower case", func(q *parts) { q.method = strings.ToLower(q.method) }),
		vary(p, "a timestamp in milliseconds", func(q *parts) { q.timestamp += "000" }),
		vary(p, "the bare digest instead of the whole value of Content-Digest", func(q *parts) {
			if _, bare, ok := strings.Cut(q.digest, "=:"); ok {
				q.digest = strings.TrimSuffix(bare, ":")
			}
		}),
		vary(p, "the digest in hexadecimal", func(q *parts) {
			if d, err := parseDigest(q.digest); err == nil {
				q.digest = hex.EncodeToString(slices.Concat(d.sha256, d.sha512))
			}
		}),
		vary(p, "an empty line instead of the digest", func(q *parts) { q.digest = "" }),
		vary(p, "Content-Digest: before the digest", func(q *parts) { q.digest = "content-digest:" + q.digest }),
	)
}

type keyVariant struct {
	says string
	key  []byte
}

// keyMistakes are readings of the secret other than its bytes as they are shown.
// One that the secret has not is tried all the same, so that every secret takes
// the same work.
func keyMistakes(secret []byte) []keyVariant {
	text := strings.TrimRight(string(secret), "=")
	decoded := func(key []byte, err error) []byte {
		if err != nil {
			return secret
		}
		return key
	}
	return []keyVariant{
		{"a line feed after the secret", append(slices.Clone(secret), '\n')},
		{"the secret decoded from base64url: its characters are the key", decoded(base64.RawURLEncoding.DecodeString(text))},
		{"the secret decoded from base64: its characters are the key", decoded(base64.RawStdEncoding.DecodeString(text))},
		{"the secret decoded from hexadecimal: its characters are the key", decoded(hex.DecodeString(text))},
		{"the secret without its prefix: all its characters are the key", bytes.TrimPrefix(secret, []byte(secretPrefix))},
		{"the secret encoded in base64", []byte(base64.StdEncoding.EncodeToString(secret))},
	}
}

// lowerEscapes writes the hexadecimal digits of escapes in lower case.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// examineBody returns the change after which the body would be the signed one.
func (s *signed) examineBody(content []byte, want digest) string {
	if len(content) > maxBodyHashed || !s.examined.take(s.now().Unix()) {
		return ""
	}
	for _, v := range bodyMistakes(content) {
		if want.matches(v.content) {
			return "; its digest would match with " + v.says
		}
	}
	return ""
}

// bodyVariant is a body as it might have been hashed by mistake.
type bodyVariant struct {
	says    string
	content []byte
}

func bodyMistakes(content []byte) []bodyVariant {
	return []bodyVariant{
		{"a line feed at its end", append(slices.Clone(content), '\n')},
		{"no line feed at its end", bytes.TrimSuffix(content, []byte("\n"))},
		{"line feeds instead of carriage returns and line feeds", bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))},
		{"no blanks around it", bytes.TrimSpace(content)},
		{"a byte order mark before it", append([]byte("\xef\xbb\xbf"), content...)},
		{"nothing in it", nil},
	}
}
