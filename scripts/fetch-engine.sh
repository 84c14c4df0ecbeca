#!/bin/sh
# Fetches the ClickHouse engine's library (559 MB unpacked) into .engine/ of
# the checkout, once: version and SHA-512 are pinned by
# scripts/engine/package-lock.json, and a second call returns at once.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
pin=$root/scripts/engine
engine=$root/.engine

fail() {
	echo "fetch-engine: $1" >&2
	exit 1
}

version=$(sed -n 's/.*"@chdb\/lib-linux-x64-gnu": "\([0-9.]*\)".*/\1/p' "$pin/package.json")
[ -n "$version" ] || fail "no version of @chdb/lib-linux-x64-gnu in scripts/engine/package.json"

# The stamp is the lock itself: another pin, or a fetch that broke off, is fetched anew.
if [ -e "$engine/libchdb.so" ] && cmp -s "$pin/package-lock.json" "$engine/fetched-lock.json"; then
	echo "engine: libchdb.so $version is in .engine/ already"
	exit 0
fi

system="$(uname -s) $(uname -m)"
[ "$system" = "Linux x86_64" ] ||
	fail "the engine's library is built for Linux x86_64, this is $system; use a ClickHouse server of your own instead"
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null || true)
[ -n "$libc" ] ||
	fail "the engine's library needs glibc, which this system lacks; use a ClickHouse server of your own instead"
command -v npm >/dev/null 2>&1 ||
	fail "npm is missing, which fetches the engine's library; install it (Debian, Ubuntu: apt-get install npm)"

echo "engine: fetching libchdb.so $version (166 MB, once) into .engine/"
mkdir -p "$engine"
echo '*' >"$engine/.gitignore"
rm -f "$engine/fetched-lock.json" "$engine/libchdb.so"
cp "$pin/package.json" "$pin/package-lock.json" "$pin/.npmrc" "$engine/"
(cd "$engine" && npm ci --loglevel=error >/dev/null) ||
	fail "npm ci failed, its words are above; check the network, and that it reaches npm's registry, and try again"

library=node_modules/@chdb/lib-linux-x64-gnu/libchdb.so
[ -e "$engine/$library" ] || fail "the package holds no libchdb.so where it was expected (.engine/$library)"
ln -s "$library" "$engine/libchdb.so"
cp "$pin/package-lock.json" "$engine/fetched-lock.json"
