# shellcheck shell=bash disable=SC2034
# A slow network: a namespace with a veth pair, shaped by tbf on the way from the server to the node.
#
#   make_network RATE     for example 20mbit; nginx.sh then starts its servers in there
#
# Needs root. Only one network a case.

NETWORK=

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
    # The queue holds 50 ms, as a switch's port would.
    tc -n "$NETWORK" qdisc add dev server root tbf rate "$rate" burst 64kb latency 50ms
    NGINX_ADDRESS=$subnet.2
    # Not ip netns exec: a mount namespace of its own would hold every mount that is there already.
    NGINX_IN=(nsenter "--net=/run/netns/$NETWORK")
}
