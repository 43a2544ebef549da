#!/usr/bin/env bash
# Measures all that docs/performance.md tells, in one sitting: the machine's own limits, then each figure (three times, the
# limits measured beside it), then the limits again. On a PostgreSQL 15 of its own with Debian's settings, fsync on, and on SQLite.
# Each report is a line of target/bench/figures.jsonl, which a whole sitting begins anew (the last one's is kept beside it); the table and
# the plots of docs/performance.md are made from it. A measurement that fails is told, and the others are made all the same.
# Usage: scripts/bench.sh [NAME…]     (only these, added to the last sitting's; names as in the calls below)
# BENCH_SCALE=0.01 makes all counts a hundredth and BENCH_SECONDS=1 all limits and waits short, to try the script; BERTH=PATH
# measures another binary; BENCH_TIMES=1 measures once; BENCH_PLOTS=docs/plots draws the plots there. BENCH_TIMES=1 BENCH_SCALE=0.3 is
# meant to take half an hour at most.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=/usr/lib/postgresql/15/bin
[ -x "$bin/initdb" ] || { echo "berth: PostgreSQL 15 is missing; scripts/tools.sh postgres installs it" >&2; exit 1; }
if [ -z "${BERTH:-}" ]; then
  cargo build --quiet --release --package berth
  BERTH=target/release/berth
