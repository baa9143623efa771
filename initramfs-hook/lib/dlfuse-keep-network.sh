# shellcheck shell=sh
# dlfuse-keep-network.sh [ROOT]: systemd-networkd shall keep the addresses that it finds, on whatever link: the root comes through
# one of them. Run by the initramfs for the system at ROOT, and in that, as /run/dlfuse-boot/keep-network.sh, each time before
# systemd-networkd starts: generators and cloud-init have made their files by then.
#
# It gives each file for a link a drop-in in /run. Those that netplan and cloud-init would make for the links that are here have
# theirs already, so that "netplan apply" in a running machine keeps the address, too.
umask 022
AT=/run/systemd/network
root=${1-}

# The directories of the drop-ins: in a machine that boots, one program that makes them all is better than one for each.
set --
for file in "$root"/etc/systemd/network/*.network "$root"/usr/local/lib/systemd/network/*.network \
    "$root"/usr/lib/systemd/network/*.network "$root"/lib/systemd/network/*.network "$AT"/*.network; do
    # A link may lead to where only the booted system has something.
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
