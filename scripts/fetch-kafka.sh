#!/bin/sh
# Fetches the jars of an Apache Kafka broker (55 MB), for tests, into .kafka/ of
# the checkout, once: versions are pinned by scripts/kafka/pom.xml, the contents
# by scripts/kafka/jars.sha256, and a second call returns at once. After a change
# of the POM, `scripts/fetch-kafka.sh --pin` writes the sums anew: read the diff.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
pin=$root/scripts/kafka
kafka=$root/.kafka

fail() {
	echo "fetch-kafka: $1" >&2
	exit 1
}

version=$(sed -n 's/.*kafka_2\.13-\([0-9.]*\)\.jar$/\1/p' "$pin/jars.sha256")

# The stamp is the list of sums itself: another pin, or a fetch that broke off, is fetched anew.
if [ "${1:-}" != --pin ] && cmp -s "$pin/jars.sha256" "$kafka/fetched.sha256"; then
	echo "kafka: Apache Kafka $version is in .kafka/ already"
	exit 0
fi

java=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
[ "${java:-0}" -ge 17 ] ||
	fail "java 17 or later is missing, which runs the broker; install it (Debian, Ubuntu: apt-get install openjdk-17-jre-headless)"
command -v mvn >/dev/null 2>&1 ||
	fail "mvn is missing, which fetches the broker's jars; install it (Debian, Ubuntu: apt-get install maven), or name brokers in OVERREACH_TEST_KAFKA"

echo "kafka: fetching Apache Kafka (55 MB, once) into .kafka/"
mkdir -p "$kafka"
echo '*' >"$kafka/.gitignore"
rm -rf "$kafka/fetched.sha256" "$kafka/libs"
mvn -B -q -f "$pin/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$kafka/libs" ||
	fail "mvn failed, its words are above; check the network, and that it reaches Maven Central, and try again"

cd "$kafka/libs"
if [ "${1:-}" = --pin ]; then
	LC_ALL=C sha256sum ./*.jar | sed 's|\./||' >"$pin/jars.sha256"
fi
sha256sum --quiet -c "$pin/jars.sha256" >&2 ||
	fail "the jars are not those of scripts/kafka/jars.sha256"
[ "$(ls | wc -l)" -eq "$(wc -l <"$pin/jars.sha256")" ] ||
	fail "there are jars that scripts/kafka/jars.sha256 does not name: compare it with .kafka/libs"
cp "$pin/jars.sha256" "$kafka/fetched.sha256"
