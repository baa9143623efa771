#!/bin/sh
# dlfuse-emergency.sh: prints the diagnosis at the emergency shell.

. /usr/lib/dlfuse/dlfuse-dracut.sh

if [ ! -e "$DLFUSE_ATTACHED" ] && _url=$(dlfuse_url); then
    dlfuse_diagnosis "$_url" >/dev/console
fi
unset _url
