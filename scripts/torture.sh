#!/bin/sh
# Runs the kill test: SEED, KILLS and PROCS say how. The last line is what came
# of it; ends with 1 where anything was lost, was there twice, or is otherwise
# than without a kill.
set -eu

cd "$(dirname "$0")/.."
report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
go test ./cmd/overreach -count=1 -v -timeout 24h -run '^TestNothingIsLostAndNothingIsTwiceWhateverDies$' \
	-torture.seed="${SEED:-1}" -torture.kills="${KILLS:-200}" -torture.procs="${PROCS:-1}" -torture.report="$report" >&2 || status=1
[ -s "$report" ] || { echo "torture: it did not come to a comparison; the lines above say why" >&2; exit 1; }
cat "$report"
exit "$status"
