# shellcheck shell=bash disable=SC2034
# Starts faulty-server.py; see there for the faults.
#
#   start_faulty NAME DIRECTORY FAULT [ARGUMENT...]
#   ${FAULTY_URL[NAME]} ${FAULTY_LOG[NAME]} ${FAULTY_PID[NAME]}

declare -A FAULTY_URL FAULTY_LOG FAULTY_PID

start_faulty() {
    local name=$1 root=$2 fault=$3
    local port_file=$TMP/faulty-$name.port
    shift 3
    require python3
    rm -f "$port_file"
    FAULTY_LOG[$name]=$TMP/faulty-$name.log
    : >"${FAULTY_LOG[$name]}"
    python3 "$LIB_DIR/faulty-server.py" --root "$root" --port-file "$port_file" \
        --log "${FAULTY_LOG[$name]}" --fault "$fault" "$@" &
    FAULTY_PID[$name]=$!
    on_exit end_process "${FAULTY_PID[$name]}"
    wait_until 20 test -s "$port_file" || die "faulty-server.py does not start"
    FAULTY_URL[$name]=http://127.0.0.1:$(cat "$port_file")
}

stop_faulty() {
    end_process "${FAULTY_PID[$1]}"
}

faulty_requests() {
    "$LIB_DIR/access-log.py" "${FAULTY_LOG[$1]}" | jq -r "$2"
}
