#!/bin/sh
# dlfuse-attach.sh: sourced by dracut's main loop, twice a second while there is no root yet.

. /usr/lib/dlfuse/dlfuse-dracut.sh

# dracut counts its turns in main_loop, half seconds, and gives up by itself; it starts again from 0 when we say so. A
# machine without a root has nothing better to do than to go on trying: it does, until rd.dlfuse.timeout= (in seconds;
# 0: for ever) or an rd.retry= that somebody gave.
#
# The emergency shell is for who asked for it, by rd.shell or rd.dlfuse.debug, once, when everything has failed.
dlfuse_wait() {
    local url="$1" timeout now started said
    now=$(dlfuse_uptime)
    mkdir -p "$DLFUSE_STATE"
    [ -s "$DLFUSE_STATE/wait" ] || echo "$now $now" >"$DLFUSE_STATE/wait"
    read -r started said <"$DLFUSE_STATE/wait"
    if [ $((now - said)) -ge 10 ]; then
        dlfuse_log 4 "still waiting for $url after $((now - started)) s"
        echo "$started $now" >"$DLFUSE_STATE/wait"
    fi
    timeout=$(dlfuse_arg rd.dlfuse.timeout) || timeout=''
    # shellcheck disable=SC2034 # dracut's
    [ -z "$timeout" ] && dlfuse_arg rd.retry >/dev/null || main_loop=0
    if [ "${timeout:-0}" != 0 ] && [ $((now - started)) -ge "$timeout" ]; then
        emergency_shell "dlfuse: no image from $url within $timeout s (rd.dlfuse.timeout)"
    elif [ -e "$DLFUSE_FAILED" ] && [ ! -e "$DLFUSE_STATE/shell" ] &&
        { dlfuse_flag rd.shell || dlfuse_flag rd.dlfuse.debug; }; then
        : >"$DLFUSE_STATE/shell"
        emergency_shell "dlfuse: nothing to boot from: $(cat "$DLFUSE_FAILED")"
    fi
}

if [ ! -e "$DLFUSE_ATTACHED" ] && _url=$(dlfuse_url); then
    # Network modules that run no handler, and supervisors that died: an address is enough to start, the rest is tried
    # again and again.
    if dlfuse_has_address; then
        dlfuse_start "$_url"
    fi
    dlfuse_wait "$_url"
fi
unset _url
