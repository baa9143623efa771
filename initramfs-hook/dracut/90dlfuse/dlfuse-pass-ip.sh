#!/bin/sh
# dlfuse-pass-ip.sh: run by dlfuse-ip.service; without systemd in the initramfs, an early cmdline hook.

. /usr/lib/dlfuse/dlfuse-dracut.sh
. /usr/lib/dlfuse/dlfuse-ip.sh

if dlfuse_url >/dev/null; then
    dlfuse_pass_on_ip
fi
