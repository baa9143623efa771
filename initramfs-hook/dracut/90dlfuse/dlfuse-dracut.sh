# shellcheck shell=sh
# dlfuse-dracut.sh: gives the shared library dracut's kernel arguments. Sourced by the hooks of this module.

command -v getarg >/dev/null || . /lib/dracut-lib.sh
. /usr/lib/dlfuse/dlfuse-lib.sh
. /usr/lib/dlfuse/dlfuse-words.sh

# dlfuse_read_words: reads them again when /proc/cmdline has changed. dracut's manual page does not promise getcmdline. Where it
# is missing, dracut's getarg is asked, at the cost of a program for each call.
if command -v getcmdline >/dev/null; then
    dlfuse_read_words() { dlfuse_set_words "$(getcmdline)"; }
else
    dlfuse_read_words() { dlfuse_set_words "$(cat /proc/cmdline)"; }
    dlfuse_arg() { getarg "$1="; }
    dlfuse_args() { getargs "$1="; }
    dlfuse_flag() { getargbool 0 "$1"; }
fi
dlfuse_read_words
dlfuse_shell() { emergency_shell "$1"; }

# The URL of root=dlfuse:URL or netroot=dlfuse:URL; 1 when this boot is not ours.
dlfuse_url() {
    local value
    for value in "$(dlfuse_arg root)" "$(dlfuse_arg netroot)"; do
        case $value in
        dlfuse:*) printf '%s\n' "${value#dlfuse:}" && return 0 ;;
        esac
    done
    return 1
}

# 0 when some interface is up and has an address that reaches further than its own link.
dlfuse_has_address() { [ -n "$(ip -o address show up scope global 2>/dev/null)" ]; }
