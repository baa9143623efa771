# shellcheck shell=bash disable=SC2034 # set here, used by who sources this
# nspawn.sh: starts and ends systemd-nspawn with a whole system in it. Sourced by container.sh, and by tests and
# measurements of such boots. Has no state but NSPAWN_PID.
#
#   nspawn_start ROOT MACHINE LOG [ARGUMENT...]   boots the system in ROOT as NSPAWN_PID; it and the system print to LOG
#   nspawn_kill PID                               ends it and every process in it, at once

NSPAWN_PID=

nspawn_start() {
    local root=$1 machine=$2 log=$3
    shift 3
    # A session of its own: systemd-nspawn must not take the terminal, nor get the terminal's signals.
    setsid systemd-nspawn --quiet --boot --directory "$root" --private-network --register=no \
        --resolv-conf=off --timezone=off --link-journal=no --console=pipe --machine="$machine" "$@" \
        </dev/null >"$log" 2>&1 &
    NSPAWN_PID=$!
}

# The container's init takes all its processes along, and systemd-nspawn then cleans up after itself. Without a
# systemd-nspawn to watch over it the system would run on, and hold its mounts and devices for ever.
nspawn_kill() {
    local init tries
    for ((tries = 0; tries < 200; tries++)); do
        kill -0 "$1" 2>/dev/null || break
        # Each time: init may only just be starting.
        for init in $(pgrep -P "$1" || true); do
            kill -KILL "$init" 2>/dev/null || true
        done
        sleep 0.05
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}
