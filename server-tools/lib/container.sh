# shellcheck shell=bash disable=SC2034 # set here, used by who sources this
# container.sh: a dlfuse mount with a system on it, booted by systemd-nspawn: as the initramfs mounts it, without
# hardware. For dlfuse-record.
#
#   container_mount DIR URL OPTIONS   mounts URL below DIR (an existing empty directory), a loop device on it, its
#                                     file system, and an overlay with a tmpfs on that
#   container_start DIR QUIET-FILE    boots the system in DIR; QUIET-FILE appears when the default target is reached
#   container_poweroff SECONDS        as if the system's own poweroff was called; 1: it does not end in time
#   container_cleanup                 ends and removes all of it; at any time, and twice
#
# Sourced after nspawn.sh. CONTAINER_NODE is where dlfuse is mounted, CONTAINER_LOG has the output of nspawn and the system.
# Meant for a mount namespace of the caller's own (unshare --mount): then no mount outlives the caller, even if that is killed.

CONTAINER_DIR=
CONTAINER_NODE=
CONTAINER_LOG=
CONTAINER_DAEMON_PID=
CONTAINER_PID=
CONTAINER_LOOP=
CONTAINER_RULES=

# As the initramfs attaches it: the kernel's read-ahead is a part of a boot's reads.
CONTAINER_READ_AHEAD_KB=128

container_fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    return 1
}

