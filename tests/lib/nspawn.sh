# shellcheck shell=bash disable=SC2034
# Boots the systemd of a Debian tree in a container, with a root that is an overlay of a tmpfs over
# a read-only tree.
#
#   boot_tree TREE SECONDS    boots it; BOOT_ROOT is its root, BOOT_MS the time to its default target.
#                             False when it does not get there in time; BOOT_LOG then says more.
#   end_boot                  powers the container off and removes the overlay

# shellcheck source=server-tools/lib/nspawn.sh
. "$SOURCE_DIR/server-tools/lib/nspawn.sh"

BOOT_ROOT=
BOOT_MS=
BOOT_LOG=
BOOT_PID=

# The container reports that it is up by a file in its own root: neither a bus nor machined is needed outside.
boot_units() {
    local root=$1
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    cat >"$root/etc/systemd/system/case-ready.service" <<'END'
[Unit]
DefaultDependencies=no
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'date +%%s%%3N >/ready.new; systemctl list-units --failed --no-legend >/failed-units; systemctl is-active ssh nginx rsyslog cron >/services; mv /ready.new /ready'
END
    ln -sf ../case-ready.service "$root/etc/systemd/system/multi-user.target.wants/"
}

ready_or_gone() {
    [ -e "$BOOT_ROOT/ready" ] || is_gone "$BOOT_PID"
}

boot_tree() {
    local tree=$1 seconds=$2 at=$TMP/boot begin
    require systemd-nspawn
    BOOT_LOG=$TMP/boot.log
    mkdir -p "$at/tmpfs"
    mount -t tmpfs -o mode=755 tmpfs "$at/tmpfs"
    on_exit end_boot
    mkdir -p "$at/tmpfs/upper" "$at/tmpfs/work" "$at/root"
    mount -t overlay -o "lowerdir=$tree,upperdir=$at/tmpfs/upper,workdir=$at/tmpfs/work" overlay \
        "$at/root"
    BOOT_ROOT=$at/root
    boot_units "$BOOT_ROOT"
    begin=$(now_ms)
    nspawn_start "$BOOT_ROOT" "case-$$" "$BOOT_LOG" --keep-unit
    BOOT_PID=$NSPAWN_PID
    wait_until "$seconds" ready_or_gone || return 1
    [ -e "$BOOT_ROOT/ready" ] || return 1
    BOOT_MS=$(($(cat "$BOOT_ROOT/ready") - begin))
}

end_boot() {
    [ -n "$BOOT_ROOT" ] || return 0
    # SIGRTMIN+4 asks the container's systemd to power off; nspawn passes it on for SIGTERM.
    if ! is_gone "$BOOT_PID"; then
        kill -TERM "$BOOT_PID"
        wait_until 30 is_gone "$BOOT_PID" || nspawn_kill "$BOOT_PID"
    fi
    wait "$BOOT_PID" 2>/dev/null || true
    umount "$BOOT_ROOT" 2>/dev/null || umount -l "$BOOT_ROOT"
    umount "$TMP/boot/tmpfs" 2>/dev/null || umount -l "$TMP/boot/tmpfs"
    BOOT_ROOT=
}
