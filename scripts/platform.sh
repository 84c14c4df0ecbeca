#!/bin/sh
# Prints the platform for which the engine's library is fetched, as npm's packages name it.
set -eu

case "$(uname -s) $(uname -m)" in
"Linux x86_64") platform=linux-x64-gnu ;;
"Linux aarch64") platform=linux-arm64-gnu ;;
"Darwin x86_64") platform=darwin-x64 ;;
"Darwin arm64") platform=darwin-arm64 ;;
*)
	echo "platform: the engine's library is built for Linux and macOS on x86-64 and arm64, this is $(uname -s) $(uname -m); use a ClickHouse server of your own instead" >&2
	exit 1
	;;
esac
case $platform in
*-gnu) getconf GNU_LIBC_VERSION >/dev/null 2>&1 || {
	echo "platform: the engine's library needs glibc, which this Linux lacks; use a ClickHouse server of your own instead" >&2
	exit 1
} ;;
esac
echo $platform
