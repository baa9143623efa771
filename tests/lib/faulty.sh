# shellcheck shell=bash disable=SC2034
# Starts tests/faults/server.py, the server of scripted faults, in front of an nginx (nginx.sh) of
# DIRECTORY; see there for the rules. A RULE of one word is a fault for any request.
#
#   start_faulty NAME DIRECTORY RULE...
#   stop_faulty NAME
#   faulty_requests NAME FILTER    the output of jq FILTER on the sums that access-log.py makes of its log
#   ${FAULTY_URL[NAME]} ${FAULTY_LOG[NAME]} ${FAULTY_PID[NAME]}

declare -A FAULTY_URL FAULTY_LOG FAULTY_PID

start_faulty() {
    local name=$1 root=$2 behind=behind-$1 rule
    local port_file=$TMP/faulty-$name.port
    local -a rules=()
    shift 2
    require python3
    for rule in "$@"; do
        [[ $rule == *" "* ]] || rule="any $rule"
        rules+=(--rule "$rule")
    done
    start_nginx "$behind" "$root"
    rm -f "$port_file"
    FAULTY_LOG[$name]=$TMP/faulty-$name.log
    : >"${FAULTY_LOG[$name]}"
    python3 "$SOURCE_DIR/tests/faults/server.py" --origin "${NGINX_URL[$behind]}" \
        --port-file "$port_file" --log "${FAULTY_LOG[$name]}" "${rules[@]}" &
    FAULTY_PID[$name]=$!
    on_exit end_process "${FAULTY_PID[$name]}"
    wait_until 20 test -s "$port_file" || die "the server of faults does not start"
    FAULTY_URL[$name]=http://127.0.0.1:$(cat "$port_file")
}

stop_faulty() {
    end_process "${FAULTY_PID[$1]}"
    stop_nginx "behind-$1"
}

faulty_requests() {
    "$LIB_DIR/access-log.py" "${FAULTY_LOG[$1]}" | jq -r "$2"
}
