#!/bin/sh
# The inner loop: runs every test that needs neither the engine nor an Apache Kafka, without
# the race detector. The last line says how many tests were left out.
set -eu

cd "$(dirname "$0")/.."
OVERREACH_TEST_QUICK=1
OVERREACH_TEST_LEFT_OUT=$(mktemp)
export OVERREACH_TEST_QUICK OVERREACH_TEST_LEFT_OUT
trap 'rm -f "$OVERREACH_TEST_LEFT_OUT"' EXIT
go vet ./...
go test -count 1 ./...
echo "quick tests passed; LEFT OUT: $(wc -l <"$OVERREACH_TEST_LEFT_OUT") tests that need the engine or an Apache Kafka, and the race detector: make test runs them"
