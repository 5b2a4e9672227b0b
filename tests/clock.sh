#!/usr/bin/env bash
# Runs a program, and all that it starts, at another time than the machine's: `tests/clock.sh WHEN PROGRAM [ARGUMENT…]`.
#
# WHEN is how far ahead (`+20d`, `+400d`, `+5y`, a year being 365 days), or `midnight`: one second before the end of the
# last year, in UTC. Waiting is not touched: it goes by the monotonic clock.
set -euo pipefail

[ $# -ge 2 ] || { printf 'usage: tests/clock.sh WHEN PROGRAM [ARGUMENT…]\n' >&2; exit 2; }
when=$1
shift
if [ "$when" = midnight ]; then
  now=$(date -u +%s.%N)
  eve=$(date -u -d "$(date -u +%Y)-01-01 00:00:00" +%s)
  when=$(awk -v now="$now" -v eve="$eve" 'BEGIN { printf "-%.3f", now - (eve - 1) }')
fi
library=$(compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' | head -n 1) || {
  printf 'tests/clock.sh: libfaketime is missing: apt-get install libfaketime\n' >&2
  exit 1
}
exec env LD_PRELOAD="$library" FAKETIME="$when" DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1 "$@"
