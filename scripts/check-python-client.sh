#!/bin/sh
# Reads the findings of a finished run with a ClickHouse client that is not ours:
# clickhouse-connect for Python, in a venv of its own. Needs make build engine.
set -eu

cd "$(dirname "$0")/.."
version=1.12.0

command -v python3 >/dev/null 2>&1 || { echo "check-python-client: python3 is not here" >&2; exit 1; }
venv=.tools/python-client-$version
if ! [ -e "$venv/ready" ]; then
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check "clickhouse-connect==$version"
	touch "$venv/ready"
fi

dir=$(mktemp -d)
served=
finish() {
	if [ -n "$served" ]; then
		kill "$served" 2>/dev/null || true
		wait "$served" || true
	fi
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

bin/overreach run --local "$dir/data" --mapping github --from schema/testdata/github.ndjson --log-level error --json >"$dir/findings.json"
bin/overreach clickhouse "$dir/data" --native 127.0.0.1:0 --http 127.0.0.1:0 >"$dir/served" &
served=$!
until grep -q Grafana "$dir/served" 2>/dev/null; do
	kill -0 "$served" 2>/dev/null || { echo "check-python-client: overreach clickhouse did not start" >&2; exit 1; }
	sleep 0.1
done

dsn=$(sed -n "s/.*get_client(dsn='\(.*\)').*/\1/p" "$dir/served")
"$venv/bin/python" - "$dsn" "$dir/findings.json" <<'PYTHON'
import json
import sys

import clickhouse_connect

with open(sys.argv[2]) as file:
    printed = {f["id"]: (f["partner"], f["people"], f["sentence"]) for f in map(json.loads, file)}

client = clickhouse_connect.get_client(dsn=sys.argv[1])
rows = client.query("SELECT id, partner, people, sentence FROM findings").result_rows
read = {row[0]: tuple(row[1:]) for row in rows}
assert printed and read == printed, f"the client reads {read}, run printed {printed}"
everything = client.query("SELECT * FROM findings")
assert len(everything.result_rows) == len(printed) and len(everything.column_names) > 40
of = client.query("SELECT count() FROM findings WHERE partner = {p:String}", parameters={"p": rows[0][1]}).result_rows
assert of[0][0] >= 1
print(f"clickhouse-connect {clickhouse_connect.__version__} reads the {len(read)} findings that run printed")
PYTHON
