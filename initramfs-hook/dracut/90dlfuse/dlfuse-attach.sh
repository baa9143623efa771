#!/bin/sh
# dlfuse-attach.sh: sourced by dracut's main loop, twice a second while there is no root yet.

. /usr/lib/dlfuse/dlfuse-dracut.sh

# dracut counts its turns of half a second in main_loop and gives up by itself. Setting main_loop to 0 starts the count
# again. That is done always, unless the administrator gave rd.retry= and no rd.dlfuse.timeout=.
dlfuse_keep_trying() {
    # shellcheck disable=SC2034 # dracut's
    [ -z "$(dlfuse_option timeout)" ] && dlfuse_arg rd.retry >/dev/null || main_loop=0
}

if [ ! -e "$DLFUSE_ATTACHED" ] && _url=$(dlfuse_url); then
    # For network modules that run no handler, and for supervisors that died: an address is enough to start, and the
    # rest is retried.
    if dlfuse_has_address; then
        dlfuse_start "$_url"
    fi
    dlfuse_keep_trying
    dlfuse_wait "$_url"
fi
unset _url
