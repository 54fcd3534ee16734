package schema

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"pavise.dev/pavise/shield"
)

// Many services read a body as JSON whatever media type it says it has: an attack in JSON that
// calls itself a picture, a form or a plain text would reach them unseen. So where nothing
// describes a body, one that begins as JSON does is looked through as such, too.

// maxHead is how much of a body is looked at to see how it begins, in bytes.
const maxHead = 512

// bytes looks at a body that is no text by what it says. Unless it begins like JSON it passes as
// a stream.
func (w *walker) bytes(r *http.Request) error {
	kept, err := shield.BodyOf(r)
	if err != nil {
		return err
	}
	head, err := kept.Peek(maxHead)
	if err != nil || !beginsAsJSON(head) {
		return err
	}
	_, text, err := plainBody(r)
	if err != nil {
		return err
	}
	w.in = "body"
	return w.disguised(text)
}

// disguised hands on the texts of a body that begins as JSON does: of JSON, of JSON lines, or
// whatever stands in quotes. It is not refused for its form, since JSON is not what it says it is.
func (w *walker) disguised(text []byte) error {
	if !beginsAsJSON(text[:min(len(text), maxHead)]) {
		return nil
	}
	if v, err := document(text, true); err == nil {
		return w.value(nil, v)
	}
	for i := 0; len(text) > 0; i++ {
		start := bytes.IndexByte(text, '"')
		if start < 0 {
			return nil
		}
		quoted := text[start:endOfQuoted(text, start)]
		text = text[start+len(quoted):]
		if err := w.within(strconv.Itoa(i), func() error { return w.text(meant(quoted)) }); err != nil {
			return err
		}
	}
	return nil
}

// beginsAsJSON reports whether a text begins like an object or a list in JSON, or may do so behind
// its blanks.
func beginsAsJSON(head []byte) bool {
	rest := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(rest) == 0 {
		return len(head) == maxHead
	}
	inside := bytes.TrimLeft(rest[1:], " \t\r\n")
	if len(inside) == 0 {
		return (rest[0] == '{' || rest[0] == '[') && len(head) == maxHead
	}
	switch rest[0] {
	case '{':
		return inside[0] == '"'
	case '[':
		return strings.IndexByte(`"{[-0123456789tfn`, inside[0]) >= 0
	}
	return false
}

// endOfQuoted is behind the quote that ends the text at start, or the end of all.
func endOfQuoted(text []byte, start int) int {
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// meant is what a text in quotes stands for; as it is written, where it is no JSON.
func meant(quoted []byte) (text string) {
	if json.Unmarshal(quoted, &text) == nil {
		return text
	}
	return strings.ToValidUTF8(strings.Trim(string(quoted), `"`), "\uFFFD")
}
