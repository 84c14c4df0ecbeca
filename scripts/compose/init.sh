#!/bin/sh
# Makes own/, which docker-compose.yml mounts: configuration, registry, Alertmanager's
# routes, and secrets. What is there already is never touched: under another hash key the
# same person would count as two, and ClickHouse would refuse another password.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
from=$root/scripts/compose
own=${1:-$root/own}

# The containers' users are not you, so what they read must be readable to others.
# The secrets lie in a folder that only you can enter; Compose mounts each file alone.
umask 022
mkdir -p "$own/overreach" "$own/alertmanager"
mkdir -p -m 700 "$own/secrets"
echo '*' >"$own/.gitignore"

copy() { # FILE TO
	if [ -e "$own/$2" ]; then
		echo "kept  $own/$2"
	else
		cp "$from/$1" "$own/$2"
		echo "made  $own/$2"
	fi
}

secret() { # NAME: 128 random bits, hexadecimal
	if [ -s "$own/secrets/$1" ]; then
		echo "kept  $own/secrets/$1"
	else
		key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
		[ "${#key}" = 32 ] || { echo "init: /dev/urandom gave no 16 bytes" >&2; exit 1; }
		echo "$key" >"$own/secrets/$1"
		echo "made  $own/secrets/$1"
	fi
}

copy config.yaml overreach/config.yaml
copy registry.yaml overreach/registry.yaml
copy alertmanager.yml alertmanager/alertmanager.yml
secret hash_key
secret clickhouse_overreach
secret clickhouse_reader
secret grafana_admin
