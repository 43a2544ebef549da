#!/usr/bin/env bash
# The machine's limits by pgbench, as one JSON object: the statements that `berth bench limits` sends from a process of its own.
# Usage: scripts/bench/pgbench.sh BIN SOCKET-FOLDER [SECONDS]
set -euo pipefail

bin=$1 seconds=${3:-10}
export PGHOST=$2 PGUSER=berth PGDATABASE=berth_limits
work=$(mktemp -d)
finish() {
  PGDATABASE=postgres "$bin/psql" -qc "drop database if exists berth_limits with (force)" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT
cd "$work"

PGDATABASE=postgres "$bin/psql" -qc "create database berth_limits"
"$bin/psql" -q -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
create table lim_run (id bigint primary key, step int not null default 0, state text not null default 'running',
  updated_at timestamptz not null default now()) with (fillfactor = 70);
insert into lim_run (id) select g from generate_series(1, 10000) g;
create table lim_log (id bigserial primary key, run_id bigint not null, step int not null, result jsonb not null, at timestamptz not null default now());
create index on lim_log (run_id, step);
vacuum analyze lim_run;
SQL

cat >step.sql <<'SQL'
\set id random(1, 10000)
with u as (update lim_run set step = step + 1, updated_at = now() where id = :id and state = 'running' returning id, step) insert into lim_log(run_id, step, result) select id, step, '{"ok": true}' from u;
SQL
cat >batch.sql <<'SQL'
\set lo random(1, 9950)
with u as (update lim_run set step = step + 1, updated_at = now() where id >= :lo and id < :lo + 50 and state = 'running' returning id, step) insert into lim_log(run_id, step, result) select id, step, '{"ok": true}' from u;
SQL
cat >update.sql <<'SQL'
\set id random(1, 10000)
update lim_run set step = step + 1, updated_at = now() where id = :id;
SQL
cat >select.sql <<'SQL'
\set id random(1, 10000)
select id, step, state from lim_run where id = :id;
SQL

# script, clients: transactions a second, and the median of their latencies in ms.
run() {
  local threads=1
  [ "$2" -gt 1 ] && threads=2
  rm -f pgbench_log.*
  local rate
  rate=$("$bin/pgbench" -n -M prepared -f "$1.sql" -c "$2" -j "$threads" -T "$seconds" -l 2>/dev/null | sed -n 's/^tps = \([0-9.]*\).*/\1/p')
  cat pgbench_log.* | awk '{ print $3 }' | sort -n | awk -v rate="$rate" '{ a[NR] = $1 } END { printf "%s %.3f\n", rate, a[int(NR * .5) + 1] / 1000 }'
}
read -r step _ < <(run step 32)
read -r batch _ < <(run batch 1)
read -r _ update < <(run update 1)
read -r select _ < <(run select 64)
awk -v c="$step" -v b="$batch" -v l="$update" -v s="$select" 'BEGIN {
  printf "{\"bench\": \"pgbench\", \"C_steps_per_second\": %.0f, \"B_steps_per_second\": %.0f, \"L_p50_ms\": %s, \"S_selects_per_second\": %.0f}\n", c, b * 50, l, s }'
