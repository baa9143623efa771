# shellcheck shell=bash disable=SC2034
# Two versions of one Debian for bench/chunker, each as ext4 and as squashfs: bookworm as it was released,
# and the same tree with its updates applied, the kernel not among them. A file that no update touches
# has the same place and time in both. Sourced after case.sh and debian.sh of tests/lib. Kept for the next
# run in the cache of debian.sh; the updates are those of the day: remove the directory to have new ones.
#
#   chunker_images    sets OLD_EXT4 NEW_EXT4 OLD_SQUASHFS NEW_SQUASHFS

CHUNKER_MIRROR=${CHUNKER_MIRROR:-http://deb.debian.org}

chunker_mkroot() {
    local out=$1
    shift
    mkdir -p "$out"
    MIRROR=$CHUNKER_MIRROR "$SOURCE_DIR/server-tools/dlfuse-mkroot" --quiet --no-initramfs \
        --release bookworm --format ext4,squashfs --mirror "deb $CHUNKER_MIRROR/debian bookworm main" \
        --tarball "$CHUNKER_IMAGES/released.tar" "$@" "$out" || die "dlfuse-mkroot fails"
}

chunker_images() {
    CHUNKER_IMAGES=$DLFUSE_CACHE/bench/update
    require_root
    require mmdebstrap mkfs.ext4 mksquashfs flock unshare
    mkdir -p "$CHUNKER_IMAGES"
    exec 8>"$CHUNKER_IMAGES/lock"
    flock 8
    if [ ! -e "$CHUNKER_IMAGES/old/root.squashfs" ]; then
        note "building Debian as it was released, in $CHUNKER_IMAGES"
        chunker_mkroot "$CHUNKER_IMAGES/old"
    fi
    if [ ! -e "$CHUNKER_IMAGES/new/root.squashfs" ]; then
        note "building the same with its updates"
        chunker_mkroot "$CHUNKER_IMAGES/new" --customize "$SOURCE_DIR/bench/lib/chunker-update.sh"
    fi
    exec 8>&-
    OLD_EXT4=$CHUNKER_IMAGES/old/root.img
    NEW_EXT4=$CHUNKER_IMAGES/new/root.img
    OLD_SQUASHFS=$CHUNKER_IMAGES/old/root.squashfs
    NEW_SQUASHFS=$CHUNKER_IMAGES/new/root.squashfs
}
