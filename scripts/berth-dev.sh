# To be sourced: starts a `berth dev` of its own, on free ports in a folder of its own, and stops it when the script
# ends. Sets `folder`, `server`, and what stands in its dev.env, exported.

folder=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then kill -TERM "$server" 2>/dev/null && wait "$server" || true; fi
  rm -rf "$folder"
}
trap finish EXIT

start_berth() {
  # The tests build the same program with the features that they share; to build it alone would compile half the house again.
  [ -n "${PREBUILT:-}" ] || cargo build --quiet --package berth
  target/debug/berth dev --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --data-dir "$folder/data" >"$folder/out" 2>"$folder/err" &
  server=$!
  for _ in $(seq 300); do
    grep -q '^Berth is ready' "$folder/out" && break
    kill -0 "$server" 2>/dev/null || { cat "$folder/err" >&2; exit 1; }
    sleep 0.1
  done
  grep -q '^Berth is ready' "$folder/out" || { echo "berth: berth dev was not ready within 30 s" >&2; cat "$folder/err" >&2; exit 1; }
  # shellcheck disable=SC1091
  . "$folder/data/dev.env"
}
