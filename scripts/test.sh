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

say "licences, bans, sources"
cargo deny --log-level error check licenses bans sources

say "tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
scripts/with-postgres.sh scripts/with-spicedb.sh cargo nextest run --workspace --no-fail-fast 2>&1 | tee "$log"
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
