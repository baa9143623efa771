#!/bin/sh
# Updates the Debian tree in $1 as its administrator would, but for the kernel. What dlfuse-mkroot
# --customize runs for chunker-images.sh; MIRROR in the environment. The chroot is this script again.
set -eu

if [ "$1" = --inside ]; then
    export DEBIAN_FRONTEND=noninteractive INITRD=No
    dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 'linux-image-*' | awk '$1 == "ii" {print $2}' |
        xargs apt-mark hold >/dev/null
    apt-get -qq update
    apt-get -qq -o Dpkg::Options::=--force-confold upgrade >/dev/null
    apt-get -qq clean
    apt-mark showhold | xargs apt-mark unhold >/dev/null
    exit
fi

tree=$1
cat >"$tree/etc/apt/sources.list" <<END
deb $MIRROR/debian bookworm main
deb $MIRROR/debian bookworm-updates main
deb $MIRROR/debian-security bookworm-security main
END
cp /etc/resolv.conf "$tree/etc/resolv.conf"
cp "$0" "$tree/dlfuse-update"
# shellcheck disable=SC2016 # $1 is the inner shell's
unshare --mount sh -euc '
    mount --make-rprivate /
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    exec chroot "$1" sh /dlfuse-update --inside' sh "$tree" </dev/null >&2
rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/*.bin "$tree/dlfuse-update"
find "$tree/var/log" -type f -exec truncate -s 0 {} +
: >"$tree/etc/resolv.conf"
