// Package otlp sends events to an OpenTelemetry collector: log records over HTTP with
// protobuf (OTLP 1.x).
//
//	otlp.go     the destination, and what answers mean
//	record.go   an event as a log record
//	proto.go    the few parts of protobuf that it takes
//
// The bytes are written here and not by generated code: a batch of five hundred events costs
// no allocation, and a gateway has one dependency less. otlptest, a module of its own, reads
// them with the types that OpenTelemetry publishes.
package otlp

import (
	"errors"
	"fmt"
	"net/http"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/post"
)

// Settings of a destination.
type Settings struct {
	HTTP     *http.Client
	URL      string // https://collector:4318/v1/logs
	Token    post.Secret
	Form     form.Form // of the body
	Source   form.Source
	MaxBody  int
	Compress bool
}

// New returns a destination.
func New(s Settings) (*post.Destination, error) {
	resource := s.resource()
	return post.New(post.Settings{
		HTTP: s.HTTP, URL: s.URL, MaxBody: s.MaxBody, Compress: s.Compress, Type: "application/x-protobuf", Judge: judge,
		Append: newRecords(s.Form).append,
		Wrap:   func(dst, records []byte) []byte { return wrap(dst, resource, records) },
		Dress: func(h http.Header, _ []byte, _ []audit.Found) error {
			if s.Token == nil {
				return nil
			}
			token, err := s.Token()
			if err != nil {
				return fmt.Errorf("read the token: %w", err)
			}
			h.Set("Authorization", "Bearer "+string(token.Reveal()))
			return nil
		},
	})
}

// resource is what all records share: field 1 of ResourceLogs.
func (s *Settings) resource() []byte {
	attributes := appendText(nil, 1, "service.name", "pavise")
	attributes = appendText(attributes, 1, "service.version", s.Source.Version)
	attributes = appendText(attributes, 1, "host.name", s.Source.Node)
	return appendBytes(nil, 1, attributes)
}

// wrap makes an ExportLogsServiceRequest: one ResourceLogs with one ScopeLogs.
func wrap(dst, resource, records []byte) []byte {
	scope := appendString(nil, 1, "pavise.dev/pavise/audit")
	scope = appendBytes(nil, 1, scope)
	within := len(scope) + len(records)
	dst = appendTag(dst, 1, wireBytes)
	dst = appendVarint(dst, uint64(len(resource)+1+sizeVarint(uint64(within))+within))
	dst = append(dst, resource...)
	dst = appendTag(dst, 2, wireBytes)
	dst = appendVarint(dst, uint64(within))
	dst = append(dst, scope...)
	return append(dst, records...)
}

// judge reads an ExportLogsServiceResponse: a collector may have taken a part only.
func judge(status int, answer []byte) error {
	if status/100 != 2 {
		return post.ByStatus(status)
	}
	partial, err := field(answer, 1)
	if err != nil {
		return errors.New("its answer is not that of a collector")
	}
	rejected, err := number(partial, 1)
	if err != nil {
		return errors.New("its answer is not that of a collector")
	}
	if rejected > 0 {
		return sink.Reject("the collector rejects %d records", rejected)
	}
	return nil
}
