# shellcheck shell=bash disable=SC2034
# How each racer of boot-race brings the root file system to RACE_LOWER: one function a racer. What it
# does until it returns counts as time. Sourced after boot.sh and lab.sh.
#
#   RACERS                 the names, in the order of the tables
#   racer_NAME             brings it up
#   racer_installed NAME   false when a program for it is missing; WHY says which
#
# IMAGE is the image on the local disk; the mirror serves root.img, root.img.lz4, root.squashfs and
# the store with plain.dlfuse, boot.dlfuse (with a profile) and squashfs.dlfuse.

RACERS=(local dlfuse-profile dlfuse dlfuse-squashfs full-ext4 full-lz4 full-squashfs nbdfuse)

racer_installed() {
    local program needs=()
    case $1 in
    full-lz4) needs=(lz4) ;;
    nbdfuse) needs=(nbdfuse nbdkit) ;;
    esac
    for program in ${needs[@]+"${needs[@]}"}; do
        command -v "$program" >/dev/null || {
            WHY="$program is not installed"
            return 1
        }
    done
}

# race_loop FILE OPTION...: LOOP_DEVICE is a read-only loop device on it.
race_loop() {
    LOOP_DEVICE=$(losetup --find --show --read-only "$@") || return 1
    undo losetup --detach "$LOOP_DEVICE"
    echo "$READ_AHEAD_KB" >"/sys/block/${LOOP_DEVICE##*/}/queue/read_ahead_kb"
}

race_mount() {
    local type=$1 options=ro
    [ "$type" != ext4 ] || options=ro,noload
    mount -t "$type" -o "$options" "$LOOP_DEVICE" "$RACE_LOWER" || return 1
    undo umount_surely "$RACE_LOWER"
}

racer_local() {
    race_loop --direct-io=on "$IMAGE" && race_mount ext4
}

file_or_gone() {
    [ -e "$1" ] || is_gone "$2"
}

# Not daemonized: a session of its own would be scheduled as a group of its own.
race_dlfuse() {
    local name=$1 dir=$RACE_AT/mnt
    "$DLFUSE" mount -f "$MIRROR_URL/store/$name.dlfuse" "$dir" >"$RACE_AT/node.log" 2>&1 &
    NODE=$!
    race_daemon "$NODE"
    undo end_node "$dir" "$NODE"
    race_wait 60 file_or_gone "$dir/root.img" "$NODE"
    [ -e "$dir/root.img" ] || return 1
    race_loop --direct-io=on "$dir/root.img" || return 1
    NODE_DEVICE=$LOOP_DEVICE
}

# A second loop device: ext4 would not survive the hand-over on the first (docs/ARCHITECTURE.md).
race_dlfuse_ext4() {
    race_dlfuse "$1" && race_loop --direct-io=on "$NODE_DEVICE" && race_mount ext4
}

racer_dlfuse() { race_dlfuse_ext4 plain; }
racer_dlfuse-profile() { race_dlfuse_ext4 boot; }
racer_dlfuse-squashfs() { race_dlfuse squashfs && race_mount squashfs; }

# What dracut's livenet does: all of it into a tmpfs, then a loop device. A tmpfs of its own here, so
# that a real initramfs' limits do not matter.
race_download_dir() {
    mkdir "$RACE_AT/download"
    mount -t tmpfs -o size=100% tmpfs "$RACE_AT/download" || return 1
    undo umount_surely "$RACE_AT/download"
}

race_curl() {
    curl --fail --silent --show-error --location "$MIRROR_URL/$1"
}

racer_full-ext4() {
    race_download_dir && race_curl root.img >"$RACE_AT/download/root" &&
        race_loop "$RACE_AT/download/root" && race_mount ext4
}

racer_full-lz4() {
    race_download_dir && race_curl root.img.lz4 | lz4 -d -q -f - "$RACE_AT/download/root" &&
        race_loop "$RACE_AT/download/root" && race_mount ext4
}

racer_full-squashfs() {
    race_download_dir && race_curl root.squashfs >"$RACE_AT/download/root" &&
        race_loop "$RACE_AT/download/root" && race_mount squashfs
}

racer_nbdfuse() {
    local dir=$RACE_AT/mnt pid
    nbdfuse -r "$dir/root.img" [ nbdkit --exit-with-parent curl "url=$MIRROR_URL/root.img" ] \
        >"$RACE_AT/node.log" 2>&1 &
    pid=$!
    race_daemon "$pid"
    undo end_node "$dir" "$pid"
    race_wait 60 file_or_gone "$dir/root.img" "$pid"
    [ -e "$dir/root.img" ] || return 1
    race_loop --direct-io=on "$dir/root.img" && race_mount ext4
}
