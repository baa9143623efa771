#!/bin/sh
# dlfuse-prepare.sh: prepares the daemon's start early, while the network is still coming up.

. /usr/lib/dlfuse/dlfuse-dracut.sh

# systemd-networkd calls no network root handler, and jobs of initqueue/settled wait for all devices of the machine.
# This function runs in the background beside them. It sees the first address, starts the daemon, and has dracut's
# main loop attach the image as soon as it can.
dlfuse_watch_address() {
    until dlfuse_has_address; do
        sleep 0.1
    done
    dlfuse_start "$1"
    /sbin/initqueue --onetime --unique --name dlfuse /sbin/dlfuseroot any "dlfuse:$1"
}

if _url=$(dlfuse_url); then
    dlfuse_prepare
    # No ip= means DHCP, as with dracut's other network modules.
    if [ -x /usr/lib/systemd/systemd-networkd ]; then
        # Otherwise it may run beside this hook.
        systemctl start systemd-network-generator.service 2>/dev/null || :
        dlfuse_default_dhcp
        # The unit of this hook ends only its shell, not the processes that the shell has started.
        dlfuse_watch_address "$_url" </dev/null >/dev/null 2>&1 &
    fi
fi
unset _url
