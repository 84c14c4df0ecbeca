#!/bin/sh
# Checks what deploy/ holds: Prometheus' rules by promtool, which scripts/prometheus pins,
# the Kubernetes manifests by Kubernetes' own types, the unit by systemd-analyze, where
# that is there.
set -eu

cd "$(dirname "$0")/.."
tools=$PWD/.tools

fail() {
	echo "deploy: $1" >&2
	exit 1
}

scripts/build-promtool.sh
"$tools/promtool" check rules --lint=all --lint-fatal deploy/prometheus/overreach.rules.yml
(cd deploy/prometheus && "$tools/promtool" test rules overreach.test.yml)

go -C scripts/kubernetes run . "$PWD"/deploy/kubernetes/*.yaml

if command -v systemd-analyze >/dev/null 2>&1; then
	unit=$(mktemp -d)
	trap 'rm -rf "$unit"' EXIT
	# verify wants the program to be there; which one does not matter.
	sed "s|/usr/local/bin/overreach|$(command -v true)|" deploy/systemd/overreach.service >"$unit/overreach.service"
	said=$(systemd-analyze verify "$unit/overreach.service" 2>&1) && [ -z "$said" ] || fail "systemd-analyze verify: $said"
	systemd-analyze security --offline=true --threshold=20 --no-pager "$unit/overreach.service" | tail -n 1
else
	echo "deploy: the systemd unit was NOT checked: systemd-analyze is not here"
fi
