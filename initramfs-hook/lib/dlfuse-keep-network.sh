# shellcheck shell=sh
# dlfuse-keep-network.sh [ROOT]: systemd-networkd shall keep the addresses that it finds, on whatever link: the root comes through
# one of them. Run by the initramfs for the system at ROOT, and in that, as /run/dlfuse-boot/keep-network.sh, each time before
# systemd-networkd starts: generators and cloud-init have made their files by then.
#
# It gives each file for a link a drop-in in /run. Those that netplan and cloud-init would make for the links that are here have
# theirs already, so that "netplan apply" in a running machine keeps the address, too.
umask 022
AT=/run/systemd/network

# keep NAME.network
keep() {
    mkdir -p "$AT/$1.d"
    printf '[Network]\nKeepConfiguration=yes\n' >"$AT/$1.d/90-dlfuse.conf"
}

for file in "${1-}"/etc/systemd/network/*.network "${1-}"/usr/local/lib/systemd/network/*.network \
    "${1-}"/usr/lib/systemd/network/*.network "${1-}"/lib/systemd/network/*.network "$AT"/*.network; do
    # A link may lead to where only the booted system has something.
    if [ -e "$file" ] || [ -L "$file" ]; then
        keep "${file##*/}"
    fi
done
for link in /sys/class/net/*; do
    link=${link##*/}
    [ "$link" != lo ] || continue
    keep "10-netplan-$link.network"
    keep "10-cloud-init-$link.network"
done
