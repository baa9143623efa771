#!/bin/sh
# dlfuse-emergency.sh: what somebody at the emergency shell wants to know first.

. /usr/lib/dlfuse/dlfuse-dracut.sh

if [ ! -e "$DLFUSE_ATTACHED" ] && _url=$(dlfuse_url); then
    dlfuse_diagnosis "$_url" >/dev/console
fi
unset _url