# container_wait SECONDS COMMAND...: polls; 1 when the time is over.
container_wait() {
    local end=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

container_gone() { ! kill -0 "$1" 2>/dev/null; }

container_served_or_gone() { [ -e "$CONTAINER_NODE/root.img" ] || container_gone "$CONTAINER_DAEMON_PID"; }

# udev would look for labels all over the device. No node makes these reads, for the initramfs has such a rule as well.
container_hide_from_udev() {
    [ -e /run/udev/control ] || return 0
    CONTAINER_RULES=/run/udev/rules.d/59-dlfuse-$$.rules
    mkdir -p /run/udev/rules.d
    echo "KERNEL==\"loop*\", ATTR{loop/backing_file}==\"$1\", ENV{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}=\"1\"" \
        >"$CONTAINER_RULES"
    udevadm control --reload 2>/dev/null || true
}

# The types and their order are the initramfs's. Each try reads one superblock.
container_mount_lower() {
    local type
    for type in ext4 squashfs erofs xfs; do
        modprobe -q "$type" 2>/dev/null || true
        mount -t "$type" -o ro,silent "$CONTAINER_LOOP" "$1" 2>/dev/null && return 0
    done
    container_fail "the image has no file system that this kernel can mount (tried: ext4 squashfs erofs xfs)"
}

container_mount() {
    CONTAINER_DIR=$1
    CONTAINER_NODE=$1/node
    CONTAINER_LOG=$1/console.log
    mkdir -p "$1/node" "$1/lower" "$1/tmpfs" "$1/root"
    dlfuse mount -f -o "$3" "$2" "$CONTAINER_NODE" </dev/null >"$1/dlfuse.log" 2>&1 &
    CONTAINER_DAEMON_PID=$!
    container_wait 60 container_served_or_gone || true
    [ -e "$CONTAINER_NODE/root.img" ] || {
        container_fail "dlfuse does not mount $2: $(tail -n 1 "$1/dlfuse.log")"
        return 1
    }
    container_hide_from_udev "$CONTAINER_NODE/root.img"
    CONTAINER_LOOP=$(losetup --find --show --read-only --direct-io=on "$CONTAINER_NODE/root.img") || {
        container_fail "no loop device can be attached"
        return 1
    }
    echo $CONTAINER_READ_AHEAD_KB >"/sys/block/${CONTAINER_LOOP##*/}/queue/read_ahead_kb"
    container_mount_lower "$1/lower" || return 1
    # From here on the device goes with its last user, even if this program can no longer detach it.
    losetup --detach "$CONTAINER_LOOP"
    CONTAINER_LOOP=
    mount -t tmpfs -o mode=0755 tmpfs "$1/tmpfs" || return 1
    mkdir "$1/tmpfs/upper" "$1/tmpfs/work"
    mount -t overlay -o "lowerdir=$1/lower,upperdir=$1/tmpfs/upper,workdir=$1/tmpfs/work" overlay "$1/root" ||
        container_fail "the overlay cannot be mounted"
}

# The unit lies in the container's /run, where the initramfs puts its own: the image's directories stay as they are.
container_units() {
    mkdir -p "$1/default.target.wants"
    cat >"$1/dlfuse-record.service" <<'UNIT'
[Unit]
Description=dlfuse-record: the default target is reached
DefaultDependencies=no
After=default.target
Conflicts=shutdown.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo ready >/run/dlfuse-record/ready'
UNIT
    ln -sf ../dlfuse-record.service "$1/default.target.wants/"
    # There is no script for this host, and no server to ask: the boot would wait for it.
    ln -sf /dev/null "$1/dlfuse-firstboot.service"
}

container_start() {
    local -a arguments=(--kill-signal=SIGRTMIN+4
        --bind="$1/units:/run/systemd/system" --bind="$1/said:/run/dlfuse-record")
    # Without systemd on this machine there is no manager that could make a scope for the container.
    [ -d /run/systemd/system ] || arguments+=(--keep-unit)
    mkdir -p "$1/said"
    container_units "$1/units"
    nspawn_start "$1/root" "dlfuse-record-$$" "$CONTAINER_LOG" "${arguments[@]}"
    CONTAINER_PID=$NSPAWN_PID
}

# container_wait_target SECONDS: until the default target is reached. 1: not in time, or the container ended.
container_wait_target() {
    container_wait "$1" container_ready_or_gone || return 1
    [ -e "$CONTAINER_DIR/said/ready" ]
}

container_ready_or_gone() { [ -e "$CONTAINER_DIR/said/ready" ] || container_gone "$CONTAINER_PID"; }

container_poweroff() {
    # nspawn passes SIGTERM on as the signal above, which asks the container's systemd to power off.
    kill -TERM "$CONTAINER_PID" 2>/dev/null || true
    container_wait "$1" container_gone "$CONTAINER_PID" || return 1
    wait "$CONTAINER_PID" 2>/dev/null || true
    CONTAINER_PID=
}

container_end_daemon() {
    [ -n "$CONTAINER_DAEMON_PID" ] || return 0
    kill -TERM "$CONTAINER_DAEMON_PID" 2>/dev/null || true
    container_wait 10 container_gone "$CONTAINER_DAEMON_PID" || kill -KILL "$CONTAINER_DAEMON_PID" 2>/dev/null || true
    wait "$CONTAINER_DAEMON_PID" 2>/dev/null || true
    CONTAINER_DAEMON_PID=
}

container_cleanup() {
    local at
    [ -n "$CONTAINER_DIR" ] || return 0
    [ -z "$CONTAINER_PID" ] || nspawn_kill "$CONTAINER_PID"
    CONTAINER_PID=
    for at in root tmpfs lower; do
        mountpoint -q "$CONTAINER_DIR/$at" || continue
        umount "$CONTAINER_DIR/$at" 2>/dev/null || umount -l "$CONTAINER_DIR/$at" 2>/dev/null || true
    done
    [ -z "$CONTAINER_LOOP" ] || losetup --detach "$CONTAINER_LOOP" 2>/dev/null || true
    CONTAINER_LOOP=
    # The device releases the file with a delay.
    if mountpoint -q "$CONTAINER_NODE"; then
        container_wait 5 umount "$CONTAINER_NODE" 2>/dev/null || umount -l "$CONTAINER_NODE" 2>/dev/null || true
    fi
    container_end_daemon
    if [ -n "$CONTAINER_RULES" ]; then
        rm -f "$CONTAINER_RULES"
        udevadm control --reload 2>/dev/null || true
        CONTAINER_RULES=
    fi
    CONTAINER_DIR=
}
