# shellcheck shell=bash disable=SC2034
# A cache tier for bench/fleet: nginx between the nodes and the mirror of lab.sh, in a network namespace of
# its own. Sourced after lab.sh.
#
#   make_cache UPLINK_RATE     after make_mirror; once
#   link_cache RATE RTT_MS     from now on: CACHE_URL is how nodes reach it
#   empty_cache                it has fetched nothing yet
#
#   node --- veth --- tbf | delay-proxy --- lo --- nginx --- veth --- tbf | the mirror's nginx
#                           the cache's namespace          its uplink     the mirror's namespace
#
# Objects are immutable, so what is there is right; only manifests are asked for each time. Slices of
# CACHE_SLICE, one request for each however many nodes wait (proxy_cache_lock). What it keeps lies in a
# tmpfs. The uplink has no delay of its own.

CACHE_SLICE=${CACHE_SLICE:-1m}
CACHE_URL=
CACHE_NETWORK=
CACHE_ADDRESS=
CACHE_PORT=
CACHE_PID=
CACHE_RATE=

make_cache() {
    local subnet
    subnet=10.$((RANDOM % 200 + 20)).$((RANDOM % 250))
    CACHE_NETWORK=dlc-$$
    CACHE_ADDRESS=$subnet.2
    CACHE_PORT=$((20000 + RANDOM % 12000))
    CACHE_DIR=$TMP/cache
    mkdir "$CACHE_DIR"
    mount -t tmpfs -o size=100%,mode=755 tmpfs "$CACHE_DIR"
    on_exit umount_quietly "$CACHE_DIR"
    ip netns add "$CACHE_NETWORK"
    on_exit ip netns delete "$CACHE_NETWORK"
    ip link add "dlc$$" type veth peer name nodes netns "$CACHE_NETWORK"
    ip address add "$subnet.1/30" dev "dlc$$"
    ip link set "dlc$$" up
    ip -n "$CACHE_NETWORK" address add "$CACHE_ADDRESS/30" dev nodes
    ip -n "$CACHE_NETWORK" link set lo up
    ip -n "$CACHE_NETWORK" link set nodes up
    # The uplink ends in the mirror's namespace; nginx there listens at the address that nodes use.
    ip -n "$NETWORK" link add downlink type veth peer name uplink netns "$CACHE_NETWORK"
    ip -n "$NETWORK" address add "$subnet.5/30" dev downlink
    ip -n "$NETWORK" link set downlink up
    ip -n "$CACHE_NETWORK" address add "$subnet.6/30" dev uplink
    ip -n "$CACHE_NETWORK" link set uplink up
    ip -n "$CACHE_NETWORK" route add "$NGINX_ADDRESS/32" via "$subnet.5"
    shape_cache "$NETWORK" downlink "$1"
}

# The lab's own shape, for another namespace and device.
shape_cache() {
    local NETWORK=$1 NETWORK_DEVICE=$2
    shape_network "$3" || die "tc refuses the rate $3"
}

cache_configuration() {
    cat <<END
daemon off;
master_process off;
pid $CACHE_DIR/nginx.pid;
error_log $CACHE_DIR/error.log warn;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path $CACHE_DIR/tmp;
    proxy_temp_path $CACHE_DIR/tmp;
    fastcgi_temp_path $CACHE_DIR/tmp;
    uwsgi_temp_path $CACHE_DIR/tmp;
    scgi_temp_path $CACHE_DIR/tmp;
    sendfile on;
    keepalive_requests 100000;
    proxy_cache_path $CACHE_DIR/kept levels=1:2 keys_zone=store:16m max_size=16g inactive=1d use_temp_path=off;
    upstream mirror { server ${NGINX_URL[mirror]#http://}; keepalive 16; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {
        listen $CACHE_ADDRESS:$CACHE_PORT;
        location ~ [.]dlfuse\$ { proxy_pass http://mirror; }
        location / {
            slice $CACHE_SLICE;
            proxy_set_header Range \$slice_range;
            proxy_cache store;
            proxy_cache_key \$uri\$slice_range;
            proxy_cache_valid 200 206 30d;
            proxy_cache_lock on;
            proxy_cache_lock_age 1h;
            proxy_cache_lock_timeout 1h;
            proxy_pass http://mirror;
        }
    }
}
END
}

empty_cache() {
    [ -z "$CACHE_PID" ] || end_process "$CACHE_PID"
    rm -rf "${CACHE_DIR:?}"/*
    mkdir "$CACHE_DIR/tmp"
    cache_configuration >"$CACHE_DIR/nginx.conf"
    nsenter "--net=/run/netns/$CACHE_NETWORK" nginx -p "$CACHE_DIR" -c "$CACHE_DIR/nginx.conf" \
        -e "$CACHE_DIR/error.log" 2>"$TMP/cache.log" &
    CACHE_PID=$!
    on_exit end_process "$CACHE_PID"
    wait_until 5 cache_up_or_gone || true
    ! is_gone "$CACHE_PID" || die "the cache's nginx does not start: $(cat "$TMP/cache.log" "$CACHE_DIR/error.log")"
}

cache_up_or_gone() {
    is_gone "$CACHE_PID" || nsenter "--net=/run/netns/$CACHE_NETWORK" bash -c ": </dev/tcp/$CACHE_ADDRESS/$CACHE_PORT" 2>/dev/null
}

# start_proxy starts one wherever these two say.
link_cache() {
    local NETWORK_IN=(nsenter "--net=/run/netns/$CACHE_NETWORK") NGINX_ADDRESS=$CACHE_ADDRESS
    local rate=$1 rtt=$2 backend=$CACHE_ADDRESS:$CACHE_PORT
    [ "$rate" = "$CACHE_RATE" ] || shape_cache "$CACHE_NETWORK" nodes "$rate"
    CACHE_RATE=$rate
    [ -n "${PROXY_PORT["$rtt $backend"]:-}" ] || start_proxy "$rtt" "$backend"
    CACHE_URL=http://$CACHE_ADDRESS:${PROXY_PORT["$rtt $backend"]}
}
