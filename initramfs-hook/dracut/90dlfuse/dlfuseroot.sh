#!/bin/sh
# dlfuseroot INTERFACE NETROOT NEWROOT: called by /sbin/netroot for each interface that has come up.

. /usr/lib/dlfuse/dlfuse-dracut.sh

url=${2#dlfuse:}
[ -n "$url" ] || exit 1
dlfuse_start "$url" || exit 1

# The image is usually there at once. If it is not, this must return, because other interfaces come up only
# after that: dracut's main loop goes on waiting.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ ! -e "$DLFUSE_ATTACHED" ] || exit 0
    sleep 0.1
done
exit 0
