#!/usr/bin/env bash
# Runs the tests on an Apache Kafka once more, by testcontainers-go: Kafka, and
# overreach's own image, in containers.
#
# Where a Docker engine answers and pulls the official images of Kafka and
# ClickHouse, it is those. Where none answers, root installs Debian's docker.io
# and a dockerd runs for as long as this does, under .tools/containers; where no
# image can be pulled, Kafka's is made of Debian's base (debootstrap) with a JRE
# and the jars of .kafka/, and ClickHouse is the engine.
#
# usage: test-containers.sh [go test's flags]
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$PWD/.tools/containers
kafka_official=apache/kafka:$(sed -n 's/.*kafka_2\.13-\([0-9.]*\)\.jar$/\1/p' scripts/kafka/jars.sha256)
clickhouse_official=$(sed -n 's/.*image: \(clickhouse\/clickhouse-server:.*\)/\1/p' docker-compose.yml | head -n 1)
kafka_made=overreach-test/kafka:$(cat scripts/kafka/jars.sha256 "$0" | sha256sum | cut -c1-12)
overreach_made=overreach-test/overreach:latest

fail() {
	echo "test-containers: $1" >&2
	exit 1
}

# need installs a command's package where it is missing.
need() {
	! command -v "$1" >/dev/null || return 0
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		fail "$1 is missing, and only root on Debian or Ubuntu could install it here: start a Docker engine, or run this as root"
	fi
	echo "containers: installing $2"
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$2"; } >"$folder/apt.log" 2>&1 ||
		fail "apt-get failed, its words are in $folder/apt.log"
}

start_engine() {
	need dockerd docker.io
	need docker docker.io
	short=$(mktemp -d) # for the socket: its path may have a hundred characters
	trap stop_engine EXIT
	export DOCKER_HOST=unix://$short/docker.sock
	# No bridge, no rules: what runs here is on the host's own network.
	dockerd --data-root "$folder/docker" --exec-root "$short/exec" --pidfile "$short/pid" --host "$DOCKER_HOST" \
		--bridge none --iptables=false --ip-forward=false >"$folder/dockerd.log" 2>&1 &
	engine=$!
	for _ in $(seq 300); do
		docker version >/dev/null 2>&1 && return
		kill -0 "$engine" 2>/dev/null || break
		sleep 0.2
	done
	fail "dockerd does not answer, its words are in $folder/dockerd.log"
}

stop_engine() {
	docker ps -aq --filter label=org.testcontainers | xargs -r docker rm -f >/dev/null 2>&1 || true
	docker network rm reaper_default >/dev/null 2>&1 || true # testcontainers-go's, and with it the bridge
	kill "$engine" 2>/dev/null || true
	wait "$engine" 2>/dev/null || true
	umount "$short/exec/netns/default" 2>/dev/null || true # dockerd leaves it
	rm -rf "$short"
}

pull() { docker image inspect "$1" >/dev/null 2>&1 || timeout 300 docker pull -q "$1" >/dev/null 2>&1; }

make_kafka() {
	docker image inspect "$kafka_made" >/dev/null 2>&1 && return
	[ "$(id -u)" = 0 ] || fail "$kafka_official cannot be pulled, and only root can make another"
	need debootstrap debootstrap
	scripts/fetch-kafka.sh
	local base
	base=$(mktemp -d "$folder/base.XXXX")
	echo "containers: making $kafka_made of Debian's base, a JRE and .kafka/"
	# shellcheck disable=SC1091
	debootstrap --variant=minbase --include=openjdk-17-jre-headless "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$base" >"$folder/debootstrap.log" 2>&1 ||
		fail "debootstrap failed, its words are in $folder/debootstrap.log"
	mkdir -p "$base/opt/kafka"
	cp -r .kafka/libs "$base/opt/kafka/libs"
	tar -C "$base" --exclude=./var/cache/apt --exclude=./var/lib/apt/lists --exclude=./usr/share/doc -c . | docker import - "$kafka_made" >/dev/null
	rm -rf "$base"
}

# The last stage of ./Dockerfile, as it is, with what its first stage would give it.
make_overreach() {
	local context
	context=$(mktemp -d "$folder/context.XXXX")
	mkdir -p "$context/etc/ssl/certs" "$context$(dirname "$zones")"
	cp /etc/ssl/certs/ca-certificates.crt "$context/etc/ssl/certs/"
	cp "$(go env GOROOT)/lib/time/zoneinfo.zip" "$context$zones"
	cp bin/overreach "$context/overreach"
	sed -n '/^FROM scratch/,$p' Dockerfile | sed 's/^COPY --from=build /COPY /' >"$context/Dockerfile"
	DOCKER_BUILDKIT=0 docker build -q -t "$overreach_made" "$context" >/dev/null 2>"$folder/build.log" ||
		fail "docker build failed, its words are in $folder/build.log"
	rm -rf "$context"
}
zones=/usr/local/go/lib/time/zoneinfo.zip # where ./Dockerfile copies it from

mkdir -p "$folder"
began=$SECONDS
if ! command -v docker >/dev/null || ! docker version >/dev/null 2>&1; then
	start_engine
fi
if pull "$kafka_official"; then
	export OVERREACH_TEST_KAFKA_IMAGE=$kafka_official
else
	make_kafka
	export OVERREACH_TEST_KAFKA_IMAGE=$kafka_made
	export TESTCONTAINERS_RYUK_DISABLED=true # its image cannot be pulled either
fi
if pull "$clickhouse_official"; then
	export OVERREACH_TEST_CLICKHOUSE_IMAGE=$clickhouse_official
fi
make_overreach
export OVERREACH_TEST_IMAGE=$overreach_made
echo "containers: Kafka of $OVERREACH_TEST_KAFKA_IMAGE, ClickHouse of ${OVERREACH_TEST_CLICKHOUSE_IMAGE:-the engine}, after $((SECONDS - began)) s"

unset OVERREACH_TEST_KAFKA # brokers that are named would be taken first
go test -count=1 -timeout 20m -run 'Apache|Image' "$@" ./consumer ./cmd/overreach
go test -count=1 -timeout 20m "$@" ./embedded/kafkatest
echo "tests in containers passed, after $((SECONDS - began)) s"
