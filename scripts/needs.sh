#!/bin/sh
# Checks that what the build needs is there, and names all that lacks at once.
set -eu

missing=
lacks() { missing="$missing
  $1"; }

[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || lacks "Linux on x86-64 (this is $(uname -s) $(uname -m)): the engine's library is built for it"
getconf GNU_LIBC_VERSION >/dev/null 2>&1 || lacks "glibc: the engine's library needs it"
for tool in git make npm; do
	command -v $tool >/dev/null 2>&1 || lacks "$tool"
done
if command -v go >/dev/null 2>&1; then
	version=$(go env GOVERSION | sed 's/^go//')
	oldest=$(printf '%s\n1.26\n' "$version" | sort -V | head -n 1)
	[ "$oldest" = 1.26 ] || lacks "Go 1.26 or newer (this is $version)"
else
	lacks "Go 1.26 or newer"
fi
[ -z "$missing" ] || {
	echo "needs: this machine lacks:$missing" >&2
	exit 1
}
