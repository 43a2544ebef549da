#!/usr/bin/env bash
# Runs a command with a PostgreSQL of its own: a fresh cluster on a Unix socket in a private folder, named to the
# command by BERTH_TEST_POSTGRES_URL, stopped and removed at the end whatever happens. For tests of logic only: fsync is off.
# The server is PostgreSQL 15, or the one whose binaries are in BERTH_TEST_POSTGRES_BIN.
# Usage: scripts/with-postgres.sh COMMAND [ARGUMENT…]
set -euo pipefail

bin=${BERTH_TEST_POSTGRES_BIN:-/usr/lib/postgresql/15/bin}
[ -x "$bin/initdb" ] || { echo "berth: PostgreSQL is missing in $bin; scripts/tools.sh postgres installs it" >&2; exit 1; }

folder=$(mktemp -d /tmp/berth-postgres.XXXXXX)
chmod 0755 "$folder"
run=()
if [ "$(id -u)" = 0 ]; then # initdb refuses root
  chown nobody "$folder"
  run=(setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME="$folder")
fi

finish() {
  "${run[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

cd "$folder"
"${run[@]}" "$bin/initdb" -D "$folder/data" -U berth -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$folder/initdb.log" 2>&1 ||
  { cat "$folder/initdb.log" >&2; exit 1; }
"${run[@]}" "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w -t 60 start -o \
  "-c listen_addresses='' -k $folder -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=300 -c timezone=UTC" \
  >"$folder/start.log" 2>&1 || { cat "$folder/start.log" "$folder/log" >&2; exit 1; }
cd "$OLDPWD"

export BERTH_TEST_POSTGRES_URL="postgres://berth@localhost/postgres?host=$folder"
"$@"
