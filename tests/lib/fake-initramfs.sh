#!/bin/sh
# fake-initramfs.sh LIBRARY SECONDS URL [KERNEL-ARGUMENT...]: plays an initramfs that uses the shared library, up to the
# mounted image, in a mount namespace of the caller's with an empty /run. Prints its log, then "KEY VALUE" lines.
#
# FAKE is shell code that is read after the library: the peculiarities of this machine. UNTIL is a pattern (grep): the run
# ends when a line of the log matches.

DLFUSE_LIB=$1
seconds=$2
url=$3
shift 3
arguments=$*
# shellcheck source=initramfs-hook/lib/dlfuse-lib.sh
. "$DLFUSE_LIB/dlfuse-lib.sh"

dlfuse_words() {
    # Words.
    # shellcheck disable=SC2086
    printf '%s\n' $arguments
}
dlfuse_args() {
    for _argument in $arguments; do
        case $_argument in "$1"=*) echo "${_argument#*=}" ;; esac
    done
}
dlfuse_arg() {
    _value=$(dlfuse_args "$1" | sed -n '$p')
    [ -n "$_value" ] && echo "$_value"
}
dlfuse_flag() { [ "$(dlfuse_arg "$1")" = 1 ]; }
dlfuse_log() { echo "$2" >>/run/log; }
# The output for an administrator at the shell.
dlfuse_shell() {
    echo "shell: $1"
    dlfuse_diagnosis "$url"
} >>/run/log
# The machine's own files stay as they are.
dlfuse_write_resolver() { :; }
eval "$FAKE"

mount -t tmpfs fake /run || exit 1
dlfuse_prepare
dlfuse_start "$url"
ticks=0
while [ ! -e "$DLFUSE_ATTACHED" ] && [ $ticks -lt $((seconds * 10)) ]; do
    [ -z "${UNTIL:-}" ] || ! grep -q -e "$UNTIL" /run/log || break
    command sleep 0.1
    ticks=$((ticks + 1))
    [ $((ticks % 10)) != 0 ] || dlfuse_wait "$url"
done

# The supervisor may still log after the image is mounted; then it ends.
[ ! -e "$DLFUSE_ATTACHED" ] || flock -w 10 "$DLFUSE_STATE/lock" true
cat /run/log
if [ -e "$DLFUSE_ATTACHED" ]; then
    mkdir /run/root
    dlfuse_mount_root /run/root && echo mounted yes
    [ ! -e "$DLFUSE_FALLBACK" ] || echo "fallback $(cat "$DLFUSE_FALLBACK")"
    echo "status $(dlfuse status "$DLFUSE_MOUNT" | sed -n 's/^state *//p')"
    echo "sum $(sha256sum </run/root/random/large.bin)"
    echo "file $(stat -c '%s bytes, %b blocks' "$DLFUSE_FILE" 2>/dev/null)"
    umount /run/root
    umount "$DLFUSE_LOWER"
    losetup -d "$(cat "$DLFUSE_ATTACHED")"
else
    dlfuse_diagnosis "$url"
fi
# The supervisor's lock tells whether it still runs.
! flock -n "$DLFUSE_STATE/lock" true || echo supervisor gone
dlfuse_kill_daemon
