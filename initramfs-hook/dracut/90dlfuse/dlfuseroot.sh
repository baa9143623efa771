#!/bin/sh
# dlfuseroot INTERFACE NETROOT NEWROOT: called by /sbin/netroot for each interface that has come up.

. /usr/lib/dlfuse/dlfuse-dracut.sh

url=${2#dlfuse:}
[ -n "$url" ] || exit 1
dlfuse_start "$url" || exit 1

# The image is usually there at once. If it is not, this must return, because other interfaces come up only
# after that: dracut's main loop goes on waiting.
dlfuse_await 2 || :
exit 0
