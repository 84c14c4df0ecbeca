#!/bin/sh
# Measures what load costs, on an Apache Kafka, and fails where it is more than the
# docs promise. TIME is how long a producer outruns an instance, TIMES how many
# times as many hostile events are sent as by `make test`, RUN which tests are run.
set -eu

cd "$(dirname "$0")/.."
OVERREACH_LOAD="${TIMES:-34}"
export OVERREACH_LOAD
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
go test ./cmd/overreach -count=1 -v -timeout 3h -load.time "${TIME:-10m}" \
	-run "${RUN:-^(TestMemoryStaysUnder|TestAProducerThatIs|TestMemoryGrowsNeither|TestATakeover)}" >"$log" 2>&1 || status=1
grep -E '(whole_load|load_[a-z]+)_test.go|^ *---|^(ok|FAIL|PASS)' "$log" || { cat "$log"; status=1; }
exit "$status"
