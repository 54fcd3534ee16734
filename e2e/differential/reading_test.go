package differential

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// reading is one request as one of the three parties read it: who sent it, the guard
// who judged it, and the upstream who got it. Field names are in lower case.
type reading struct {
	Method, Target, Host string
	Fields               map[string][]string
	Body                 string              // SHA-256 of it, in hex; "": was not looked at
	Trailers             map[string][]string // nil: were not looked at
}

// wireReading is what upstreams of any language send back: text as base64, since it
// may be no UTF-8.
type wireReading struct {
	Method   string      `json:"m"`
	Target   string      `json:"t"`
	Fields   [][2]string `json:"f"`
	Body     string      `json:"b"`
	Trailers [][2]string `json:"x"` // nil: not looked at
}

func decodeReading(text string) (reading, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return reading{}, fmt.Errorf("what the upstream saw: %w", err)
	}
	var w wireReading
	if err := json.Unmarshal(raw, &w); err != nil {
		return reading{}, fmt.Errorf("what the upstream saw: %w", err)
	}
	r := reading{Method: w.Method, Body: w.Body, Fields: map[string][]string{}}
	target, err := base64.StdEncoding.DecodeString(w.Target)
	if err != nil {
		return reading{}, fmt.Errorf("what the upstream saw: %w", err)
	}
	r.Target = string(target)
	if r.Fields, err = decodeFields(w.Fields); err != nil {
		return reading{}, err
	}
	if w.Trailers != nil {
		if r.Trailers, err = decodeFields(w.Trailers); err != nil {
			return reading{}, err
		}
	}
	if len(r.Fields["host"]) != 1 {
		return reading{}, fmt.Errorf("the upstream saw hosts %q", r.Fields["host"])
	}
	r.Host = r.Fields["host"][0]
	return r, nil
}

func decodeFields(pairs [][2]string) (map[string][]string, error) {
	fields := map[string][]string{}
	for _, pair := range pairs {
		value, err := base64.StdEncoding.DecodeString(pair[1])
		if err != nil {
			return nil, fmt.Errorf("what the upstream saw: %w", err)
		}
		name := strings.ToLower(pair[0])
		fields[name] = append(fields[name], string(value))
	}
	return fields, nil
}

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// passes are the fields of the generator that go through to the upstream.
func passes() []string {
	return []string{"x-a", "x-b", "accept", "accept-language", "cookie", "user-agent", "content-type", "if-none-match", "pragma", "cache-control"}
}

// added are fields that an upstream may see although nobody sent them: the gateway's
// own, nginx's, and those of framing, which belongs to each connection.
func added() []string {
	return []string{
		"host", "content-length", "transfer-encoding", "trailer", "connection", "te", "x-forwarded-for", "x-forwarded-proto",
		"x-forwarded-host", "forwarded", "x-request-id", "pavise-identity", "traceparent",
	}
}

// differs says in what a later reading differs from an earlier one; "": in nothing.
func (r reading) differs(later reading) string {
	switch {
	case r.Method != later.Method:
		return fmt.Sprintf("the method is %q, then %q", r.Method, later.Method)
	case r.Target != later.Target:
		return fmt.Sprintf("the target is %q, then %q", r.Target, later.Target)
	case r.Host != later.Host:
		return fmt.Sprintf("the host is %q, then %q", r.Host, later.Host)
	case r.Body != "" && later.Body != "" && r.Body != later.Body:
		return "the bodies are two"
	}
	for _, name := range passes() {
		if !slices.Equal(r.Fields[name], later.Fields[name]) {
			return fmt.Sprintf("field %s is %q, then %q", name, r.Fields[name], later.Fields[name])
		}
	}
	if r.Trailers == nil || later.Trailers == nil {
		return ""
	}
	for _, name := range trailers() {
		if !slices.Equal(r.Trailers[name], later.Trailers[name]) {
			return fmt.Sprintf("trailer %s is %q, then %q", name, r.Trailers[name], later.Trailers[name])
		}
	}
	return ""
}

// trailers are those that the generator declares.
func trailers() []string { return []string{"x-a", "x-b"} }

