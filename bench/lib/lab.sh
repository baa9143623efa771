# shellcheck shell=bash disable=SC2034
# The lab of the benches: a mirror at the other end of a network of a given bandwidth and delay.
# Sourced after case.sh, nginx.sh and network.sh of tests/lib.
#
#   make_mirror DIRECTORY       nginx serves DIRECTORY in a network namespace of its own
#   link_mirror RATE RTT_MS     from now on: MIRROR_URL is how to reach it
#   count_requests              MIRROR_REQUESTS: requests that nginx has read until now, those for
#                               the count not counted
#   proxy_cpu_ms RTT_MS         CPU time of that delay's proxy until now
#   floor_payload RATE          bytes of payload that TCP gets out of RATE in a second
#
#     node (the machine's own network) --- veth --- tbf | delay-proxy --- lo --- nginx
#
# tbf shapes what leaves the namespace, so bytes are counted once; what nodes send is not shaped.
# Each delay has a proxy of its own that lives as long as the lab: changing the link touches
# neither nginx nor the page cache. The proxy has no slow start (see delay-proxy.c).

MIRROR_URL=
MIRROR_RATE=
MIRROR_RTT=
MIRROR_REQUESTS=0
MIRROR_ASKED=0
declare -A PROXY_PID PROXY_PORT

make_mirror() {
    require jq
    [ -x "$TEST_BIN_DIR/delay-proxy" ] || die "$TEST_BIN_DIR/delay-proxy is not built"
    make_network unlimited
    start_mirror "$1"
}

start_mirror() {
    NGINX_SERVER="location = /nginx-status { access_log off; stub_status; } $NGINX_SERVER"
    start_nginx mirror "$1"
}

proxy_up_or_gone() {
    is_gone "$1" || "${NETWORK_IN[@]}" bash -c ": </dev/tcp/$NGINX_ADDRESS/$2" 2>/dev/null
}

# start_proxy RTT_MS [BACKEND]: PROXY_PORT[RTT_MS BACKEND] then leads to BACKEND from that far away.
start_proxy() {
    local rtt=$1 backend=${2:-$NGINX_ADDRESS:${NGINX_PORT[mirror]}} key="$1${2:+ $2}" port tries pid
    for ((tries = 0; tries < 8; tries++)); do
        port=$((20000 + RANDOM % 12000))
        "${NETWORK_IN[@]}" "$TEST_BIN_DIR/delay-proxy" --rtt "$rtt" "$NGINX_ADDRESS:$port" \
            "$backend" 2>"$TMP/delay-proxy.log" &
        pid=$!
        wait_until 5 proxy_up_or_gone "$pid" "$port" || true
        if ! is_gone "$pid"; then
            PROXY_PID[$key]=$pid
            PROXY_PORT[$key]=$port
            on_exit end_process "$pid"
            return 0
        fi
    done
    die "delay-proxy does not start: $(cat "$TMP/delay-proxy.log")"
}

link_mirror() {
    local rate=$1 rtt=$2
    [ "$rate" = "$MIRROR_RATE" ] || shape_network "$rate" || die "tc refuses the rate $rate"
    [ -n "${PROXY_PID[$rtt]:-}" ] || start_proxy "$rtt"
    MIRROR_RATE=$rate
    MIRROR_RTT=$rtt
    MIRROR_URL=http://$NGINX_ADDRESS:${PROXY_PORT[$rtt]}
}

# The number in the third line of nginx's status, less the questions for it.
count_requests() {
    local all
    MIRROR_ASKED=$((MIRROR_ASKED + 1))
    all=$("${NETWORK_IN[@]}" curl -s "${NGINX_URL[mirror]}/nginx-status" | awk 'NR == 3 {print $3}')
    MIRROR_REQUESTS=$((all - MIRROR_ASKED))
}

proxy_cpu_ms() {
    awk '{printf "%d\n", $1 / 1e6}' "/proc/${PROXY_PID[$1]}/schedstat"
}

# Frames of 1514 bytes, of which 1448 are payload; tbf counts the 14 of Ethernet too.
floor_payload() {
    case $1 in
    *gbit) echo $((${1%gbit} * 125000000 * 1448 / 1514)) ;;
    *mbit) echo $((${1%mbit} * 125000 * 1448 / 1514)) ;;
    esac
}
