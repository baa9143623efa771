#!/bin/sh
# dlfuse-generator.sh NORMAL EARLY LATE: writes the unit that mounts the root. The unit goes into the early
# directory, because systemd's own generator makes one from root= as well. It would take the URL for a device.

. /usr/lib/dlfuse/dlfuse-dracut.sh

[ -n "$2" ] || exit 1
dlfuse_url >/dev/null || exit 0

mkdir -p "$2/initrd-root-fs.target.requires"
{
    echo "[Unit]"
    echo "Documentation=man:dlfuse.cmdline(7)"
    echo "Before=initrd-root-fs.target"
    echo "After=dracut-initqueue.service dracut-pre-mount.service"
    echo "[Mount]"
    echo "Where=/sysroot"
    if [ "$(dlfuse_overlay_kind)" = tmpfs ]; then
        echo "What=dlfuse"
        echo "Type=overlay"
        echo "Options=$(dlfuse_overlay_options)"
    else
        echo "What=$DLFUSE_LOWER"
        echo "Type=none"
        echo "Options=bind"
    fi
} >"$2/sysroot.mount"
ln -sf ../sysroot.mount "$2/initrd-root-fs.target.requires/sysroot.mount"
