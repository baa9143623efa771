# shellcheck shell=sh
# dlfuse-dracut.sh: how the shared library gets at dracut's kernel arguments. Sourced by the hooks of this module.

command -v getarg >/dev/null || . /lib/dracut-lib.sh
. /usr/lib/dlfuse/dlfuse-lib.sh
. /usr/lib/dlfuse/dlfuse-words.sh

# dlfuse_read_words: again when /proc/cmdline is another one. Where dracut lacks getcmdline, which its manual page does not promise,
# its getarg is asked, a program each time.
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
