#!/bin/sh
# The inner loop: runs the tests that need neither the engine nor an Apache Kafka, without
# the race detector. Go runs only the packages that have changed since they last passed.
set -eu

cd "$(dirname "$0")/.."
go vet ./...
# Many tests wait for a broker or a clock, so more of them run at once than there are cores.
OVERREACH_TEST_QUICK=1 go test -parallel 8 ./...
echo "quick tests passed; LEFT OUT: each test that needs the engine or an Apache Kafka, and the race detector: make test runs them"
