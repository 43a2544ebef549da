#!/usr/bin/env bash
# The rolling upgrade test: builds the Berth that scripts/upgrade/from names (a commit; once, into target/upgrade), and runs it and
# the present one on one PostgreSQL, forward, back and forward again, with runs in flight.
# Usage: scripts/upgrade.sh [FILTER…]     BERTH_UPGRADE_FROM=PATH takes another binary for the old one.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/tools.sh postgres >/dev/null
if [ -z "${BERTH_UPGRADE_FROM:-}" ]; then
  commit=$(cat scripts/upgrade/from)
  place=$PWD/target/upgrade
  if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
    echo "berth: this clone does not have $commit, the version that the upgrade test begins with: run 'git fetch --unshallow', or 'git fetch origin $commit'" >&2
    exit 1
  fi
  if [ "$(git -C "$place/src" rev-parse HEAD 2>/dev/null || true)" != "$commit" ] || [ ! -e "$place/src/Cargo.toml" ]; then
    mkdir -p "$place"
    rm -rf "$place/src"
    git worktree prune
    git worktree add --quiet --force --detach "$place/src" "$commit"
  fi
  # As it was locked then.
  (cd "$place/src" && CARGO_TARGET_DIR="$place/build" cargo build --quiet --locked --package berth)
  export BERTH_UPGRADE_FROM="$place/build/debug/berth"
fi

cargo test --package berth --test upgrade -- --nocapture "$@"
