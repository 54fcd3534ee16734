module pavise.dev/pavise/internal/sink/otlptest

go 1.26.0

replace pavise.dev/pavise => ../../..

require (
	go.opentelemetry.io/proto/otlp v1.11.1
	google.golang.org/protobuf v1.36.12
	pavise.dev/pavise v0.0.0
)
