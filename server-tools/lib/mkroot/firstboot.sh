#!/bin/sh
# firstboot BASE: fetches BASE/HOSTNAME.sh and runs it. Where the image has trusted keys, one of them must have
# signed the script: BASE/HOSTNAME.sh.sums lies beside it (dlfuse-chunker sign --sums). After a failed script or
# download, the next start of the unit tries again.
set -eu

# Tests use other places.
keys=${DLFUSE_KEYS:-/etc/dlfuse/keys}
state=${DLFUSE_FIRSTBOOT_STATE:-/var/lib/dlfuse}
# The download waits for a mirror that is away for a moment.
options=timeout=${DLFUSE_FIRSTBOOT_TIMEOUT:-300}

name=$(uname -n)
case $name in
'' | localhost | '(none)' | [!A-Za-z0-9]* | *[!A-Za-z0-9.-]*)
    echo "firstboot: this machine's host name is '$name': no script has that name" >&2
    exit 1
    ;;
esac
# The directory says that there are keys: dlfuse refuses an empty one.
[ ! -d "$keys" ] || options=$options,keys=$keys

umask 077
mkdir -p "$state"
dlfuse fetch -q -o "$options" "$1/$name.sh" "$state/firstboot.sh"
# The script's files are for other users too, unless it says otherwise.
umask 022
echo "firstboot: running $1/$name.sh"
sh "$state/firstboot.sh" || {
    echo "firstboot: $1/$name.sh fails with status $?" >&2
    exit 1
}
: >"$state/firstboot.done"
