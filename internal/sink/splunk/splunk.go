// Package splunk sends events to Splunk's HTTP Event Collector, and to receivers that speak
// as it does.
package splunk

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/post"
)

// Settings of a destination.
type Settings struct {
	HTTP       *http.Client
	URL        string // of the collector: https://splunk:8088
	Token      post.Secret
	Form       form.Form
	IsText     bool // the form is no JSON
	SourceType string
	Index      string // empty: the token's
	Node       string
	MaxBody    int
	Compress   bool
}

// path is where the collector takes events.
const path = "/services/collector/event"

// New returns a destination.
func New(s Settings) (*post.Destination, error) {
	return post.New(post.Settings{
		HTTP: s.HTTP, URL: strings.TrimSuffix(s.URL, "/") + path, MaxBody: s.MaxBody, Compress: s.Compress, Type: "application/json",
		Append: s.appendEvent, Judge: judge,
		Dress: func(h http.Header, _ []byte, _ []audit.Found) error {
			token, err := s.Token()
			if err != nil {
				return fmt.Errorf("read the token: %w", err)
			}
			h.Set("Authorization", "Splunk "+string(token.Reveal()))
			return nil
		},
	})
}

// appendEvent appends one event in its envelope.
func (s *Settings) appendEvent(dst []byte, f audit.Found) []byte {
	dst = append(dst, `{"time":`...)
	ms := f.Event.Time.UnixMilli()
	dst = strconv.AppendInt(dst, ms/1000, 10)
	dst = append(dst, '.')
	dst = append(dst, byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10))
	dst = appendField(dst, "host", s.Node)
	dst = appendField(dst, "source", "pavise")
	dst = appendField(dst, "sourcetype", s.SourceType)
	dst = appendField(dst, "index", s.Index)
	dst = append(dst, `,"event":`...)
	if s.IsText {
		dst = append(dst, form.Quote(string(s.Form(nil, f)))...)
	} else {
		dst = s.Form(dst, f)
	}
	return append(dst, '}', '\n')
}

func appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return append(dst, form.Quote(value)...)
}

// judge reads the collector's own code: a wrong index or a missing channel is answered with
// 400, too, and is no fault of an event.
func judge(status int, answer []byte) error {
	var said struct {
		Code *int `json:"code"`
	}
	if err := json.Unmarshal(answer, &said); err != nil || said.Code == nil {
		if status/100 == 2 {
			return errors.New("its answer is not that of an event collector")
		}
		return post.ByStatus(status)
	}
	switch *said.Code {
	case 0:
		return nil
	case 5, 6, 12, 13, 15: // no data, invalid format, no event, blank event, indexed fields
		return sink.Reject("the collector's code %d", *said.Code)
	case 7:
		return errors.New("it does not know the index, or the token may not write to it (code 7)")
	case 10, 11, 14:
		return fmt.Errorf("the token wants indexer acknowledgement, which is not spoken here (code %d); use a token without", *said.Code)
	}
	return fmt.Errorf("it answers %d with code %d", status, *said.Code)
}
