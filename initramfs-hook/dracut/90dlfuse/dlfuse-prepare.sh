#!/bin/sh
# dlfuse-prepare.sh: what the daemon needs, done early, while the network is still coming up.

. /usr/lib/dlfuse/dlfuse-dracut.sh

if dlfuse_url >/dev/null; then
    dlfuse_prepare
    # No ip= means DHCP, as with dracut's other network modules. networkd takes the first file that fits.
    if [ -x /usr/lib/systemd/systemd-networkd ]; then
        mkdir -p /run/systemd/network
        printf '[Match]\nType=ether\nKind=!*\n[Network]\nDHCP=yes\n' >/run/systemd/network/zzzz-dlfuse.network
    fi
fi
