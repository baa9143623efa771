#!/bin/sh
# dlfuse-finish.sh: the last thing before switch_root.

. /usr/lib/dlfuse/dlfuse-dracut.sh
. /usr/lib/dlfuse/dlfuse-ip.sh

dlfuse_show_cmdline
dlfuse_read_words
if [ -e "$DLFUSE_ATTACHED" ]; then
    dlfuse_finish "$NEWROOT"
fi
