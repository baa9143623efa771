#!/bin/sh
# fake-init.sh: plays the part of initramfs-tools' init for the boot script, in the unpacked initramfs and by its shells,
# but not as PID 1 and without a network to configure. Prints "KEY VALUE" lines. ROOT is init's; NETWORK_AFTER seconds go by
# until there is an address.
export PATH=/sbin:/usr/sbin:/bin:/usr/bin
export quiet=y rootmnt=/root BOOT=local IP=dhcp DEVICE='' panic='' debug=''

. /scripts/functions
panic() {
    echo "panic $*"
    exit 1
}
configure_networking() {
    sleep "${NETWORK_AFTER:-0}"
    echo "IPV4DNS0='192.0.2.53'" >/run/net-eth0.conf
    echo "DNSDOMAIN='example.org'" >>/run/net-eth0.conf
    printf "IPV6DNS0='2001:db8::53'\nIPV6DNS1='::'\n" >/run/net6-eth0.conf
}

/scripts/init-top/dlfuse
[ ! -e /conf/param.conf ] || . /conf/param.conf
echo "boot $BOOT"
[ "$BOOT" = dlfuse ] || exit 0
. /scripts/local
. /scripts/nfs
# shellcheck disable=SC1090
. "/scripts/$BOOT"
mount_top
mount_premount
mountroot || exit 1
mount_bottom
nfs_bottom
local_bottom

echo "path $PATH"
[ ! -e /run/systemd/system ] || echo "systemd believed"
PATH=/usr/lib/dlfuse/bin:$PATH
echo "resolver $(cat /etc/resolv.conf)"
[ ! -e /run/dlfuse-boot/fallback ] || echo "fallback $(cat /run/dlfuse-boot/fallback)"
cp /root/random/large.bin /run/dlfuse-overlay/copy
