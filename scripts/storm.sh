#!/usr/bin/env bash
# The long form of the failure tests with real processes (crates/berth/tests/process/storm): at least 2,000 runs and 200 kills, the
# database killed, commits cut, transactions refused, a full disk. One after the other; seeds and counts are printed.
# Usage: scripts/storm.sh [NAME…]     (only those whose name contains one of these: kills, commits, refusals, disk, fence)
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/tools.sh postgres >/dev/null
[ $# -gt 0 ] || set -- ''
for name in "$@"; do
  BERTH_STORM=long timeout 3600 cargo test --package berth --test process "storm::$name" -- --nocapture --test-threads 1
done
