# shellcheck shell=bash
# The shared library of the initramfs with the real programs, real FUSE and loop devices, without a virtual machine
# (fake-initramfs.sh). The case runs in its own mount namespace.
#
#   boot SECONDS URL [ARGUMENT...]   the node's output is in $TMP/said; FAKE and UNTIL are fake-initramfs.sh's
#   said KEY                         the value of its line "KEY VALUE"
#   booted TEXT WAY WHY              checks it against $SUM, of the image's file random/large.bin
require flock jq

# Seconds, where a node would take a minute.
QUICK='DLFUSE_UNUSABLE_SECONDS=1 DLFUSE_UNREACHABLE_SECONDS=2 DLFUSE_IDLE_SECONDS=3'
# shellcheck disable=SC2016 # for the node's shell
# shellcheck disable=SC2034 # the cases'
NO_FUSE='dlfuse_knows_filesystem() { [ "$1" != fuse ]; }'

# Its own process namespace ends the supervisor and the processes that it has started.
boot() {
    local seconds=$1
    shift
    FAKE="$QUICK; ${FAKE:-}" PATH="$DLFUSE_BIN_DIR:$PATH" timeout $((seconds + 30)) \
        unshare --mount --propagation private --pid --fork --kill-child --mount-proc /bin/sh "$LIB_DIR/fake-initramfs.sh" \
        "$SOURCE_DIR/initramfs-hook/lib" "$seconds" "$@" >"$TMP/said" 2>"$TMP/said.err" ||
        fail "the node fails: $(tail -n 3 "$TMP/said.err")"
    sed 's/^/#   /' "$TMP/said"
}

said() { sed -n "s/^$1 //p" "$TMP/said" | head -n 1; }

# booted TEXT WAY WHY: WAY is lazy, or download or full with a pattern for the note.
booted() {
    check_eq "$1: the root is mounted" "$(said mounted)" yes
    check_eq "$1: its bytes" "$(said sum)" "$SUM"
    check_eq "$1: the supervisor" "$(said supervisor)" gone
    if [ "$2" = lazy ]; then
        check_eq "$1: no fallback" "$(said fallback)" ""
    else
        check "$1: by $2, because of '$3'" grep -q "^fallback $2 .*$3" "$TMP/said"
        check_eq "$1: status" "$(said status)" fallback
        check "$1: the console says so" grep -q "^booting from memory, $2 " "$TMP/said"
    fi
}
