package crs

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// Kinds of bodies, by the names that the rules have for them.
const (
	noBody    = ""
	jsonBody  = "JSON"
	formBody  = "URLENCODED"
	multiBody = "MULTIPART"
	xmlBody   = "XML"
	textBody  = "RAW"
)

// Names that the rules see where the caller gives none.
const (
	rootName = "json"  // of a JSON body; what is in it is json.items.0.comment, as in Coraza
	textName = "text"  // of a body that is one text
	pathName = "path." // before the names of a pattern's wildcards, which are ours: {id} is no Unix command
)

// Bounds of a body's form, besides the settings.
const (
	maxDepth      = 64      // of JSON and XML
	maxEntries    = 1 << 20 // of JSON, before it is known how many of them are fields
	maxPartHeader = 4 << 10 // bytes of all headers of a part
)

// body is what the rules get to see of a body.
type body struct {
	kind  string
	text  string // as it came, of a form or a text
	value any    // of a JSON body

	understood bool // a contract has read the value, and found nothing wrong

	fields   []field // of a form, a multipart body or a JSON value
	files    []field // the names of files
	headers  []field // of parts
	elements []string
	values   []string // of XML attributes
}

// field is a name with a text.
type field struct{ name, text string }

// readBody reads the body of a request, if it is text: what the rules cannot read is not harmless.
func (l *Layer) readBody(r *http.Request) (*body, error) {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return &body{}, nil
	}
	kind, boundary, err := kindOf(r.Header)
	if err != nil || kind == noBody {
		return &body{}, err
	}
	if len(r.Header["Content-Encoding"]) > 0 {
		return nil, shield.Refuse(shield.UnsupportedMedia, "no rule can look into a body with a coding; send it plain")
	}
	most := l.rules.settings.MaxBody
	if kind != multiBody && r.ContentLength > most {
		return nil, tooLarge(most)
	}
	kept, err := shield.BodyOf(r)
	if err != nil {
		return nil, err
	}
	text, err := kept.Bytes()
	if err != nil {
		return nil, err
	}
	if kind != multiBody && int64(len(text)) > most {
		return nil, tooLarge(most)
	}
	if len(text) == 0 {
		return &body{}, nil
	}
	b := &body{kind: kind}
	if err := b.read(text, boundary, kept.Value()); err != nil {
		refusal := shield.Refuse(shield.InvalidInput, "the body: %v", err)
		refusal.Fields = []shield.Field{{In: "body", Rule: "form"}}
		return nil, refusal
	}
	return b, nil
}

func tooLarge(most int64) error {
	return shield.Refuse(shield.TooLarge, "the body has more than the %d bytes of text that the rules look at", most)
}

// kindOf says how the body of a request is read; noBody: it is no text.
func kindOf(h http.Header) (kind, boundary string, err error) {
	values := h["Content-Type"]
	switch {
	case len(values) == 0:
		return textBody, "", nil // readers guess
	case len(values) > 1:
		return "", "", shield.Refuse(shield.UnsupportedMedia, "%d headers Content-Type, want one", len(values))
	}
	name, parameters, err := mime.ParseMediaType(values[0])
	if err != nil || strings.Contains(values[0], "*") { // RFC 2231, which few readers follow
		return "", "", shield.Refuse(shield.UnsupportedMedia, "Content-Type cannot be read")
	}
	kind = kindNamed(name)
	if charset, said := parameters["charset"]; said && kind != noBody && !isASCIISuperset(charset) {
		return "", "", shield.Refuse(shield.UnsupportedMedia, "a charset other than UTF-8")
	}
	return kind, parameters["boundary"], nil
}

func isASCIISuperset(charset string) bool {
	return strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "us-ascii")
}

func kindNamed(name string) string {
	switch {
	case name == "application/json" || name == "text/json" || strings.HasSuffix(name, "+json"):
		return jsonBody
	case name == "application/x-www-form-urlencoded":
		return formBody
	case strings.HasPrefix(name, "multipart/"):
		return multiBody
	case name == "application/xml" || name == "text/xml" || strings.HasSuffix(name, "+xml"):
		return xmlBody
	case strings.HasPrefix(name, "text/") || slices.Contains(otherTexts(), name):
		return textBody
	}
	return noBody
}

