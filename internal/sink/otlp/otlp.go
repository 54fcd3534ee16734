// Package otlp sends events to an OpenTelemetry collector, over HTTP with protobuf (OTLP 1.x):
// as log records, and requests as spans.
//
//	otlp.go     the destination of log records, and what answers mean
//	record.go   an event as a log record
//	traces.go   the destination of spans
//	span.go     a request as spans: its own, one for each part of its path, one for the upstream
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

const protobuf = "application/x-protobuf"

// New returns a destination of log records.
func New(s Settings) (*post.Destination, error) {
	resource := resource(s.Source)
	return post.New(post.Settings{
		HTTP: s.HTTP, URL: s.URL, MaxBody: s.MaxBody, Compress: s.Compress, Type: protobuf, Judge: judge("records"), Dress: bearer(s.Token),
		Append: newRecords(s.Form).append,
		Wrap:   func(dst, records []byte) []byte { return wrap(dst, resource, records) },
	})
}

// bearer adds the token; nil: there is none.
func bearer(token post.Secret) func(http.Header, []byte, []audit.Found) error {
	if token == nil {
		return nil
	}
	return func(h http.Header, _ []byte, _ []audit.Found) error {
		value, err := token()
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		h.Set("Authorization", "Bearer "+string(value.Reveal()))
		return nil
	}
}

// resource is what all records and spans share: field 1 of ResourceLogs and ResourceSpans.
func resource(s form.Source) []byte {
	attributes := appendText(nil, 1, "service.name", "pavise")
	attributes = appendText(attributes, 1, "service.version", s.Version)
	attributes = appendText(attributes, 1, "host.name", s.Node)
	return appendBytes(nil, 1, attributes)
}

// wrap makes an ExportLogsServiceRequest with one ResourceLogs of one ScopeLogs, or an
// ExportTraceServiceRequest with one ResourceSpans of one ScopeSpans: they have the same
// fields.
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

// judge reads an ExportLogsServiceResponse or ExportTraceServiceResponse: a collector may have
// taken a part only.
func judge(what string) func(status int, answer []byte) error {
	return func(status int, answer []byte) error {
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
			return sink.Reject("the collector rejects %d %s", rejected, what)
		}
		return nil
	}
}
