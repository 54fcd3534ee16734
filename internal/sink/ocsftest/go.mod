module pavise.dev/pavise/internal/sink/ocsftest

go 1.26.0

replace pavise.dev/pavise => ../../..

require (
	github.com/valllabh/ocsf-schema-golang v1.0.3
	google.golang.org/protobuf v1.36.12
	pavise.dev/pavise v0.0.0
)

require (
	github.com/klauspost/compress v1.17.8 // indirect
	github.com/santhosh-tekuri/jsonschema/v5 v5.3.1 // indirect
)
