# shellcheck shell=bash
# The initramfs' shared library with the shell and the programs of an initramfs, without a machine.
#
#   hook LINE COMMANDS [WORD...]   runs COMMANDS, which get the WORDs, with LINE for the kernel's arguments, in a mount namespace
#                                  of its own with an empty /run; the library's messages are on stdout, "<LEVEL> TEXT"
require_root
require unshare dash

# The programs that both the hook of initramfs-tools and the module of dracut install, and kmod.
HOOK_BIN=$TMP/hook-bin
mkdir "$HOOK_BIN"
# shellcheck disable=SC2013 # words are what is wanted
for program in $(sed -n 's/^programs="\(.*\)"/\1/p' "$SOURCE_DIR/initramfs-hook/initramfs-tools/hooks/dlfuse") mke2fs; do
    grep -Eq "inst_multiple .*[ ]$program( |\$)" "$SOURCE_DIR/initramfs-hook/dracut/90dlfuse/module-setup.sh" ||
        fail "dracut's initramfs may lack the program $program"
    require "$program"
    ln -s "$(command -v "$program")" "$HOOK_BIN/$program"
done
ln -s "$(command -v true)" "$HOOK_BIN/modprobe"
ln -s "$DLFUSE" "$HOOK_BIN/dlfuse"

HOOK_SHELL=${HOOK_SHELL:-dash}
hook() {
    local line=$1 commands=$2 status=0
    shift 2
    # shellcheck disable=SC2016 # the inner shell's
    DLFUSE_LIB=$SOURCE_DIR/initramfs-hook/lib LINE=$line unshare --mount --propagation private "$HOOK_SHELL" -uc '
        mount -t tmpfs run /run && PATH='"$HOOK_BIN"'
        dlfuse_words() (set -f; printf "%s\n" $LINE)
        dlfuse_args() { dlfuse_words | sed -n "s/^$1=\(..*\)/\1/p"; }
        dlfuse_arg() { dlfuse_words | sed -n "s/^$1=//p" | sed -n "\$p;\$!d" | { read -r _v && echo "$_v"; }; }
        dlfuse_flag() { [ "$(dlfuse_arg "$1")" = 1 ]; }
        dlfuse_shell() { :; }
        . "$DLFUSE_LIB/dlfuse-lib.sh"
        dlfuse_log() { echo "<$1> $2"; }
        dlfuse_hide_from_udev() { :; }
        mkdir -p "$DLFUSE_STATE" "$DLFUSE_ROOT/dev"
        '"$commands" "$HOOK_SHELL" "$@" 2>"$TMP/hook.err" || status=$?
    ! grep "not found" "$TMP/hook.err" || fail "a program that is in no initramfs"
    return $status
}

# Detaches the loop devices on files of this case, also inside an overlay of it, and before them the loop devices on these
# devices. losetup's spelling of these depends on the mount namespace.
hook_detach() {
    losetup -n -O NAME,BACK-FILE | awk -v dir="$TMP/" '
        index($2, dir) == 1 || $2 == "/upper.ext4" { lower[$1] }
        { sub("^/dev/", "/", $2); file[$1] = $2 }
        END {
            for (d in file) if (("/dev" file[d]) in lower) print d
            for (d in lower) print d
        }' | xargs -r -n 1 losetup -d || true
}
on_exit hook_detach
