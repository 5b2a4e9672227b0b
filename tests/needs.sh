# What the tests and the playground need, installed where it is missing. For `tests/run`, `tests/harm` and
# `tests/playground`, which source this file from the root of the repository.

bold='' plain=''
if [ -t 2 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain" >&2; }
give_up() { printf '%s: %s\n' "$0" "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# --- Debian's packages ----------------------------------------------------------------------------------------------

# Where the newest PostgreSQL server lies: as Debian lays them out, or as `pg_config` says. Empty: there is none.
postgres_programs() {
  local newest configured
  newest=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1 || true)
  configured=$(pg_config --bindir 2>/dev/null || true)
  if [ -n "$newest" ]; then
    dirname "$newest"
  elif [ -x "$configured/initdb" ]; then
    echo "$configured"
  fi
}

missing_packages() {
  have cc || echo gcc libc6-dev
  # libFuzzer is written in C++.
  have c++ || echo g++
  have git || echo git
  [ -n "$(postgres_programs)" ] || echo postgresql
  have redis-server || echo redis-server
  have openssl || echo openssl
  # Its tool checks our metrics and alerts.
  have promtool || echo prometheus
  # The page is looked at in a real browser.
  have chromium || echo chromium
  have chromedriver || echo chromium-driver
  have setpriv && have setsid || echo util-linux
  have python3 || echo python3
  # Its tool checks the unit file of the manual.
  have systemd-analyze || echo systemd
  have sqlite3 || echo sqlite3
  # A clock that the tests can set, for the program alone.
  compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || echo libfaketime
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >&2; }

# Runs a command while a file says something else, and then has it again as it was, or away as it was.
with_file() {
  local file=$1 content=$2 mend
  shift 2
  mend="as_root rm -f $file"
  if [ -e "$file" ]; then
    as_root cp -p "$file" "$file.before"
    mend="as_root mv $file.before $file"
  fi
  # shellcheck disable=SC2064  # the paths as they are now
  trap "$mend" EXIT
  printf '%s\n' "$content" | as_root tee "$file" >/dev/null
  as_root chmod 755 "$file"
  "$@"
  $mend
  trap - EXIT
}

# Debian would make and start a server with the package, which nobody asked for.
install_postgresql() {
  local settings=/etc/postgresql-common/createcluster.conf
  apt install --no-install-recommends postgresql-common
  with_file "$settings" "$(cat "$settings"; echo 'create_main_cluster = false')" \
    apt install --no-install-recommends postgresql
}

# The same for a service that starts with its package, now and with the machine.
install_without_service() {
  with_file /usr/sbin/policy-rc.d $'#!/bin/sh\nexit 101' apt install --no-install-recommends "$1"
  [ ! -d /run/systemd/system ] || as_root systemctl --quiet disable "$1"
}

install_packages() {
  local missing package
  missing=$(missing_packages | xargs)
  [ -n "$missing" ] || return 0
  have apt-get || give_up "missing here, and there is no apt-get to install it: $missing"
  [ "$(id -u)" = 0 ] || have sudo || give_up "run as root, then try again: apt-get install $missing"
  say "installing: $missing"
  apt update
  for package in $missing; do
    case $package in
      postgresql) install_postgresql ;;
      redis-server | prometheus) install_without_service "$package" ;;
      *) apt install --no-install-recommends "$package" ;;
    esac
  done
}

# --- beside the build -----------------------------------------------------------------------------------------------

# Sets `target`, the directory of the build.
find_target() {
  have cargo || give_up 'cargo is missing: install Rust from https://rustup.rs, then try again'
  target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
}

# Python packages away from the system's: they check our JSON Schema and our API from outside, run real provisioning
# tasks, and look at the page. Of the last package only axe-core is wanted, which it holds, and nothing that it would
# bring along.
install_python_packages() {
  local python="$target/tmp/python"
  ! "$python/bin/python3" -c 'import axe_playwright_python, celery, jsonschema, pg8000, redis, schemathesis, selenium, yaml' 2>/dev/null || return 0
  say 'making a Python environment'
  mkdir -p "$target/tmp"
  python3 -m venv --clear "$python"
  "$python/bin/python3" -m pip install --quiet \
    'celery[redis]>=5.5,<6' 'jsonschema>=4,<5' 'pg8000>=1.31,<2' 'pyyaml>=6,<7' 'schemathesis>=4.32,<5' \
    'selenium>=4.30,<5'
  "$python/bin/python3" -m pip install --quiet --no-deps 'axe-playwright-python>=0.1.8,<0.2'
}

nextest_version=0.9.143

# Not optimised, which builds sooner: the runner is not what takes long.
install_nextest() {
  export PATH="$target/tools/bin:$PATH"
  ! cargo nextest --version >/dev/null 2>&1 || return 0
  say "building cargo-nextest $nextest_version, once"
  cargo install cargo-nextest --version "$nextest_version" --locked --debug --root "$target/tools" --target-dir "$target/tools/build" ||
    give_up 'cargo-nextest cannot be built here: see https://nexte.st/docs/installation, then try again'
  rm -rf "$target/tools/build"
}

# Three times as many at once as there are processors: most of a test is waiting for servers, leases and timers. The
# arguments go to `cargo nextest run`.
run_tests() {
  local result=0 report newest
  NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$(($(nproc) * 3))} cargo nextest run --locked "$@" || result=$?
  # The newest report is this run's.
  newest=
  for report in target/nextest/*/junit.xml; do
    [ -n "$newest" ] && [ ! "$report" -nt "$newest" ] || newest=$report
  done
  mkdir -p "$target/tmp"
  sed -n 's/.*<testcase name="\([^"]*\)".* time="\([0-9.]*\)".*/\2 \1/p' "$newest" >>"$target/tmp/times"
  return $result
}
