#!/bin/sh
# Measures how good the detectors are on simulated partners of the seeds SEEDS, and
# writes the section of docs/accuracy.md that says so; seeds other than 101-120 are
# for tuning, and are printed alone.
set -eu
cd "$(dirname "$0")/.."

seeds=${SEEDS:-101-120}
docs=
[ "$seeds" != 101-120 ] || docs=docs
# shellcheck disable=SC2086
exec go run ./scripts/detect -seeds "$seeds" -docs "$docs" ${FLAGS:-}
