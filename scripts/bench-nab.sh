#!/usr/bin/env bash
# Feeds the series of the Numenta Anomaly Benchmark under NAB (data/, windows.json
# and score.py, or the score.py of ../shared/nab) to the baseline, one row at a
# time, and prints the benchmark's three profiles.
set -euo pipefail
cd "$(dirname "$0")/.."

nab=${NAB:-../shared/nab}
if [ ! -d "$nab/data" ]; then
	echo "bench-nab: SKIPPED: no $nab/data. Name a folder with data/ and windows.json: make bench-nab NAB=DIR" >&2
	exit 0
fi
scorer=$nab/score.py
[ -f "$scorer" ] || scorer=../shared/nab/score.py
if [ ! -f "$scorer" ]; then
	echo "bench-nab: SKIPPED: no score.py in $nab nor in ../shared/nab" >&2
	exit 0
fi

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
go run ./scripts/nab -out "$results" "$nab"
for profile in standard low_fp low_fn; do
	echo "== $profile"
	python3 "$scorer" --profile "$profile" --labels "$nab/windows.json" --families "$results"
done
