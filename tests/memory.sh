# Says where tests put what they make: in memory, where this machine has room for it there, because PostgreSQL's files
# are a thousand for each server, and a disk takes longer over them than all tests together. Prints `TMPDIR=…`, or
# nothing: then it is where it always is. A TMPDIR that somebody has set holds.
room=/dev/shm

# In KiB; the most that was ever seen is a quarter of it.
enough=2097152

[ -z "${TMPDIR:-}" ] || exit 0
[ -d "$room" ] && [ -w "$room" ] || exit 0
# Some containers let no program run from there, and tests make scripts.
! grep -q "^[^ ]* $room [^ ]* [^ ]*noexec" /proc/mounts || exit 0
free=$(df -Pk "$room" | awk 'END { print $4 }')
memory=$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)
[ "$free" -ge "$enough" ] && [ "$memory" -ge $((2 * enough)) ] || exit 0
echo "TMPDIR=$room"
