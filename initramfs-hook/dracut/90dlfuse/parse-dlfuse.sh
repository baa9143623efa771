#!/bin/sh
# parse-dlfuse.sh: tells dracut that root=dlfuse:URL is a network root that we can handle.

# shellcheck disable=SC2154 # variables that dracut sets

. /usr/lib/dlfuse/dlfuse-dracut.sh

if _url=$(dlfuse_url); then
    case $_url in
    http://?* | https://?*) ;;
    *) die "root=dlfuse:$_url: http:// or https:// must follow root=dlfuse:" ;;
    esac
    # These three are read by dracut after this hook: /sbin/netroot runs "dlfuseroot" for a netroot "dlfuse:…".
    # shellcheck disable=SC2034
    {
        netroot=dlfuse:$_url
        root=dlfuse
        rootok=1
    }
    echo "[ -e $DLFUSE_ATTACHED ]" >"$hookdir/initqueue/finished/dlfuse.sh"
fi
unset _url
