// Package elastic sends events to Elasticsearch, OpenSearch and what else has their bulk API.
//
// Each event has an id of its own, and is only ever created: what is there already is not
// written again, so that an event that is sent twice is there once.
package elastic

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/post"
)

// Settings of a destination.
type Settings struct {
	HTTP     *http.Client
	URL      string // https://elastic:9200
	Index    string // or data stream
	Secret   post.Secret
	User     string // empty: Secret is an API key; else the password of this user
	Form     form.Form
	Node     string
	MaxBody  int
	Compress bool
}

// New returns a destination.
func New(s Settings) (*post.Destination, error) {
	return post.New(post.Settings{
		HTTP: s.HTTP, MaxBody: s.MaxBody, Compress: s.Compress, Type: "application/x-ndjson",
		URL:    strings.TrimSuffix(s.URL, "/") + "/" + url.PathEscape(s.Index) + "/_bulk?filter_path=errors,items.*.status,items.*.error.type",
		Append: s.appendEvent, Judge: judge, Dress: s.dress,
	})
}

func (s *Settings) dress(h http.Header, _ []byte, _ []audit.Found) error {
	if s.Secret == nil {
		return nil
	}
	value, err := s.Secret()
	if err != nil {
		return fmt.Errorf("read the key: %w", err)
	}
	if s.User == "" {
		h.Set("Authorization", "ApiKey "+string(value.Reveal()))
		return nil
	}
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(s.User+":"+string(value.Reveal()))))
	return nil
}

// appendEvent appends the action and the document, each a line. The id holds the number in
// the log of the node, which no other event has.
func (s *Settings) appendEvent(dst []byte, f audit.Found) []byte {
	dst = append(dst, `{"create":{"_id":`...)
	dst = append(dst, form.Quote(s.Node+"-"+strconv.FormatUint(f.Seq, 10)+"-"+f.Event.ID)...)
	dst = append(dst, '}', '}', '\n')
	return append(s.Form(dst, f), '\n')
}

// answer is what was asked for by filter_path.
type answer struct {
	Errors *bool `json:"errors"`
	Items  []map[string]struct {
		Status int `json:"status"`
		Error  struct {
			Type string `json:"type"`
		} `json:"error"`
	} `json:"items"`
}

// judge looks at each document: one that is there already is well, one that cannot be read is
// rejected, and if any may be taken later, all are sent again.
func judge(status int, said []byte) error {
	if status/100 != 2 {
		return post.ByStatus(status)
	}
	var a answer
	if err := json.Unmarshal(said, &a); err != nil || a.Errors == nil {
		return errors.New("its answer is not that of a bulk request")
	}
	if !*a.Errors {
		return nil
	}
	rejected, why := 0, ""
	for _, item := range a.Items {
		for _, of := range item {
			switch {
			case of.Status/100 == 2 || of.Status == http.StatusConflict:
			case of.Status == http.StatusBadRequest || of.Status == http.StatusRequestEntityTooLarge || of.Status == http.StatusUnprocessableEntity:
				rejected, why = rejected+1, of.Error.Type
			default:
				return fmt.Errorf("it answers %d for a document (%.60s)", of.Status, word(of.Error.Type))
			}
		}
	}
	if rejected > 0 {
		return sink.Reject("%d of %d documents: %.60s", rejected, len(a.Items), word(why))
	}
	return nil
}

// word is a text if it is one word, as types of errors are: nothing of a document.
func word(text string) string {
	for _, c := range text {
		if c != '_' && (c < 'a' || c > 'z') {
			return "error"
		}
	}
	return text
}
