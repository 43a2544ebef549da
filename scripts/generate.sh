#!/usr/bin/env bash
# Writes every generated file: openapi.yaml, docs/configuration.md, docs/cli.md, docs/sagas/*.md. With --check it writes nothing
# and fails, showing the difference, where a committed file is not what the code says.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tests build the same program with the features that they share; to build it alone would compile half the house again.
[ -n "${PREBUILT:-}" ] || cargo build --quiet --package berth
berth=target/debug/berth
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

mkdir -p "$fresh/docs/sagas"
"$berth" openapi >"$fresh/openapi.yaml"
"$berth" config reference >"$fresh/docs/configuration.md"
"$berth" reference >"$fresh/docs/cli.md"
"$berth" sagas list --names | while read -r saga; do
  "$berth" sagas show "$saga" --format markdown >"$fresh/docs/sagas/$saga.md"
done

if [ "${1:-}" = --check ]; then
  bad=0
  for file in openapi.yaml docs/configuration.md docs/cli.md; do
    diff -u "$file" "$fresh/$file" || bad=1
  done
  diff -ru docs/sagas "$fresh/docs/sagas" || bad=1
  if [ $bad = 1 ]; then
    echo "berth: generated files are not what the code says: run 'make generate' and commit the result" >&2
    exit 1
  fi
else
  mkdir -p docs
  rm -rf docs/sagas
  cp -r "$fresh/." .
fi