// planted returns a field that the later reading has and the earlier has not: one that
// an upstream saw, and nobody checked.
func (r reading) planted(later reading) string {
	for name, values := range later.Fields {
		if !slices.Contains(added(), name) && !slices.Equal(values, r.Fields[name]) {
			return fmt.Sprintf("field %s is %q, then %q", name, r.Fields[name], values)
		}
	}
	for name := range later.Trailers {
		if !slices.Contains(trailers(), name) {
			return fmt.Sprintf("trailer %s arrived", name)
		}
	}
	return ""
}

// end says how the bytes of a connection end by the plainest reading of RFC 9112.
type end int

const (
	whole  end = iota // with a request
	wants             // in the middle of one
	broken            // something before is no HTTP/1.1
)

// strictly reads a connection by the plainest reading of RFC 9112 that there is. The
// requests before what is broken are returned too.
func strictly(text string) (all []reading, how end) {
	for text != "" {
		r, rest, how := one(text)
		if how != whole {
			return all, how
		}
		all, text = append(all, r), rest
	}
	return all, whole
}

func one(text string) (r reading, rest string, how end) {
	head, rest, ok := strings.Cut(text, "\r\n\r\n")
	if !ok {
		return r, "", wants
	}
	lines := strings.Split(head, "\r\n")
	words := strings.Split(lines[0], " ")
	if len(words) != 3 || words[2] != "HTTP/1.1" || words[0] == "" || words[1] == "" {
		return r, "", broken
	}
	r = reading{Method: words[0], Target: words[1]}
	if r.Fields, ok = fieldsOf(lines[1:]); !ok || len(r.Fields["host"]) != 1 {
		return r, "", broken
	}
	r.Host = r.Fields["host"][0]
	if pragma := r.Fields["pragma"]; pragma != nil && pragma[0] == "no-cache" && r.Fields["cache-control"] == nil {
		r.Fields["cache-control"] = []string{"no-cache"} // net/http says what Pragma means (RFC 9111 section 5.4)
	}
	body, trailers, rest, how := bodyOf(r.Fields, rest)
	r.Body, r.Trailers = digest(body), trailers
	return r, rest, how
}

func bodyOf(fields map[string][]string, text string) (body string, trailers map[string][]string, rest string, how end) {
	coding, length := fields["transfer-encoding"], fields["content-length"]
	switch {
	case len(coding) > 1 || len(length) > 1 || coding != nil && length != nil:
		return "", nil, "", broken
	case coding != nil && !strings.EqualFold(coding[0], "chunked"):
		return "", nil, "", broken
	case coding != nil:
		return chunksOf(text)
	case length == nil:
		return "", nil, text, whole
	}
	n, err := strconv.ParseUint(length[0], 10, 62)
	switch {
	case err != nil:
		return "", nil, "", broken
	case n > uint64(len(text)):
		return "", nil, "", wants
	}
	return text[:n], nil, text[n:], whole
}

func chunksOf(text string) (body string, trailers map[string][]string, rest string, how end) {
	var b strings.Builder
	for {
		line, more, ok := strings.Cut(text, "\r\n")
		if !ok {
			return "", nil, "", wants
		}
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseUint(strings.TrimRight(size, " \t"), 16, 62)
		if err != nil {
			return "", nil, "", broken
		}
		if text = more; n == 0 {
			break
		}
		if uint64(len(text)) < n+2 {
			return "", nil, "", wants
		}
		if text[n:n+2] != "\r\n" {
			return "", nil, "", broken
		}
		b.WriteString(text[:n])
		text = text[n+2:]
	}
	section, rest, ok := strings.Cut("\r\n"+text, "\r\n\r\n")
	if !ok {
		return "", nil, "", wants
	}
	trailers = map[string][]string{}
	if section != "" {
		if trailers, ok = fieldsOf(strings.Split(section[2:], "\r\n")); !ok {
			return "", nil, "", broken
		}
	}
	return b.String(), trailers, rest, whole
}

func fieldsOf(lines []string) (map[string][]string, bool) {
	out := map[string][]string{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n\x00") || strings.ContainsAny(value, "\r\n\x00") {
			return nil, false
		}
		name = strings.ToLower(name)
		out[name] = append(out[name], strings.Trim(value, " \t"))
	}
	return out, true
}
