#!/bin/sh
# dlfuse-mount.sh: mounts the root where the initramfs lacks systemd; with systemd the generator's unit does it.

. /usr/lib/dlfuse/dlfuse-dracut.sh

if [ -e "$DLFUSE_ATTACHED" ] && ! ismounted "$NEWROOT"; then
    dlfuse_mount_root "$NEWROOT"
fi
