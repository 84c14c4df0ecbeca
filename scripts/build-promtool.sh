#!/bin/sh
# Builds promtool into .tools/, from the module that scripts/prometheus/go.mod pins:
# it evaluates the alert rules of deploy/prometheus in tests and in make deploy. A
# second call returns at once.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
pin=$root/scripts/prometheus
tools=$root/.tools

# The stamp is the pin itself: another one, or a build that broke off, is built anew.
if [ -x "$tools/promtool" ] && cmp -s "$pin/go.sum" "$tools/promtool.sum"; then
	echo "build-promtool: promtool is in .tools/ already"
	exit 0
fi

echo "build-promtool: building promtool into .tools/, once, in two or three minutes"
mkdir -p "$tools"
rm -f "$tools/promtool.sum"
# Without service discovery it is half as large.
if ! CGO_ENABLED=0 go -C "$pin" build -tags remove_all_sd -trimpath -ldflags '-s -w' -o "$tools/promtool" github.com/prometheus/prometheus/cmd/promtool; then
	echo "build-promtool: go build failed, its words are above; check that Go reaches its module proxy, and try again" >&2
	exit 1
fi
cp "$pin/go.sum" "$tools/promtool.sum"
