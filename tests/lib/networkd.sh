# shellcheck shell=bash disable=SC2034
# systemd-networkd of this machine, as in an initramfs or in a booted system: with a /run, a machine-id and cards of its own.
#
#   networkd_make          two cards, eth0 and eth1, each in a network with a DHCP server (10.9.0.0/24 and 10.9.1.0/24): dnsmasq
#   networkd_leases        the leases of the DHCP servers: lines of dnsmasq
#   networkd_run SCRIPT WORD...   dash runs SCRIPT there, with a new machine-id, then systemd-networkd until every card that it
#                          configures has an address, or for NETWORKD_SECONDS; prints CARD ADDRESS... lines and the default route
#
# Needs root. Only once a case.

NETWORKD_SECONDS=6
NETWORKD_SERVER=dlf-$$-s
NETWORKD_NODE=dlf-$$-n
NETWORKD=/usr/lib/systemd/systemd-networkd
[ -x $NETWORKD ] || NETWORKD=/lib/systemd/systemd-networkd

networkd_make() {
    local i
    require_root
    require ip nsenter unshare dnsmasq dash
    [ -x "$NETWORKD" ] || skip "systemd-networkd is missing"
    ip netns add "$NETWORKD_SERVER" || skip "network namespaces do not work here"
    on_exit ip netns delete "$NETWORKD_SERVER"
    ip netns add "$NETWORKD_NODE"
    on_exit ip netns delete "$NETWORKD_NODE"
    ip -n "$NETWORKD_SERVER" link set lo up
    for i in 0 1; do
        ip -n "$NETWORKD_SERVER" link add "s$i" type veth peer name "eth$i" netns "$NETWORKD_NODE"
        ip -n "$NETWORKD_SERVER" address add "10.9.$i.1/24" dev "s$i"
        ip -n "$NETWORKD_SERVER" link set "s$i" up
        ip -n "$NETWORKD_NODE" link set "eth$i" address "52:54:00:12:34:5$i"
    done
    nsenter "--net=/run/netns/$NETWORKD_SERVER" dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --port=0 --no-ping \
        --pid-file= --log-facility="$TMP/dnsmasq.log" --dhcp-leasefile="$TMP/dnsmasq.leases" \
        --dhcp-range=10.9.0.100,10.9.0.200,12h --dhcp-range=10.9.1.100,10.9.1.200,12h &
    on_exit end_process $!
}

networkd_leases() { awk '{ print $2, $3 }' "$TMP/dnsmasq.leases" | LC_ALL=C sort; }

# networkd_clear: the cards are as after the firmware.
networkd_clear() {
    local i
    for i in 0 1; do
        ip -n "$NETWORKD_NODE" address flush dev "eth$i"
        ip -n "$NETWORKD_NODE" link set "eth$i" down
    done
}

networkd_run() {
    local script=$1
    shift
    tr -d - </proc/sys/kernel/random/uuid >"$TMP/machine-id"
    # shellcheck disable=SC2016 # the inner shell's
    # /sys is of this network; udev has seen its cards.
    nsenter "--net=/run/netns/$NETWORKD_NODE" unshare --mount --propagation private --pid --fork --kill-child bash -euc '
        tmp=$1 networkd=$2 seconds=$3 script=$4
        shift 4
        mount -t tmpfs -o mode=755 tmpfs /run
        mount -t tmpfs -o mode=755 tmpfs /etc/systemd/network
        mount -t sysfs sysfs /sys
        mkdir -p /run/udev/data
        for link in /sys/class/net/*; do
            echo "I:1" >"/run/udev/data/n$(cat "$link/ifindex")"
        done
        mount --bind "$tmp/machine-id" /etc/machine-id
        mkdir -p /run/systemd/network /run/systemd/netif/leases /run/systemd/netif/links /run/systemd/netif/lldp
        chown -R systemd-network: /run/systemd/netif
        dash -euc "$script" dash "$@"
        # These cards are veth, which have a kind.
        sed -i "/^Kind=!/d" /run/systemd/network/*.network 2>/dev/null || :
        "$networkd" >"$tmp/networkd.log" 2>&1 &
        for ((i = 0; i < seconds * 5; i++)); do
            [ -z "$(ls /run/systemd/netif/leases)" ] || break
            sleep 0.2
        done
        sleep 2
        ip -4 -o address show scope global | awk "{ print \$2, \$4 }"
        ip -4 route show default | sed -E "s/^(default via [^ ]+ dev [^ ]+).*/\1/"
    ' bash "$TMP" "$NETWORKD" "$NETWORKD_SECONDS" "$script" "$@"
}
