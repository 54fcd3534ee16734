# A few words, each a plain command. `make check` needs Go; `make test` installs
# whatever else the tests use (Debian packages, npm packages pinned by a lock file).
SHELL := /bin/bash
# Everything is built as it is shipped, and once. The race detector alone needs the other (tools/test.sh).
export CGO_ENABLED := 0
.PHONY: demo build check test fuzz e2e soak bench attacks vulns

demo:            ## the orders API behind every shield, with commands to paste
	go run ./cmd/pavise demo

build:           ## bin/pavise
	go build -trimpath -o bin/pavise ./cmd/pavise

check:           ## format, vet, staticcheck, import direction
	@out=$$(go tool -modfile=tools/go.mod gofumpt -l . | grep -v -e testdata/ -e node_modules/); if [ -n "$$out" ]; then echo "not gofumpt-ed:"; echo "$$out"; exit 1; fi
	go vet ./...
	@for module in schema/compare internal/sink/ocsftest internal/sink/otlptest e2e/otelcol; do echo "go vet in $$module"; go vet -C $$module ./... || exit 1; done
	go tool -modfile=tools/go.mod staticcheck ./...
	go test -run 'TestDeps' .

test:            ## everything that CI runs
	tools/install.sh
	tools/test.sh

fuzz:            ## every fuzz target, FUZZTIME each (default 60s), and the differential millions
	tools/fuzz.sh

e2e:             ## the running program against real clients and peers
	tools/install.sh
	go test -count=1 ./e2e/...

soak:            ## ten minutes of full load with reloads, revocations and failures
	SOAK=$${SOAK:-10m} go test -count=1 -timeout 30m -run TestSoak -v ./e2e/soak

bench:           ## each step of the path by itself, then side by side with nginx and HAProxy
	tools/install.sh
	go test -run '^$$' -bench . -benchmem ./... | grep -v -e 'no test files' -e '^ok'
	go run ./bench

attacks:         ## rows of docs/attacks.md without a test
	go run -C tools ./attacks ..

vulns:           ## known vulnerabilities of what we import (needs the network)
	go tool -modfile=tools/go.mod govulncheck ./...
