#!/bin/sh
# Checks what deploy/ holds: Prometheus' rules by promtool, which scripts/prometheus pins,
# the Kubernetes manifests by Kubernetes' own types, the unit by systemd-analyze, where
# that is there.
set -eu

cd "$(dirname "$0")/.."
pin=$PWD/scripts/prometheus
tools=$PWD/.tools

fail() {
	echo "deploy: $1" >&2
	exit 1
}

# The stamp is the pin itself. Without service discovery promtool is half as large.
if ! { [ -x "$tools/promtool" ] && cmp -s "$pin/go.sum" "$tools/promtool.sum"; }; then
	echo "deploy: building promtool into .tools/, once, in some minutes"
	mkdir -p "$tools"
	rm -f "$tools/promtool.sum"
	CGO_ENABLED=0 go -C "$pin" build -tags remove_all_sd -trimpath -ldflags '-s -w' -o "$tools/promtool" github.com/prometheus/prometheus/cmd/promtool ||
		fail "go build failed, its words are above; check that Go reaches its module proxy, and try again"
	cp "$pin/go.sum" "$tools/promtool.sum"
fi
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
