#!/bin/sh
# Builds what is given away into dist/: static binaries, and SHA256SUMS. Everything is built
# twice, the second time from a copy in another folder with an empty build cache, and must
# come out the same.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo unknown)}

fail() {
	echo "release: $1" >&2
	exit 1
}

# A release is a tag, v1.2.3 or v1.2.3-rc.1, and the changelog begins with it.
head=$(sed -n 's/^## \([^ ]*\).*/\1/p' CHANGELOG.md | head -n 1)
case $version in
*-dirty) fail "the files differ from the commit: commit them first, so that others can build the same" ;;
v[0-9]*.[0-9]*.[0-9]*-[0-9]*-g*) release= ;; # commits after a tag
v[0-9]*.[0-9]*.[0-9]*) release=yes ;;
*) release= ;;
esac
if [ -n "$release" ]; then
	[ "$head" = "${version#v}" ] || fail "CHANGELOG.md begins with \"## $head\", expected \"## ${version#v}\": it must say what is in $version"
	STRICT=1 scripts/security.sh || fail "see above"
else
	[ "$head" = Unreleased ] || fail "CHANGELOG.md begins with \"## $head\", but $version is no release: expected \"## Unreleased\""
	echo "release: $version is no tag as v1.2.3: a trial"
fi

# build writes every binary of the sources in $1 into $2.
build() {
	for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do
		os=${target%/*} arch=${target#*/}
		for program in overreach overreach-engine; do
			(cd "$1" && CGO_ENABLED=0 GOOS=$os GOARCH=$arch GOAMD64=v1 GOARM64=v8.0 GOFLAGS=-mod=readonly go build \
				-trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$version" \
				-o "$2/${program}_${version}_${os}_$arch" "./cmd/$program") || fail "$program does not build for $target"
		done
	done
}

rm -rf dist
mkdir dist
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT
build "$root" "$root/dist"
mkdir "$again/sources" "$again/dist"
git archive HEAD | tar -x -C "$again/sources"
(export GOCACHE="$again/cache" && build "$again/sources" "$again/dist")

sums() { (cd "$1" && LC_ALL=C sha256sum overreach*); }
sums dist >dist/SHA256SUMS
sums "$again/dist" >"$again/SHA256SUMS"
cmp -s dist/SHA256SUMS "$again/SHA256SUMS" || {
	diff dist/SHA256SUMS "$again/SHA256SUMS" >&2 || true
	fail "the second build is another one, above"
}
if ldd "dist/overreach_${version}_linux_amd64" >/dev/null 2>&1; then
	fail "dist/overreach_${version}_linux_amd64 is not static"
fi
cat dist/SHA256SUMS
echo "release: dist/ holds $version, built twice and the same, by $(go env GOVERSION)"
