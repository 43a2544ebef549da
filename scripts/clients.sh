#!/usr/bin/env bash
# Clients generated from openapi.yaml, for TypeScript, Python and Go, compile, and run the walkthrough of examples/
# against a running `berth dev`.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD tools=$PWD/target/tools work=$PWD/target/clients
# shellcheck source=scripts/berth-dev.sh
. scripts/berth-dev.sh
rm -rf "$work"
mkdir -p "$work"
cp -r examples/typescript examples/python examples/go "$work/"

# Says what a command printed only if it failed.
quietly() {
  "$@" >"$folder/said" 2>&1 || { cat "$folder/said" >&2; echo "berth: failed: $*" >&2; exit 1; }
}

typescript_client() {
  cd "$work/typescript"
  ln -s "$tools/client-typescript-7.13.0/node_modules" node_modules
  quietly node_modules/.bin/openapi-typescript "$root/openapi.yaml" --default-non-nullable false --output berth.ts
  quietly node_modules/.bin/tsc
}

python_client() {
  cd "$work/python"
  PATH="$tools/client-python-0.29.1/bin:$PATH" quietly "$tools/client-python-0.29.1/bin/python" -m openapi_python_client generate --path "$root/openapi.yaml" \
    --output-path generated --meta none --config generator.yaml
  mv generated berth_client
  quietly "$tools/client-python-0.29.1/bin/python" -m compileall -q berth_client walkthrough.py
}

go_client() {
  cd "$work/go"
  mkdir berth
  "$tools/client-go-2.8.2/oapi-codegen" -generate types,client -package berth "$root/openapi.yaml" >berth/client.go
  GOFLAGS=-mod=readonly quietly go build -o walkthrough .
}

(typescript_client)
(python_client)
(go_client)
start_berth
for walk in "node typescript/walkthrough.js" "$tools/client-python-0.29.1/bin/python python/walkthrough.py" "go/walkthrough"; do
  # shellcheck disable=SC2086
  (cd "$work" && timeout 120 $walk) >"$folder/said" 2>&1 || { cat "$folder/said" >&2; echo "berth: failed: $walk" >&2; exit 1; }
  last=$(tail -n 1 "$folder/said")
  case $last in
    "workspace is deleted"*) echo "${walk##*/}: $last" ;;
    *) cat "$folder/said" >&2; echo "berth: $walk did not come to its end" >&2; exit 1 ;;
  esac
done
