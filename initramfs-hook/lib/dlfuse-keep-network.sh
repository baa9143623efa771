# shellcheck shell=sh
# dlfuse-keep-network.sh [ROOT]: makes systemd-networkd keep the addresses that it finds, on every link: the root comes through
# one of them. The initramfs runs it for the system at ROOT. The booted system runs it as /run/dlfuse-boot/keep-network.sh, each
# time before systemd-networkd starts: generators and cloud-init have made their files by then.
#
# It gives each file for a link a drop-in in /run. The files that netplan and cloud-init would make for the present links get
# theirs in advance, so that "netplan apply" in a running machine keeps the address, too.
umask 022
AT=/run/systemd/network
root=${1-}

# The directories of the drop-ins. One program makes them all: a boot is faster than with one program for each.
set --
for file in "$root"/etc/systemd/network/*.network "$root"/usr/local/lib/systemd/network/*.network \
    "$root"/usr/lib/systemd/network/*.network "$root"/lib/systemd/network/*.network "$AT"/*.network; do
    # A link may lead to a file that only the booted system has.
    if [ -e "$file" ] || [ -L "$file" ]; then
        set -- "$@" "$AT/${file##*/}.d"
    fi
done
for link in /sys/class/net/*; do
    link=${link##*/}
    [ "$link" = lo ] || set -- "$@" "$AT/10-netplan-$link.network.d" "$AT/10-cloud-init-$link.network.d"
done

[ $# = 0 ] || mkdir -p "$@"
for directory in "$@"; do
    printf '[Network]\nKeepConfiguration=yes\n' >"$directory/90-dlfuse.conf"
done