fi
wanted=" $* "
scale=${BENCH_SCALE:-1} times=${BENCH_TIMES:-3} seconds=${BENCH_SECONDS:-5}
out=target/bench plots=${BENCH_PLOTS:-target/bench}
mkdir -p "$out"
[ $# -gt 0 ] || [ ! -e "$out/figures.jsonl" ] || mv "$out/figures.jsonl" "$out/figures.last.jsonl"
touch "$out/figures.jsonl"
failed=()

folder=$(mktemp -d /tmp/berth-bench.XXXXXX)
chmod 0755 "$folder"
as=()
if [ "$(id -u)" = 0 ]; then # initdb refuses root
  chown nobody "$folder"
  as=(setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME="$folder")
fi
finish() {
  (cd "$folder" && "${as[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1) || true
  rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
(
  cd "$folder"
  "${as[@]}" "$bin/initdb" -D data -U berth -A trust -E UTF8 --locale=C.UTF-8 >initdb.log 2>&1 || { cat initdb.log >&2; exit 1; }
  # As it comes, but for the socket's place, room for the workers' connections, and a count of statements for `idle`.
  "${as[@]}" "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w -t 60 start \
    -o "-c listen_addresses='' -k '$folder' -c max_connections=300 -c shared_preload_libraries=pg_stat_statements" >start.log 2>&1 ||
    { cat start.log log >&2; exit 1; }
)
url="postgres://berth@localhost/postgres?host=$folder"

# A count, scaled, at least 1.
n() { awk -v n="$1" -v s="$scale" 'BEGIN { x = int(n * s); print (x < 1 ? 1 : x) }'; }

wants() { [[ $wanted == "  " || $wanted == *" $1 "* ]]; }

# keep NAME COMMAND…: what the command reports as a line under this name, with the time that it took.
keep() {
  local name=$1 began=$SECONDS
  shift
  if "$@" >"$folder/report" && python3 scripts/bench/figures.py add "$name" "$folder/report" "$out/figures.jsonl" $((SECONDS - began)); then
    echo "berth: $name took $((SECONDS - began)) s" >&2
  else
    echo "berth: $name FAILED after $((SECONDS - began)) s; the reason is above" >&2
    failed+=("$name")
  fi
}

# measure NAME ARGUMENT…: the report of `berth bench` with these arguments.
measure() {
  local name=$1 i
  shift
  wants "$name" || return 0
  for i in $(seq "$times"); do
    echo "berth: $name ($i of $times)" >&2
    keep "$name" timeout 3600 "$BERTH" bench "$@" --output json
  done
}
on_postgres() { measure "$@" --database-url "$url"; }

# The same limits by pgbench, where it is installed: what `berth bench limits` is to be compared with.
by_pgbench() {
  wants pgbench || return 0
  [ -x "$bin/pgbench" ] || return 0
  keep pgbench scripts/bench/pgbench.sh "$bin" "$folder" "$seconds"
}

limits=(--limits --limit-seconds "$seconds")

by_pgbench
on_postgres limits-postgres limits --limit-seconds "$seconds" --limit-rows "$(n 1000000)"
measure limits-sqlite limits --limit-seconds "$seconds"

on_postgres saga-closed-postgres saga --runs "$(n 20000)" --in-flight 64 "${limits[@]}"
measure saga-closed-sqlite saga --runs "$(n 20000)" --in-flight 64 "${limits[@]}"
on_postgres saga-burst-postgres saga --runs "$(n 20000)" --burst "${limits[@]}"
measure saga-burst-sqlite saga --runs "$(n 20000)" --burst "${limits[@]}"
on_postgres saga-single-postgres saga --runs "$(n 2000)" --in-flight 1 "${limits[@]}"
measure saga-single-sqlite saga --runs "$(n 2000)" --in-flight 1 "${limits[@]}"
on_postgres saga-real-postgres saga --real --runs "$(n 5000)" --in-flight 64
measure saga-real-sqlite saga --real --runs "$(n 5000)" --in-flight 64
for workers in 1 2 4 8; do
  on_postgres "saga-workers-$workers" saga --runs "$(n 20000)" --burst --in-flight 64 --workers "$workers" --apart
done
for runs in 1000 10000 50000 100000; do
  on_postgres "saga-runs-$runs" saga --runs "$(n "$runs")" --burst
done

on_postgres accept-one accept --clients 1 --accounts 1 --requests "$(n 5000)" "${limits[@]}"
on_postgres accept-many accept --clients 64 --accounts "$(n 1000)" --requests "$(n 20000)" "${limits[@]}"
on_postgres accept-one-account accept --clients 64 --accounts 1 --requests "$(n 20000)" "${limits[@]}"
measure accept-sqlite accept --clients 64 --accounts "$(n 1000)" --requests "$(n 20000)" "${limits[@]}"
on_postgres get-postgres get --clients 64 --workspaces "$(n 1000)" --requests "$(n 50000)" "${limits[@]}"
measure get-sqlite get --clients 64 --workspaces "$(n 1000)" --requests "$(n 50000)" "${limits[@]}"
on_postgres list-postgres list --clients 64 --workspaces "$(n 1000)" --requests "$(n 5000)" "${limits[@]}"
on_postgres audit-postgres audit --clients 64 --entries "$(n 100000)" --requests "$(n 10000)" "${limits[@]}"
for rows in 10000 100000 1000000; do
  on_postgres "export-$rows" export --rows "$(n "$rows")" "${limits[@]}" --limit-rows "$(n 1000000)"
done
measure export-sqlite export --rows "$(n 1000000)"

for finished in 10000 100000 1000000 10000000; do
  times=1 on_postgres "claim-$finished" claim --finished "$(n "$finished")" --claims "$(n 500)"
done
on_postgres idle idle --workers 8
measure start-sqlite start --times "$(n 100)"
on_postgres start-postgres start --times "$(n 100)"
measure memory-idle memory --idle-for "$seconds"
measure memory-waiting memory --waiting "$(n 100000)" --idle-for "$seconds"
on_postgres takeover takeover --runs "$(n 1000)" --times "$(n 10)"
measure freeze-sqlite freeze --times "$(n 500)"
on_postgres freeze-postgres freeze --times "$(n 500)"

on_postgres limits-postgres limits --limit-seconds "$seconds" --limit-rows "$(n 1000000)"
by_pgbench
python3 scripts/bench/figures.py table "$out/figures.jsonl"
python3 scripts/bench/figures.py plots "$out/figures.jsonl" "$plots"
if [ ${#failed[@]} -gt 0 ]; then
  echo "berth: not measured: ${failed[*]}" >&2
  exit 1
fi
