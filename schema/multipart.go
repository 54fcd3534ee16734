package schema

import (
	"bytes"
	"errors"
	"mime"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const multipartForm = "multipart/form-data"

// Bounds of a multipart body.
const (
	maxParts      = 1000
	maxPartHeader = 4 << 10 // bytes of all headers of a part
	maxName       = 256     // bytes of the name of a field, or of a file
)

// formPart is one part of a multipart body.
type formPart struct {
	name     string
	file     bool // it has a filename
	fileName string
	media    string
	content  []byte
}

// multipart reads a body of multipart/form-data (RFC 7578) as the object that it stands for.
// Whatever readers of it are known to differ over is refused.
func (m *media) multipart(boundary string, body []byte) (any, error) {
	parts, err := splitParts(boundary, body)
	if err != nil {
		return nil, err
	}
	object := map[string]any{}
	for _, p := range parts {
		if err := m.addPart(object, p); err != nil {
			return nil, err
		}
	}
	return object, nil
}

// splitParts takes a body apart (RFC 2046 §5.1.1): no preamble, no epilogue, and the boundary
// nowhere but between parts.
func splitParts(boundary string, body []byte) (parts []formPart, err error) {
	if !isBoundary(boundary) {
		return nil, errors.New("no boundary, or one that needs quotes")
	}
	delimiter := []byte("--" + boundary)
	rest, ok := bytes.CutPrefix(body, delimiter)
	for ok {
		if end, last := bytes.CutPrefix(rest, []byte("--")); last {
			if len(end) > 0 && string(end) != "\r\n" || len(parts) == 0 {
				return nil, errors.New("something follows the last part, or there is none")
			}
			return parts, nil
		}
		if rest, ok = bytes.CutPrefix(rest, []byte("\r\n")); !ok {
			return nil, errors.New("a boundary does not end its line")
		}
		at := bytes.Index(rest, delimiter)
		if at < 2 || rest[at-2] != '\r' || rest[at-1] != '\n' {
			return nil, errors.New("a part does not end, or holds the boundary")
		}
		if len(parts) == maxParts {
			return nil, errors.New("more parts than anybody reads")
		}
		p, err := readPart(rest[:at-2])
		if err != nil {
			return nil, err
		}
		parts, rest = append(parts, p), rest[at+len(delimiter):]
	}
	return nil, errors.New("it does not begin with its boundary")
}

// isBoundary reports whether a boundary may be, and needs no quotes, over which readers differ.
func isBoundary(b string) bool {
	return b != "" && len(b) <= 70 && !strings.ContainsFunc(b, func(c rune) bool {
		return c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("'+_-.", c)
	})
}

// readPart reads the headers of a part.
func readPart(text []byte) (p formPart, err error) {
	header, content, found := bytes.Cut(text, []byte("\r\n\r\n"))
	if !found || len(header) > maxPartHeader || !utf8.Valid(header) {
		return p, errors.New("a part without headers, or with too long ones")
	}
	p.content = content
	seen := map[string]bool{}
	for line := range strings.SplitSeq(string(header), "\r\n") {
		name, value, found := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		name = strings.ToLower(name)
		if !found || seen[name] || strings.ContainsFunc(line, isControl) {
			return p, errors.New("a header of a part that is none, or stands twice")
		}
		seen[name] = true
		switch name {
		case "content-disposition":
			err = p.disposition(value)
		case "content-type":
			err = p.mediaType(value)
		case "content-length":
			if value != strconv.Itoa(len(content)) {
				err = errors.New("a part of another length than it says")
			}
		case "content-transfer-encoding": // deprecated by RFC 7578 §4.7
			if v := strings.ToLower(value); v != "binary" && v != "8bit" && v != "7bit" {
				err = errors.New("a part with a coding")
			}
		default:
			err = errors.New("a header of a part that nobody reads")
		}
		if err != nil {
			return p, err
		}
	}
	if !seen["content-disposition"] {
		return p, errors.New("a part without a name")
	}
	return p, nil
}

func isControl(c rune) bool {
	return c != '\t' && unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c)
}

