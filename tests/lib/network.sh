# shellcheck shell=bash disable=SC2034
# A slow network: a namespace with a veth pair, shaped by tbf on the way from the server to the node.
#
#   make_network RATE      for example 20mbit, or unlimited; nginx.sh then starts its servers in there
#   shape_network RATE     another rate from now on
#
# NETWORK_IN runs a command at the server's end. Needs root. Only one network a case.

NETWORK=
NETWORK_IN=()
NETWORK_DEVICE=server # what is shaped, in the namespace

make_network() {
    local rate=$1 subnet
    require_root
    require ip tc nsenter
    NETWORK=dlf-$$
    subnet=10.$((RANDOM % 200 + 20)).$((RANDOM % 250))
    ip netns add "$NETWORK" || skip "network namespaces do not work here"
    on_exit ip netns delete "$NETWORK"
    ip link add "dlf$$" type veth peer name server netns "$NETWORK"
    ip address add "$subnet.1/30" dev "dlf$$"
    ip link set "dlf$$" up
    ip -n "$NETWORK" address add "$subnet.2/30" dev server
    ip -n "$NETWORK" link set lo up
    ip -n "$NETWORK" link set server up
    shape_network "$rate"
    NGINX_ADDRESS=$subnet.2
    # Not ip netns exec: a mount namespace of its own would hold every mount that is there already,
    # and it hides /sys/fs/cgroup.
    NETWORK_IN=(nsenter "--net=/run/netns/$NETWORK")
    NGINX_IN=("${NETWORK_IN[@]}")
}

shape_network() {
    local rate=$1 burst=64kb
    if [ "$rate" = unlimited ]; then
        tc -n "$NETWORK" qdisc delete dev "$NETWORK_DEVICE" root 2>/dev/null || true
        return
    fi
    # A timer that fires 1 ms late must not cost bandwidth: at a gigabit that is 125 kB.
    [[ $rate != *gbit ]] || burst=256kb
    # The queue holds 50 ms, as a switch's port would.
    tc -n "$NETWORK" qdisc replace dev "$NETWORK_DEVICE" root tbf rate "$rate" burst "$burst" latency 50ms
}
