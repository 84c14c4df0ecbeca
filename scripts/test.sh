#!/bin/sh
# Runs every test; the last line says whether the race detector watched.
set -eu

cd "$(dirname "$0")/.."
go vet ./...
if command -v "$(go env CC)" >/dev/null 2>&1; then
	CGO_ENABLED=1 go test -race -timeout 20m ./...
	echo "tests passed, watched by the race detector"
elif [ -n "${CI:-}" ]; then
	echo "test: no C compiler, so no race detector: in CI that is a failure" >&2
	exit 1
else
	go test -timeout 20m ./...
	echo "tests passed; NOT watched by the race detector: it needs a C compiler ($(go env CC))"
fi