// otherTexts are media types of text that are not called so.
func otherTexts() []string {
	return []string{
		"application/graphql", "application/javascript", "application/x-javascript", "application/ecmascript", "application/yaml",
		"application/x-yaml", "application/toml", "application/sql", "application/x-ndjson", "application/ndjson", "application/jsonl",
		"application/json-seq", "application/x-httpd-php", "application/x-sh",
	}
}

func (b *body) read(text []byte, boundary string, known any) error {
	switch b.kind {
	case jsonBody:
		return b.readJSON(text, known)
	case formBody:
		return b.readForm(string(text))
	case multiBody:
		return b.readMultipart(text, boundary)
	case xmlBody:
		return b.readXML(text)
	}
	if !utf8.Valid(text) {
		return errors.New("it is no text in UTF-8")
	}
	b.text = string(text)
	return nil
}

func (b *body) readJSON(text []byte, known any) (err error) {
	b.value, b.understood = known, known != nil
	if known == nil {
		b.value, err = strictjson.Document(text, strictjson.Bounds{Depth: maxDepth, Entries: maxEntries, LargeIntegers: true})
	}
	return err // the fields are made within the settings' bounds, by flatten
}

// readForm reads a form (WHATWG URL §5.1). Readers that separate fields by ; as well see parts of what the rules see.
func (b *body) readForm(text string) error {
	b.text = text
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return errors.New("an escape that is none")
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return errors.New("an escape that is none")
		}
		b.fields = append(b.fields, field{name, value})
	}
	return nil
}

// readMultipart reads a multipart body (RFC 7578). The rules look at the names of files, not into them.
func (b *body) readMultipart(text []byte, boundary string) error {
	end := []byte("--" + boundary + "--")
	if boundary == "" || !bytes.HasPrefix(text, []byte("--"+boundary+"\r\n")) ||
		!bytes.HasSuffix(bytes.TrimSuffix(text, []byte("\r\n")), end) || bytes.Count(text, end) != 1 {
		return errors.New("no boundary, or something before the first part or behind the last")
	}
	reader := multipart.NewReader(bytes.NewReader(text), boundary)
	for {
		p, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.New("parts that cannot be told apart")
		}
		if err := b.addPart(p); err != nil {
			return err
		}
	}
}

func (b *body) addPart(p *multipart.Part) error {
	said := p.Header["Content-Disposition"]
	if len(said) > 1 {
		return errors.New("a part with two names")
	}
	name, file, isFile := "", "", false
	if len(said) == 1 {
		_, parameters, err := mime.ParseMediaType(said[0])
		if err != nil {
			return errors.New("a part of which the name cannot be read")
		}
		name = parameters["name"]
		file, isFile = parameters["filename"]
	}
	size := 0
	for key, values := range p.Header {
		for _, v := range values {
			size += len(key) + len(v)
			b.headers = append(b.headers, field{name, key + ": " + v})
		}
	}
	if size > maxPartHeader {
		return errors.New("a part with too long headers")
	}
	if isFile {
		b.files = append(b.files, field{name, file})
		_, err := io.Copy(io.Discard, p)
		return err
	}
	content, err := io.ReadAll(p)
	b.fields = append(b.fields, field{name, string(content)})
	return err
}

// readXML reads XML without a document type, so that there are no entities to be expanded. A text
// that comments and CDATA cut into pieces is one, as it is for most readers.
func (b *body) readXML(text []byte) error {
	decoder := xml.NewDecoder(bytes.NewReader(text))
	depth := 0
	var held []byte
	flush := func() {
		if s := bytes.TrimSpace(held); len(s) > 0 {
			b.elements = append(b.elements, string(s))
		}
		held = held[:0]
	}
	for {
		token, err := decoder.RawToken()
		if errors.Is(err, io.EOF) {
			if depth != 0 {
				return errors.New("an element that does not end")
			}
			return nil
		}
		if err != nil {
			return errors.New("no XML in UTF-8 without entities of its own")
		}
		switch token := token.(type) {
		case xml.StartElement:
			flush()
			if depth++; depth > maxDepth {
				return errors.New("elements nested too deep")
			}
			for _, a := range token.Attr {
				b.values = append(b.values, a.Value)
			}
		case xml.EndElement:
			flush()
			depth--
		case xml.CharData:
			held = append(held, token...)
		case xml.Directive:
			return errors.New("a document type")
		}
	}
}
