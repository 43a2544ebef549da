#!/usr/bin/env bash
# The OpenAPI document lints clean, and a running `berth dev` keeps what it says under schemathesis: every check on,
# authenticated, with a fixed seed. SCHEMATHESIS_EXAMPLES sets how many examples each operation gets.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/target/tools
# shellcheck source=scripts/berth-dev.sh
. scripts/berth-dev.sh

# Its exit code tells of errors only; a warning is one too.
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true NO_COLOR=1 \
  "$tools/redocly-2.77.0/node_modules/.bin/redocly" lint --config scripts/tools/redocly/redocly.yaml --format json openapi.yaml \
  >"$folder/lint.json" 2>"$folder/lint.err" || true
python3 - "$folder/lint.json" <<'PYTHON' || { cat "$folder/lint.err" >&2; exit 1; }
import json, sys
report = json.load(open(sys.argv[1]))
totals = report["totals"]
for problem in report["problems"]:
    print(problem["severity"], problem["ruleId"], problem["message"], problem["location"][0].get("pointer", ""))
print("openapi.yaml:", totals["errors"], "errors,", totals["warnings"], "warnings")
sys.exit(1 if totals["errors"] or totals["warnings"] else 0)
PYTHON

# Streams end soon: whoever follows a run that waits for something must not be waited for.
export BERTH_SERVER__STREAM_FOR=2s
start_berth

# It keeps a cache where it runs.
contract=$PWD/openapi.yaml settings=$PWD/scripts/tools/schemathesis.toml
cd "$folder"
if ! "$tools/schemathesis-4.32.5/bin/python" -m schemathesis.cli --no-color --config-file "$settings" run "$contract" --url "$BERTH_URL" \
  --header "Authorization: Bearer $BERTH_TOKEN" --seed 7 --max-examples "${SCHEMATHESIS_EXAMPLES:-25}" \
  --request-timeout 40 --generation-database none >"$folder/schemathesis" 2>&1; then
  cat "$folder/schemathesis" >&2
  exit 1
fi
sed -n '/= SUMMARY =/,$p' "$folder/schemathesis" | grep -v '^=' || true
if grep -E 'panicked|ERROR' "$folder/err" "$folder/out"; then
  echo "berth: the server logged an error under schemathesis" >&2
  exit 1
fi
