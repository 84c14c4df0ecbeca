#!/bin/sh
# Builds Alertmanager and its amtool into .tools/, from the module that
# scripts/alertmanager/go.mod pins: the tests of notify/ run against them. A
# second call returns at once.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
pin=$root/scripts/alertmanager
tools=$root/.tools

fail() {
	echo "build-alertmanager: $1" >&2
	exit 1
}

version=$(sed -n "s|^.*github.com/prometheus/alertmanager v\([0-9.]*\).*|\1|p" "$pin/go.mod")
[ -n "$version" ] || fail "scripts/alertmanager/go.mod requires no version of github.com/prometheus/alertmanager"

# The stamp is the pin itself: another one, or a build that broke off, is built anew.
if [ -x "$tools/alertmanager" ] && [ -x "$tools/amtool" ] && cmp -s "$pin/go.sum" "$tools/alertmanager.sum"; then
	echo "build-alertmanager: alertmanager $version is in .tools/ already"
	exit 0
fi

echo "build-alertmanager: building alertmanager $version into .tools/, once, in a minute or two"
mkdir -p "$tools"
rm -f "$tools/alertmanager.sum"
module=github.com/prometheus/alertmanager
for command in alertmanager amtool; do
	CGO_ENABLED=0 go -C "$pin" build -trimpath -ldflags "-s -w -X github.com/prometheus/common/version.Version=$version" \
		-o "$tools/$command" "$module/cmd/$command" ||
		fail "go build failed, its words are above; check that Go reaches its module proxy, and try again"
done
cp "$pin/go.sum" "$tools/alertmanager.sum"
