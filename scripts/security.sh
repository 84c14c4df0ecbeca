#!/bin/sh
# Searches for known vulnerabilities in what the program calls, and for secrets in the
# files and the history. The tools are those that scripts/security/go.mod pins.
#
# A vulnerability in a module fails. One in Go's standard library is of the Go on this
# machine, which the sources cannot mend: it is told, and fails with STRICT=1, as
# `make release` asks.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
pin=$root/scripts/security
tools=$root/.tools

fail() {
	echo "security: $1" >&2
	exit 1
}

# The stamp is the pin itself, as for Alertmanager.
if ! { [ -x "$tools/govulncheck" ] && [ -x "$tools/gitleaks" ] && cmp -s "$pin/go.sum" "$tools/security.sum"; }; then
	echo "security: building govulncheck and gitleaks into .tools/, once, in about a minute"
	mkdir -p "$tools"
	rm -f "$tools/security.sum"
	CGO_ENABLED=0 go -C "$pin" build -mod=mod -trimpath -ldflags '-s -w' -o "$tools/" golang.org/x/vuln/cmd/govulncheck &&
		CGO_ENABLED=0 go -C "$pin" build -mod=mod -trimpath -ldflags '-s -w' -o "$tools/gitleaks" github.com/zricethezav/gitleaks/v8 ||
		fail "go build failed, its words are above; check that Go reaches its module proxy, and try again"
	cp "$pin/go.sum" "$tools/security.sum"
fi

said=$(mktemp)
trap 'rm -f "$said"' EXIT

# scan runs govulncheck on a database. 0 and 3 are answers: none found, some found.
scan() {
	code=0
	"$tools/govulncheck" ${1:+-db "$1"} ./... >"$said" 2>&1 || code=$?
	[ $code = 0 ] || [ $code = 3 ]
}

checked=
if scan "${GOVULNDB:-}"; then
	checked="the database of today"
elif ! grep -q 'fetching vulnerabilities' "$said"; then
	cat "$said" >&2
	fail "govulncheck failed, its words are above"
else
	go -C "$pin" mod download golang.org/x/vulndb 2>/dev/null || true
	data=$(go -C "$pin" list -mod=mod -m -f '{{.Dir}}' golang.org/x/vulndb 2>/dev/null || true)
	version=$(sed -n 's|.*golang.org/x/vulndb v[0-9.]*-\([0-9]\{8\}\).*|\1|p' "$pin/go.mod")
	if [ -n "$data" ] && scan "file://$data/data/osv"; then
		checked="the database as of $version: Go's own cannot be reached, so WHAT IS NEWER WAS NOT LOOKED FOR"
	fi
fi

if [ -z "$checked" ]; then
	echo "security: !!! NOT CHECKED for known vulnerabilities: no database can be reached !!!" >&2
else
	# Only what is called stands under these words, each with where it was found.
	modules=$(grep -c '^  Module: ' "$said" || true)
	library=$(grep -c '^  Standard library' "$said" || true)
	if [ "$modules" != 0 ]; then
		cat "$said" >&2
		fail "$modules vulnerabilities in modules, above; take the versions that mend them"
	fi
	if [ "$library" != 0 ]; then
		mended=$(sed -n 's/^ *Fixed in: .*@go\([0-9.]*\)$/\1/p' "$said" | sort -V | tail -n 1)
		grep -A 1 '^Vulnerability #' "$said" | grep -v '^--' >&2
		echo "security: !!! $library known vulnerabilities in the standard library of $(go env GOVERSION): build what you give away with $mended or newer !!!" >&2
		[ -z "${STRICT:-}" ] || fail "STRICT: what is given away is not built with this Go"
	fi
	echo "security: no known vulnerability in the modules that are called, by $checked"
fi

# Redacted, so that a log does not spread what it warns of.
"$tools/gitleaks" git --no-banner --redact --verbose --log-level warn --config "$pin/gitleaks.toml" . ||
	fail "a secret in the history, above: take it back where it was given out, then out of the history"
"$tools/gitleaks" git --pre-commit --no-banner --redact --verbose --log-level warn --config "$pin/gitleaks.toml" . ||
	fail "a secret in what is not committed yet, above: take it out"
echo "security: no secret in the files and their history"
