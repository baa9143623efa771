# shellcheck shell=bash disable=SC2034
# A static nginx of the case's own: own configuration, prefix and port on the loopback, one process,
# an access log that access-log.py reads. Several can run; each has a name.
#
#   start_nginx NAME DIRECTORY   serves DIRECTORY; started again, NAME keeps its port
#   stop_nginx NAME              like a server that goes away (SIGKILL, no goodbye)
#   ${NGINX_URL[NAME]} ${NGINX_LOG[NAME]} ${NGINX_PID[NAME]}
#
# NGINX_SERVER holds directives for the server block, for example "limit_rate 512k;" (the first second of each request is
# not limited).

# lab_free_port. Not again where a test already has a network of lab.sh.
# shellcheck source=server-tools/lib/lab.sh
declare -F lab_free_port >/dev/null || . "$SOURCE_DIR/server-tools/lib/lab.sh"

declare -A NGINX_PORT NGINX_PID NGINX_URL NGINX_LOG
NGINX_SERVER=${NGINX_SERVER:-}
NGINX_ADDRESS=${NGINX_ADDRESS:-127.0.0.1}
NGINX_IN=() # what runs nginx elsewhere (network.sh)

# nginx_head DIR: a configuration up to the http block's directives beside the log of requests. The probe of start_nginx
# does not belong to the case, and its line may come late: it is not logged.
nginx_head() {
    local dir=$1
    cat <<END
daemon off;
master_process off;
pid $dir/nginx.pid;
error_log $dir/error.log warn;
events { worker_connections 512; }
http {
    log_format requests '\$request_method\t\$uri\t\$status\t\$body_bytes_sent\t\$http_range\t\$connection\t\$request_time';
    map \$request_uri \$is_a_request {
        /nothing-here 0;
        default 1;
    }
    access_log $dir/access.log requests if=\$is_a_request;
    client_body_temp_path $dir/tmp;
    proxy_temp_path $dir/tmp;
    fastcgi_temp_path $dir/tmp;
    uwsgi_temp_path $dir/tmp;
    scgi_temp_path $dir/tmp;
    default_type application/octet-stream;
    sendfile on;
END
}

nginx_configuration() {
    local dir=$1 root=$2 port=$3
    nginx_head "$dir"
    cat <<END
    keepalive_requests 100000;
    server {
        listen $NGINX_ADDRESS:$port;
        root $root;
        $NGINX_SERVER
    }
}
END
}

nginx_answers() {
    curl -s -o /dev/null --max-time 1 "http://$NGINX_ADDRESS:$1/nothing-here"
}

start_nginx() {
    local name=$1 root=$2 dir=$TMP/nginx-$1 port tries
    require nginx curl
    mkdir -p "$dir/tmp"
    # Not once nginx runs: a process that waits for it may have its answer by then.
    : >"$dir/access.log"
    for tries in 1 2 3 4 5 6 7 8; do
        port=${NGINX_PORT[$name]:-$(lab_free_port)}
        nginx_configuration "$dir" "$root" "$port" >"$dir/nginx.conf"
        ${NGINX_IN[@]+"${NGINX_IN[@]}"} nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/error.log" >"$dir/start.log" 2>&1 &
        NGINX_PID[$name]=$!
        wait_until 5 nginx_up_or_gone "$port" "${NGINX_PID[$name]}" || true
        if ! is_gone "${NGINX_PID[$name]}"; then
            NGINX_PORT[$name]=$port
            NGINX_URL[$name]=http://$NGINX_ADDRESS:$port
            NGINX_LOG[$name]=$dir/access.log
            on_exit end_process "${NGINX_PID[$name]}"
            return 0
        fi
        sleep 0.2
    done
    cat "$dir/start.log" "$dir/error.log" >&2
    die "nginx does not start (port $port, $tries tries)"
}

nginx_up_or_gone() {
    is_gone "$2" || nginx_answers "$1"
}

stop_nginx() {
    kill -CONT "${NGINX_PID[$1]}" 2>/dev/null || true
    kill -KILL "${NGINX_PID[$1]}" 2>/dev/null || true
    wait "${NGINX_PID[$1]}" 2>/dev/null || true
}

# Forgets the requests so far. nginx appends, so the file is emptied, not replaced.
forget_requests() {
    : >"${NGINX_LOG[$1]}"
}

# requests NAME FILTER: the output of jq FILTER on the sums that access-log.py makes of the access log.
requests() {
    "$LIB_DIR/access-log.py" "${NGINX_LOG[$1]}" | jq -r "$2"
}
