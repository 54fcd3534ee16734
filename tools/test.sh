#!/usr/bin/env bash
# Everything that CI runs: unit and story tests, the concurrent packages again
# under the race detector, end-to-end tests, a short soak, and the catalogue.
set -euo pipefail
cd "$(dirname "$0")/.."
export SOAK=${SOAK:-40s}
export CGO_ENABLED=0 # as it is shipped

# Tests that start the command line start this one, instead of linking it anew each time.
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
go build -o "$programs/pavise" ./cmd/pavise
export PAVISE_TEST_PROGRAM=$programs/pavise

echo "== tests"
go test -count=1 -timeout 20m -p 2 ./...
echo "== events and spans beside what others publish: schemas, types, a collector"
for module in internal/sink/ocsftest internal/sink/otlptest e2e/otelcol; do (cd $module && go test -count=1 .); done
echo "== race detector"
CGO_ENABLED=1 go test -count=1 -race -short -timeout 15m -p 2 $(go list ./... | grep -v -e /e2e -e /bench -e /cmd/ -e /replay -e /attack/foreign -e /advise -e /internal/check -e /internal/config)
echo "== attack catalogue"
go run -C tools ./attacks ..
