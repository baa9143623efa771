#!/bin/sh
# dlfuse-attach.sh: sourced by dracut's main loop, twice a second while there is no root yet.

. /usr/lib/dlfuse/dlfuse-dracut.sh

# How long to wait for the image: rd.dlfuse.timeout= in seconds (0: for ever), otherwise dracut's own rd.retry=.
# dracut counts in main_loop, half seconds, and gives up by itself; it starts again from 0 when we say so.
dlfuse_wait() {
    local url="$1" timeout now started said
    read -r now _ </proc/uptime
    now=${now%.*}
    mkdir -p "$DLFUSE_STATE"
    [ -s "$DLFUSE_STATE/wait" ] || echo "$now $now" >"$DLFUSE_STATE/wait"
    read -r started said <"$DLFUSE_STATE/wait"
    if [ $((now - said)) -ge 10 ]; then
        dlfuse_log 4 "still waiting for $url after $((now - started)) s"
        echo "$started $now" >"$DLFUSE_STATE/wait"
    fi
    timeout=$(dlfuse_arg rd.dlfuse.timeout) || return 0
    # shellcheck disable=SC2034 # dracut's
    main_loop=0
    if [ "$timeout" != 0 ] && [ $((now - started)) -ge "$timeout" ]; then
        emergency_shell "dlfuse: no image from $url within $timeout s (rd.dlfuse.timeout)"
    fi
}

if [ ! -e "$DLFUSE_ATTACHED" ] && _url=$(dlfuse_url); then
    # Network modules that run no handler, and daemons that died: an address is enough to start, the daemon retries.
    if dlfuse_has_address; then
        dlfuse_start "$_url"
    fi
    dlfuse_attach || dlfuse_wait "$_url"
fi
unset _url