func (p *formPart) mediaType(value string) error {
	name, parameters, err := mime.ParseMediaType(value)
	if err != nil {
		return errors.New("a part of no media type")
	}
	if charset, said := parameters["charset"]; said && !strings.EqualFold(charset, "utf-8") {
		return errors.New("a part with a charset other than UTF-8")
	}
	if strings.HasPrefix(name, "multipart/") || strings.HasPrefix(name, "message/") {
		return errors.New("a part with parts")
	}
	p.media = name
	return nil
}

// disposition reads form-data; name="field"; filename="file" (RFC 7578 §4.2). Quotes hold no
// escapes: what readers make of them differs.
func (p *formPart) disposition(value string) error {
	kind, rest, _ := strings.Cut(value, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "form-data") {
		return errors.New("a part that is no field of a form")
	}
	seen := map[string]string{}
	for rest != "" {
		name, after, found := strings.Cut(rest, `="`)
		text, after, closed := strings.Cut(after, `"`)
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := seen[name]; !found || !closed || twice || strings.Contains(text, `\`) || len(text) > maxName || name != "name" && name != "filename" {
			return errors.New("a part whose name cannot be read")
		}
		seen[name] = text
		after = strings.TrimSpace(after)
		if rest, found = strings.CutPrefix(after, ";"); !found && after != "" || found && strings.TrimSpace(rest) == "" {
			return errors.New("a part whose name cannot be read")
		}
	}
	p.name = seen["name"]
	file, isFile := seen["filename"]
	p.file, p.fileName = isFile, file
	if p.name == "" || isFile && !isFileName(file) {
		return errors.New("a part without a name, or a file whose name leads elsewhere")
	}
	return nil
}

// isFileName reports whether a name is one of a file alone: no path, no drive, no stream.
func isFileName(name string) bool {
	plain := strings.ToLower(name)
	for _, part := range []string{"/", `\`, ":", "%2f", "%5c", "%00"} {
		if strings.Contains(plain, part) {
			return false
		}
	}
	return name != "." && name != ".."
}

// addPart gives the object a property.
func (m *media) addPart(object map[string]any, p formPart) error {
	property := m.shape.property(p.name)
	known, twice := object[p.name]
	if !property.is("array") {
		if twice {
			return errors.New("a field stands twice")
		}
		v, err := m.partValue(property, p)
		object[p.name] = v
		return err
	}
	item := property.items
	if item == nil {
		item = &shape{file: true}
	}
	v, err := m.partValue(item, p)
	array, isArray := known.([]any)
	if all, whole := v.([]any); whole && !item.is("array") { // the array in one part
		if twice {
			return errors.New("a field stands twice")
		}
		object[p.name] = all
		return err
	}
	if twice && !isArray {
		return errors.New("a field stands twice")
	}
	object[p.name] = append(array, v)
	return err
}

// partValue is the value of a part: JSON where it is said or the schema wants an object, a file
// where the schema says nothing but that there are bytes, and text.
func (m *media) partValue(s *shape, p formPart) (any, error) {
	allowed := m.encoding[p.name].media
	if allowed != "" && p.media != "" && !isOneOf(allowed, p.media) {
		return nil, errors.New("a part of another media type than is declared")
	}
	asJSON := isJSON(allowed) || allowed == "" && s.is("object")
	switch {
	case asJSON:
		if p.media != "" && !isJSON(p.media) {
			return nil, errors.New("a part that is not JSON")
		}
		return document(p.content, m.large)
	case s.file:
		return s.placeholder(len(p.content)), nil
	case p.file, allowed == "" && p.media != "" && p.media != "text/plain":
		return nil, errors.New("a file where a text is declared")
	case !utf8.Valid(p.content):
		return nil, errUTF8
	}
	return s.value(string(p.content)), nil
}

// isOneOf reports whether a media type is in a list of them: "image/png, image/*".
func isOneOf(list, name string) bool {
	kind, _, _ := strings.Cut(name, "/")
	for one := range strings.SplitSeq(list, ",") {
		pattern, _, err := mime.ParseMediaType(one)
		if err == nil && (pattern == name || pattern == kind+"/*" || pattern == "*/*") {
			return true
		}
	}
	return false
}

// placeholder stands for a file, of which nothing is judged but its size in bytes.
func (s *shape) placeholder(size int) string {
	if !s.sized {
		return ""
	}
	return strings.Repeat(".", size)
}
