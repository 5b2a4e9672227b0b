#!/usr/bin/env bash
# Runs a program where nothing is to be found of what `tests/run` installs, and as root without root's rights:
# `tests/bare.sh PROGRAM [ARGUMENT…]`. The machine is left as it is: what is hidden is hidden from that program alone.
set -euo pipefail

[ $# -ge 1 ] || { printf 'usage: tests/bare.sh PROGRAM [ARGUMENT…]\n' >&2; exit 2; }

if [ "${BARE-}" != within ]; then
  as_root=
  [ "$(id -u)" = 0 ] || as_root=--map-root-user
  BARE=within exec unshare --mount $as_root -- "$0" "$@"
fi
unset BARE

hide() {
  [ ! -d "$1" ] || mount -t tmpfs -o size=4k,mode=755 nothing "$1"
  [ ! -f "$1" ] || mount --bind /dev/null "$1"
}

for place in /usr/lib/postgresql /usr/lib/*/faketime target/tmp/python; do
  hide "$place"
done
for program in redis-server openssl prometheus promtool chromium chromedriver python3 systemd-analyze sqlite3 psql pg_config; do
  for place in ${PATH//:/ }; do
    hide "$place/$program"
  done
done
exec setpriv --bounding-set=-all --inh-caps=-all -- "$@"
