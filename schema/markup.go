package schema

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"strings"
)

// Pictures in SVG and pages in XHTML are XML that a browser runs: what harms stands in the names of
// their elements and attributes, and not in their texts alone. Such a body is handed on as one
// text, too, written plainly: without prefixes, comments, CDATA or escapes.

// isDrawn reports a media type of such bodies.
func isDrawn(name string) bool { return name == "image/svg+xml" || name == "application/xhtml+xml" }

// markup is a body as it is handed on.
type markup struct {
	text []byte
	runs bool // a browser takes something in it for its own
}

func (m *markup) begin(t xml.StartElement) {
	name := strings.ToLower(t.Name.Local)
	m.runs = m.runs || name == "svg" || name == "html"
	m.text = append(append(m.text, '<'), t.Name.Local...)
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			m.runs = m.runs || a.Value == "http://www.w3.org/2000/svg" || a.Value == "http://www.w3.org/1999/xhtml"
			continue
		}
		m.text = append(append(append(m.text, ' '), a.Name.Local...), `="`...)
		m.text = append(append(m.text, strings.ReplaceAll(a.Value, `"`, "'")...), '"')
	}
	m.text = append(m.text, '>')
}

func (m *markup) end(t xml.EndElement) {
	m.text = append(append(append(m.text, "</"...), t.Name.Local...), '>')
}

// drawing hands on what is in a picture or a page, which no schema describes.
func (w *walker) drawing(r *http.Request) error {
	_, text, err := plainBody(r)
	if err != nil {
		return err
	}
	w.in = "body"
	return w.xml(withoutMark(text))
}

// withoutMark is a text without the byte order mark that programs write before their files.
func withoutMark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) }

// isDrawing reports a file that is a picture or a page in XML, by what it says or by its name.
func (p *formPart) isDrawing() bool {
	name := strings.ToLower(p.fileName)
	return isDrawn(p.media) || strings.HasSuffix(name, ".svg") || strings.HasSuffix(name, ".xhtml")
}
