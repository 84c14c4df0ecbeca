#!/bin/sh
# Checks that what the build needs is there, and names all that lacks at once.
set -eu

missing=
lacks() { missing="$missing
  $1"; }

platform=$("$(dirname "$0")/platform.sh" 2>&1) || lacks "$platform"
for tool in git make npm; do
	command -v $tool >/dev/null 2>&1 || lacks "$tool"
done
if command -v go >/dev/null 2>&1; then
	version=$(go env GOVERSION | sed 's/^go//')
	minor=$(echo "$version" | sed 's/^1\.\([0-9]*\).*/\1/')
	[ "$minor" -ge 26 ] 2>/dev/null || lacks "Go 1.26 or newer (this is $version)"
else
	lacks "Go 1.26 or newer"
fi
[ -z "$missing" ] || {
	echo "needs: this machine lacks:$missing" >&2
	exit 1
}
