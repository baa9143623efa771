# shellcheck shell=bash disable=SC2034
# One native boot against the clock: the systemd of a Debian image in systemd-nspawn, on an overlay of
# a tmpfs over whatever a racer mounts at RACE_LOWER. Sourced after case.sh of tests/lib.
#
#   race_boot START...     runs the racer START, which must leave a file system at RACE_LOWER, boots
#                          it, and returns when its default target is reached: RACE_SECONDS since
#                          the first action of START, and what race_observe counted then. False when
#                          it does not come up within RACE_TIMEOUT; RACE_LOG says more.
#   race_stop_machine      the machine is gone at once (no poweroff), its overlay too
#   race_clear             everything of this race is gone
#   undo COMMAND...        for racers: what race_clear runs, the last one first
#   race_daemon PID        for racers: its memory counts
#   nap SECONDS            sleeps without a fork
#   shuffle WORD...        SHUFFLED: in another order, which RANDOM decides
#
# The machine says that it is up through a FIFO in its root, so neither polling nor a program that
# would have to be fetched is in the time. What the overlay's tmpfs holds for that is prepared before.

# shellcheck source=server-tools/lib/nspawn.sh
. "$SOURCE_DIR/server-tools/lib/nspawn.sh"

# Of each loop device, of racers and of servers: as the initramfs sets it. The same for all, so that none wins by it.
READ_AHEAD_KB=128
RACE_TIMEOUT=${RACE_TIMEOUT:-300}
RACE_AT=
RACE_LOWER=
RACE_LOG=
RACE_SECONDS=
RACE_MACHINE=
RACE_UNDO=()
RACE_DAEMONS=()

exec {NAP_FD}<> <(:)
nap() {
    read -rt "$1" -u "$NAP_FD" || true
}

# race_wait SECONDS COMMAND...: polls each millisecond or two. COMMAND should not fork.
race_wait() {
    local deadline=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        nap 0.001
    done
}

# Not in a subshell, which would have a RANDOM of its own.
shuffle() {
    local i j swap
    SHUFFLED=("$@")
    for ((i = $# - 1; i > 0; i--)); do
        j=$((RANDOM % (i + 1)))
        swap=${SHUFFLED[i]}
        SHUFFLED[i]=${SHUFFLED[j]}
        SHUFFLED[j]=$swap
    done
}

undo() {
    RACE_UNDO+=("$(printf '%q ' "$@")")
}

race_daemon() {
    RACE_DAEMONS+=("$1")
}

race_clear() {
    local i
    race_stop_machine
    for ((i = ${#RACE_UNDO[@]} - 1; i >= 0; i--)); do
        eval "${RACE_UNDO[i]}" || true
    done
    RACE_UNDO=()
    RACE_DAEMONS=()
    [ -z "$RACE_AT" ] || rm -rf --one-file-system "$RACE_AT"
    RACE_AT=
}

# Programs come from the initramfs in a real boot: from RAM.
race_warm_programs() {
    local program
    if [ -z "${RACE_PROGRAMS:-}" ]; then
        RACE_PROGRAMS=$(for program in "$DLFUSE" "$TEST_BIN_DIR"/* curl lz4 losetup mount umount mkdir \
            systemd-nspawn nbdkit nbdfuse fusermount3 setsid; do
            program=$(command -v "$program") || continue
            echo "$program"
            ldd "$program" 2>/dev/null | grep -o '/[^ ]*'
        done | sort -u)
        [ ! -d /usr/lib/x86_64-linux-gnu/nbdkit ] ||
            RACE_PROGRAMS+=" $(find /usr/lib/x86_64-linux-gnu/nbdkit -name '*curl*')"
    fi
    # shellcheck disable=SC2086 # a list of files
    cat $RACE_PROGRAMS >/dev/null
}

race_prepare() {
    RACE_AT=$(mktemp -d "$TMP/race.XXXXXX")
    RACE_LOWER=$RACE_AT/lower
    RACE_LOG=$RACE_AT/machine.log
    mkdir "$RACE_LOWER" "$RACE_AT/tmpfs" "$RACE_AT/root" "$RACE_AT/mnt"
    mount -t tmpfs -o mode=755 tmpfs "$RACE_AT/tmpfs"
    undo umount_surely "$RACE_AT/tmpfs"
    local wants=$RACE_AT/tmpfs/upper/etc/systemd/system/multi-user.target.wants
    mkdir -p "$wants" "$RACE_AT/tmpfs/work"
    mkfifo "$RACE_AT/tmpfs/upper/bench-ready"
    cat >"$wants/../bench-ready.service" <<'END'
[Unit]
DefaultDependencies=no
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo ready >/bench-ready'
END
    ln -s ../bench-ready.service "$wants/"
    drop_caches
    race_warm_programs
}

umount_surely() {
    ! is_mounted "$1" || umount "$1" 2>/dev/null || umount -l "$1"
}

race_start_machine() {
    local root=$RACE_AT/root
    mount -t overlay -o "lowerdir=$RACE_LOWER,upperdir=$RACE_AT/tmpfs/upper,workdir=$RACE_AT/tmpfs/work" \
        overlay "$root" || return 1
    exec {READY_FD}<>"$root/bench-ready"
    nspawn_start "$root" "bench-$$" "$RACE_LOG" --keep-unit
    RACE_MACHINE=$NSPAWN_PID
}

race_boot() {
    local begin word='' deadline=$((SECONDS + RACE_TIMEOUT))
    race_prepare
    race_observe begin
    begin=${EPOCHREALTIME/./}
    "$@" || return 1
    race_start_machine || return 1
    until [ "$word" = ready ]; do
        read -r -t 5 -u "$READY_FD" word && continue
        if is_gone "$RACE_MACHINE" || [ "$SECONDS" -gt "$deadline" ]; then
            return 1
        fi
    done
    RACE_SECONDS=$((${EPOCHREALTIME/./} - begin))
    race_observe ready
    printf -v RACE_SECONDS '%d.%06d' $((RACE_SECONDS / 1000000)) $((RACE_SECONDS % 1000000))
}

race_stop_machine() {
    [ -n "$RACE_AT" ] || return 0
    if [ -n "$RACE_MACHINE" ]; then
        nspawn_kill "$RACE_MACHINE"
        RACE_MACHINE=
        exec {READY_FD}>&-
    fi
    umount_surely "$RACE_AT/root"
    umount_surely "$RACE_AT/tmpfs"
}
