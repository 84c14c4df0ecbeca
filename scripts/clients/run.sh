#!/bin/bash
# Runs the same statements (statements.tsv) with each client that people use on the
# engine, and fails where an answer is another. The kinds in the first column: all;
# binary, for clients that read binary rows; native, where a session keeps what it
# is told; session, for clients that name a session over HTTP. Then it reads
# the findings of a finished run. Needs make build engine, python3, and Java 17 with Maven.
set -euo pipefail

cd "$(dirname "$0")/../.."
connect=1.12.0 driver=0.2.9
here=scripts/clients
for command in python3 java javac mvn curl; do
	command -v $command >/dev/null 2>&1 || { echo "clients: $command is not here" >&2; exit 1; }
done

venv=.tools/clients-python-$connect-$driver
if ! [ -e "$venv/ready" ]; then
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check "clickhouse-connect==$connect" "clickhouse-driver==$driver" pandas==2.3.3 numpy==2.3.4
	touch "$venv/ready"
fi
jdbc=.tools/clients-jdbc
if ! cmp -s $here/pom.xml "$jdbc/ready"; then
	rm -rf "$jdbc"
	mvn --quiet --batch-mode -f $here/pom.xml dependency:copy-dependencies "-DoutputDirectory=$PWD/$jdbc"
	cp $here/pom.xml "$jdbc/ready"
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

bin/overreach run --local "$dir/data" --mapping github --from decode/testdata/github.ndjson --log-level error --json >"$dir/findings.json"
bin/overreach clickhouse "$dir/data" --native 127.0.0.1:0 --http 127.0.0.1:0 >"$dir/served" &
served=$!
until grep -q 'user default' "$dir/served" 2>/dev/null; do
	kill -0 "$served" 2>/dev/null || { echo "clients: overreach clickhouse did not start" >&2; exit 1; }
	sleep 0.1
done
field() { sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p" "$dir/data/engine.json"; }
native=$(field native) http=$(field http) password=$(field password)
# As they are printed: what works here works for whoever copies them.
url=$(sed -n "s/^curl .*curl '\\([^?]*\\)?.*/\\1/p" "$dir/served")
jdbc_url=$(sed -n 's/^JDBC  *//p' "$dir/served")

with_curl() {
	while IFS=$'\t' read -r kind statement _; do
		[ "$kind" = all ] || continue
		answer=$(curl --silent --show-error "$url" --data-binary "$statement")
		case $answer in
		'Code: '*) answer=${answer#Code: } answer="error ${answer%%.*}" ;;
		*) answer=$(printf '%s' "$answer" | tr '\t\n' ',;') ;;
		esac
		printf '%s\t%s\n' "$statement" "$answer"
	done <$here/statements.tsv
}

failed=0
try() { # NAME KINDS COMMAND…: what the command prints, with what is expected
	local name=$1 kinds=$2
	shift 2
	"$@" >"$dir/answers" 2>"$dir/stderr" || { echo "$name failed:" >&2; cat "$dir/stderr" >&2; failed=1; }
	awk -F '\t' -v kinds=" $kinds " 'index(kinds, " " $1 " ") {print $2 "\t" $3}' $here/statements.tsv >"$dir/expected"
	if diff -u "$dir/expected" "$dir/answers" >"$dir/differences"; then
		echo "$name: $(wc -l <"$dir/expected") statements answered as expected"
	else
		echo "$name answered otherwise (- expected, + answered):" >&2
		grep '^[-+]' "$dir/differences" >&2
		failed=1
	fi
}
python() { "$venv/bin/python" $here/clients.py "$@" "$password" $here/statements.tsv; }
jdbc_version=$(sed -n 's#.*clickhouse-jdbc</artifactId><version>\([^<]*\).*#\1#p' $here/pom.xml)
go_version=$(go list -m -f '{{.Version}}' github.com/ClickHouse/clickhouse-go/v2)
try curl all with_curl
try "clickhouse-connect $connect" 'all binary session' python clickhouse-connect "${http%:*}" "${http#*:}"
try "clickhouse-driver $driver" 'all binary native' python clickhouse-driver "${native%:*}" "${native#*:}"
try "clickhouse-jdbc $jdbc_version" 'all binary' java -cp "$jdbc/*" $here/Clients.java "$jdbc_url" $here/statements.tsv
try "clickhouse-go $go_version" 'all binary native' go run ./$here "$native" "$password" $here/statements.tsv

"$venv/bin/python" $here/findings.py "$(sed -n "s/.*get_client(dsn='\\(.*\\)').*/\\1/p" "$dir/served")" "$dir/findings.json"
exit $failed
