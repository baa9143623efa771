# shellcheck shell=bash disable=SC2034
# The common part of every case: a directory of its own, a stack of clean-up commands, checks that are
# counted, and waiting with a bound. A case sources this file first and the parts that it needs
# (nginx.sh, images.sh, node.sh, ...) afterwards.
#
# Exit status of a case: 0 all checks held, 1 at least one did not, 77 something that the case
# needs is missing here (said by name; with CI=true the run counts that as a failure).

set -euo pipefail
export LC_ALL=C TZ=UTC

LIB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SOURCE_DIR=$(cd "$LIB_DIR/../.." && pwd)
DLFUSE_BIN_DIR=$(cd "${DLFUSE_BIN_DIR:-$SOURCE_DIR/build/release/bin}" && pwd) || exit 1
TEST_BIN_DIR=$DLFUSE_BIN_DIR/../tests/bin
DLFUSE=$DLFUSE_BIN_DIR/dlfuse
CHUNKER=$DLFUSE_BIN_DIR/dlfuse-chunker
CASE=$(basename "$0")

TMP=$(mktemp -d "${TMPDIR:-/tmp}/dlfuse-$CASE.XXXXXX")
chmod 755 "$TMP"
FAILURES=0
CHECKS=0
CLEANUPS=()

# Reports of sanitizer builds land beside the case's files, so that neither a daemon without a
# stderr nor a check for "one line on stderr" hides or meets them. case_exit looks for them.
mkdir -m 1777 "$TMP/sanitizer"
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}log_path=$TMP/sanitizer/asan"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}print_stacktrace=1:log_path=$TMP/sanitizer/ubsan"
export TSAN_OPTIONS="${TSAN_OPTIONS:+$TSAN_OPTIONS:}log_path=$TMP/sanitizer/tsan"
export LSAN_OPTIONS="${LSAN_OPTIONS:+$LSAN_OPTIONS:}log_path=$TMP/sanitizer/lsan"

# on_exit COMMAND...: runs at the end, the last one first, however the case ends.
on_exit() {
    CLEANUPS+=("$(printf '%q ' "$@")")
}

case_exit() {
    local status=$? i
    trap - EXIT
    trap '' INT TERM
    set +e
    for ((i = ${#CLEANUPS[@]} - 1; i >= 0; i--)); do
        eval "${CLEANUPS[i]}"
    done
    if compgen -G "$TMP/sanitizer/*" >/dev/null; then
        echo "FAIL - sanitizer reports:"
        head -n 60 "$TMP"/sanitizer/*
        FAILURES=$((FAILURES + 1))
    fi
    if [ "$status" -eq 0 ] && [ "$FAILURES" -gt 0 ]; then
        status=1
    fi
    if [ "$status" -ne 0 ] && [ "$status" -ne 77 ] && [ -n "${DLFUSE_KEEP:-}" ]; then
        echo "kept: $TMP"
    else
        rm -rf --one-file-system "$TMP"
    fi
    [ "$status" -eq 77 ] || echo "$CASE: $CHECKS checks, $FAILURES failed, status $status"
    exit "$status"
}
trap case_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

note() {
    printf '# %s\n' "$*"
}

pass() {
    CHECKS=$((CHECKS + 1))
    printf 'ok - %s\n' "$*"
}

fail() {
    CHECKS=$((CHECKS + 1))
    FAILURES=$((FAILURES + 1))
    printf 'FAIL - %s\n' "$*"
}

# For failures that make the rest of the case pointless.
die() {
    fail "$*"
    exit 1
}

skip() {
    echo "SKIP - $CASE: $*"
    exit 77
}

# check TEXT COMMAND...: counts and prints; never ends the case.
check() {
    local text=$1
    shift
    if "$@"; then
        pass "$text"
    else
        fail "$text"
    fi
}

# check_eq TEXT GOT EXPECTED
check_eq() {
    if [ "$2" = "$3" ]; then
        pass "$1: $2"
    else
        fail "$1: got '$2', expected '$3'"
    fi
}

# check_num TEXT GOT OPERATOR BOUND: check_num "requests" 3 '<=' 8
check_num() {
    local holds=0
    if [[ $2 =~ ^-?[0-9]+$ && $4 =~ ^-?[0-9]+$ ]]; then
        case $3 in
        '<') [ "$2" -lt "$4" ] && holds=1 ;;
        '<=') [ "$2" -le "$4" ] && holds=1 ;;
        '>') [ "$2" -gt "$4" ] && holds=1 ;;
        '>=') [ "$2" -ge "$4" ] && holds=1 ;;
        '==') [ "$2" -eq "$4" ] && holds=1 ;;
        *) die "check_num: operator $3" ;;
        esac
    fi
    if [ "$holds" -eq 1 ]; then
        pass "$1: $2 $3 $4"
    else
        fail "$1: got '$2', expected $3 $4"
    fi
}

# require PROGRAM...
require() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || skip "$program is missing"
    done
}

require_programs_under_test() {
    [ -x "$DLFUSE" ] || die "$DLFUSE is not built"
    [ -x "$CHUNKER" ] || die "$CHUNKER is not built"
}

require_root() {
    [ "$(id -u)" -eq 0 ] || skip "needs root"
}

require_fuse() {
    require fusermount3
    [ -c /dev/fuse ] || skip "/dev/fuse is missing"
}

require_loop() {
    require_root
    require losetup
    [ -c /dev/loop-control ] || skip "/dev/loop-control is missing"
}

# in_own_mounts "$@": runs the case again from its start in a mount namespace of its own, where it may
# cover files of the machine. Called before anything else.
in_own_mounts() {
    require_root
    local dir
    if [ -z "${DLFUSE_OWN_MOUNTS:-}" ]; then
        rm -rf --one-file-system "$TMP"
        DLFUSE_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0" "$@"
    fi
    # Copies of other cases' mounts would keep those alive.
    while read -r _ dir _; do
        case $dir in
        "${TMPDIR:-/tmp}"/dlfuse-*) umount -l "$dir" ;;
        esac
    done < <(tac /proc/self/mounts)
}

# True for a build with -fsanitize: figures of time and memory mean nothing there.
sanitized() {
    ldd "$DLFUSE" 2>/dev/null | grep -E "lib(asan|tsan|ubsan)" >/dev/null
}

# wait_until SECONDS COMMAND...: polls; false when the time is over.
wait_until() {
    local deadline=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

is_gone() {
    ! kill -0 "$1" 2>/dev/null
}

now_ms() {
    date +%s%3N
}

drop_caches() {
    sync -f "$TMP"
    [ "$(id -u)" -ne 0 ] || echo 3 >/proc/sys/vm/drop_caches
}

# Ends one process that this case started: asks, then insists.
end_process() {
    local pid=$1
    kill -CONT "$pid" 2>/dev/null || return 0
    kill -TERM "$pid" 2>/dev/null || return 0
    wait_until 5 is_gone "$pid" || kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null || true
}
