#!/usr/bin/env bash
# Records anew what a real SpiceDB answers, for the tests of the evaluator where there is none: after a change of the schema or of
# what is asked. The tests say when.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/tools.sh spicedb >/dev/null
BERTH_TEST_RECORD=1 scripts/with-spicedb.sh cargo test --quiet -p providers --lib the_recorded_answers_are_spicedbs
