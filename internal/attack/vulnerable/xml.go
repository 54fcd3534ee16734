package vulnerable

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// What a parser of XML would do with entities is played here: Go's has none.

var entity = regexp.MustCompile(`<!ENTITY (% )?(\w+) (SYSTEM )?"([^"]*)">|<!DOCTYPE \w+ (SYSTEM )"([^"]*)">`)

// complain takes a complaint, in XML alone.
func (a *API) complain(w http.ResponseWriter, r *http.Request, _ string) {
	if media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); media != "application/xml" {
		problem(w, http.StatusUnsupportedMediaType)
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		problem(w, http.StatusRequestEntityTooLarge)
		return
	}
	var body struct {
		XMLName xml.Name `xml:"complaint"`
		Text    string   `xml:"text"`
	}
	entities, legal := a.entities(raw)
	if !legal || unmarshal(raw, entities, &body) != nil || body.Text == "" {
		problem(w, http.StatusBadRequest)
		return
	}
	tell(w, http.StatusCreated, map[string]any{"text": body.Text})
}

func unmarshal(raw []byte, entities map[string]string, into any) error {
	decoder := xml.NewDecoder(bytes.NewReader(raw))
	decoder.Entity = entities
	return decoder.Decode(into)
}

// entities are what a document declares; legal is false where it must declare nothing, or names what there is
// not.
func (a *API) entities(raw []byte) (all map[string]string, legal bool) {
	if !bytes.Contains(raw, []byte("<!DOCTYPE")) {
		return nil, true
	}
	if !a.on["xxe"] && !a.on["xml-entities"] {
		return nil, false
	}
	all = map[string]string{}
	for _, m := range entity.FindAllStringSubmatch(string(raw), -1) {
		switch {
		case m[3] == "" && m[5] == "":
			value := m[4]
			for name, is := range all {
				value = strings.ReplaceAll(value, "&"+name+";", is)
			}
			all[m[2]] = value
		case a.on["xxe"] && m[4] == "file:///etc/passwd":
			all[m[2]] = passwords
		default:
			return nil, false
		}
	}
	return all, true
}

// feedbackXML reads what is described as JSON alone.
func (a *API) feedbackXML(w http.ResponseWriter, raw string) {
	for _, m := range entity.FindAllStringSubmatch(raw, -1) {
		address, err := url.Parse(m[4] + m[6])
		if err != nil || address.Scheme != "http" {
			problem(w, http.StatusBadRequest)
			return
		}
		if address.Port() == "1" {
			tell(w, http.StatusBadRequest, map[string]any{"error": "connect: connection refused"})
			return
		}
	}
	var body struct {
		Text string `xml:"text"`
	}
	if unmarshal([]byte(raw), map[string]string{"pavise": "fetched"}, &body) != nil || body.Text == "" {
		problem(w, http.StatusBadRequest)
		return
	}
	tell(w, http.StatusAccepted, map[string]any{"thanks": true})
}
