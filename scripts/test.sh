#!/bin/sh
# Runs every test; the last line says whether the race detector watched, and how
# many tests were left out since there is no Apache Kafka, or no disk to fill.
set -eu

cd "$(dirname "$0")/.."
go vet ./...

# In CI nothing is left out: a Kafka that cannot be fetched is a failure there.
scripts/fetch-kafka.sh || [ -z "${CI:-}" ]
OVERREACH_TEST_LEFT_OUT=$(mktemp)
export OVERREACH_TEST_LEFT_OUT
trap 'rm -f "$OVERREACH_TEST_LEFT_OUT"' EXIT
left_out() {
	n=$(wc -l <"$OVERREACH_TEST_LEFT_OUT")
	[ "$n" -eq 0 ] || echo "; LEFT OUT: $n tests on an Apache Kafka (make kafka says why) or a full disk (only root can mount one)"
}

if command -v "$(go env CC)" >/dev/null 2>&1; then
	CGO_ENABLED=1 go test -race -timeout 40m ./...
	echo "tests passed, watched by the race detector$(left_out)"
elif [ -n "${CI:-}" ]; then
	echo "test: no C compiler, so no race detector: in CI that is a failure" >&2
	exit 1
else
	go test -timeout 40m ./...
	echo "tests passed; NOT watched by the race detector: it needs a C compiler ($(go env CC))$(left_out)"
fi
