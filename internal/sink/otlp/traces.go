package otlp

import (
	"net/http"

	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/post"
)

// TraceSettings of a destination of spans.
type TraceSettings struct {
	HTTP     *http.Client
	URL      string // https://collector:4318/v1/traces
	Token    post.Secret
	Source   form.Source
	MaxBody  int
	Compress bool
}

// NewTraces returns a destination that makes spans of requests. Events of other classes, and
// of requests whose trace is not recorded, become nothing; whoever has many of them gives it
// only the others.
func NewTraces(s TraceSettings) (*post.Destination, error) {
	resource := resource(s.Source)
	return post.New(post.Settings{
		HTTP: s.HTTP, URL: s.URL, MaxBody: s.MaxBody, Compress: s.Compress, Type: protobuf, Judge: judge("spans"), Dress: bearer(s.Token),
		Append: new(spans).append,
		Wrap:   func(dst, spans []byte) []byte { return wrap(dst, resource, spans) },
	})
}
