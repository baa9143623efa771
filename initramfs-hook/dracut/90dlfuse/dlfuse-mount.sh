#!/bin/sh
# dlfuse-mount.sh: mounts the root where systemd is not in the initramfs; there the generator's unit does it.

. /usr/lib/dlfuse/dlfuse-dracut.sh

if [ -e "$DLFUSE_ATTACHED" ] && ! ismounted "$NEWROOT"; then
    dlfuse_mount_root "$NEWROOT"
fi
