#!/bin/sh
# Fetches the ClickHouse engine's library (559 MB unpacked) into .engine/ of the checkout,
# once; a second call returns at once. scripts/engine/package-lock.json pins its version,
# and its SHA-512 for each platform on which Overreach was run.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
pin=$root/scripts/engine
engine=$root/.engine

fail() {
	echo "fetch-engine: $1" >&2
	exit 1
}

package=@chdb/lib-$("$root/scripts/platform.sh") || exit 1
version=$(sed -n "s|.*\"$package\": \"\([0-9.]*\)\".*|\1|p" "$pin/package.json")
[ -n "$version" ] || fail "no version of $package in scripts/engine/package.json"

# The stamp is the lock itself: another pin, or a fetch that broke off, is fetched anew.
if [ -e "$engine/libchdb.so" ] && cmp -s "$pin/package-lock.json" "$engine/fetched-lock.json"; then
	echo "engine: libchdb.so $version is in .engine/ already"
	exit 0
fi

command -v npm >/dev/null 2>&1 ||
	fail "npm is missing, which fetches the engine's library; install it (Debian, Ubuntu: apt-get install npm; macOS: brew install node)"

echo "engine: fetching libchdb.so $version (166 MB, once) into .engine/"
mkdir -p "$engine"
echo '*' >"$engine/.gitignore"
rm -f "$engine/fetched-lock.json" "$engine/libchdb.so"
cp "$pin/package.json" "$pin/package-lock.json" "$pin/.npmrc" "$engine/"
(cd "$engine" && npm ci --loglevel=error >/dev/null) ||
	fail "npm ci failed, its words are above; check the network, and that it reaches npm's registry, and try again"

# npm leaves out an optional package without a word, and each platform's is optional.
library=node_modules/$package/libchdb.so
[ -e "$engine/$library" ] ||
	fail "npm left out $package $version: its registry lacks it, or holds another hash than scripts/engine/package-lock.json pins (\`cd .engine && npm ci --loglevel=verbose\` says which); use a ClickHouse server of your own instead"
if ! sed -n "\|\"node_modules/$package\"|,/}/p" "$pin/package-lock.json" | grep -q '"integrity"'; then
	echo "engine: nobody has run Overreach on this platform yet, so no hash of its library is pinned: npm held it against the hash" >&2
	echo "engine: that its registry names, no more. To pin it, add \"integrity\" to $package in scripts/engine/package-lock.json:" >&2
	(cd "$engine" && npm view "$package@$version" dist.integrity) >&2 || true
fi
ln -s "$library" "$engine/libchdb.so"
cp "$pin/package-lock.json" "$engine/fetched-lock.json"
