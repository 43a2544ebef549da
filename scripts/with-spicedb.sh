#!/usr/bin/env bash
# Runs a command with a SpiceDB of its own on a Unix socket in a private folder, named to the command by
# BERTH_TEST_SPICEDB_ENDPOINT and stopped at the end whatever happens. Each key that a client gives has an empty store in
# memory of its own, so that tests do not meet.
# Usage: scripts/with-spicedb.sh COMMAND [ARGUMENT…]
set -euo pipefail

spicedb=$(cd "$(dirname "$0")/.." && pwd)/target/tools/spicedb-1.56.1/spicedb
[ -x "$spicedb" ] || { echo "berth: SpiceDB is missing; scripts/tools.sh spicedb installs it" >&2; exit 1; }

folder=$(mktemp -d /tmp/berth-spicedb.XXXXXX)
finish() {
  kill -9 "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true # so that the shell does not tell of it
  rm -rf "$folder"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

"$spicedb" serve-testing --grpc-network unix --grpc-addr "$folder/socket" --readonly-grpc-enabled=false --skip-release-check \
  --log-level warn --log-format json </dev/null >"$folder/log" 2>&1 &
pid=$!
for _ in $(seq 600); do
  [ -S "$folder/socket" ] && break
  kill -0 "$pid" 2>/dev/null || break
  sleep 0.1
done
[ -S "$folder/socket" ] || { cat "$folder/log" >&2; exit 1; }

export BERTH_TEST_SPICEDB_ENDPOINT="unix:$folder/socket"
"$@"
