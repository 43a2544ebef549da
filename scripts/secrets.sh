#!/usr/bin/env bash
# Searches what the suite has let anybody see for secrets: the folder that BERTH_TEST_OUTPUT named to the tests (logs of all processes at all
# levels, problems that were answered), and the files that are named after it. Tests plant secrets in many places (crates/berth/tests/process/planted.rs);
# each has the form that a real one has, so that one that nobody thought of is found as well.
# Usage: scripts/secrets.sh FOLDER [FILE…]
set -euo pipefail

forms=(
  'berth_(secret|token)_[0-9a-f]{16}'                              # client secrets, long-lived tokens
  'eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{40}' # signed tokens
  'planted-[a-z]+-secret'                                          # passwords and keys of settings
  'MC4CAQAwBQYDK2Vw|302e020100300506032b6570|MFECAQEwBQYDK2Vw'     # private keys
)
search() { grep -rnaE "$(IFS='|'; echo "${forms[*]}")" "$@"; }

# A search that finds nothing proves nothing: it must find one of each in what was made for it, ...
sample=$(mktemp)
trap 'rm -f "$sample"' EXIT
long=$(printf '0123456789abcdef%.0s' 1 2 3 4 5 6 7)
printf '%s\n' "berth_secret_$long" "berth_token_$long" "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c2VyIn0xx.$long" planted-database-secret MC4CAQAwBQYDK2Vw >"$sample"
[ "$(search "$sample" | wc -l)" = 5 ] || { echo "berth: the search for secrets does not find them" >&2; exit 1; }
# ... and there must be something to search, of each kind.
for kind in log problem process; do
  [ "$(find "$1" -name "$kind-*" -size +0 | wc -l)" -ge 10 ] || { echo "berth: of \`$kind\` too little was gathered in $1" >&2; exit 1; }
done

if found=$(search "$@"); then
  # Which one it is stands in the file; it is not repeated here.
  echo "berth: secrets were let out, in:" >&2
  cut -c 1-120 <<<"$found" | sed -E 's/(berth_(secret|token)_|eyJ|planted-).*/\1…/' | head -n 20 >&2
  exit 1
fi
echo "$(find "$1" -type f | wc -l) files, $(du -sh "$1" | cut -f 1): no secret"
