#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (default 60s), then the differential tests
# with DIFFERENTIAL requests each (default 1000000), from DIFFERENTIAL_SEED on (default
# the time; every run logs it).
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-60s}
for dir in $(git grep -l 'func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do
	for target in $(grep -ho 'func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | sed 's/func //' | sort -u); do
		echo "== $dir $target"
		# Making inputs small takes up to a minute each otherwise, and then nothing is tried meanwhile.
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "./$dir"
	done
done
DIFFERENTIAL=${DIFFERENTIAL:-1000000} PAVISE_DIFFERENTIAL=${DIFFERENTIAL:-1000000} DIFFERENTIAL_SEED=${DIFFERENTIAL_SEED:-$(date +%s)} \
	go test -count=1 -timeout 60m -v -run 'Differential|WhatArrives' ./internal/edge ./internal/gateway ./e2e/differential
