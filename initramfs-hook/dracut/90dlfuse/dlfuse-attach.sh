#!/bin/sh
# dlfuse-attach.sh: sourced by dracut's main loop, twice a second while there is no root yet.

. /usr/lib/dlfuse/dlfuse-dracut.sh

# dracut counts its turns in main_loop, half seconds, and gives up by itself; it starts again from 0 when we say so: always,
# unless somebody gave an rd.retry= and no rd.dlfuse.timeout=.
dlfuse_keep_trying() {
    # shellcheck disable=SC2034 # dracut's
    [ -z "$(dlfuse_option timeout)" ] && dlfuse_arg rd.retry >/dev/null || main_loop=0
}

if [ ! -e "$DLFUSE_ATTACHED" ] && _url=$(dlfuse_url); then
    # Network modules that run no handler, and supervisors that died: an address is enough to start, the rest is tried
    # again and again.
    if dlfuse_has_address; then
        dlfuse_start "$_url"
    fi
    dlfuse_keep_trying
    dlfuse_wait "$_url"
fi
unset _url
