#!/bin/sh
# dlfuse-prepare.sh: what the daemon needs, done early, while the network is still coming up.

. /usr/lib/dlfuse/dlfuse-dracut.sh

if dlfuse_url >/dev/null; then
    dlfuse_prepare
fi
