# shellcheck shell=sh
# dlfuse-dracut.sh: how the shared library gets at dracut's kernel arguments. Sourced by the hooks of this module.

command -v getarg >/dev/null || . /lib/dracut-lib.sh
. /usr/lib/dlfuse/dlfuse-lib.sh

# In a shell of its own, because words may have characters that a shell would take for a pattern of file names.
dlfuse_words() (
    set -f
    # shellcheck disable=SC2046 # words are what is wanted
    printf '%s\n' $(getcmdline)
)
dlfuse_arg() { getarg "$1="; }
dlfuse_args() { getargs "$1="; }
dlfuse_flag() { getargbool 0 "$1"; }
dlfuse_shell() { emergency_shell "$1"; }

# The URL of root=dlfuse:URL or netroot=dlfuse:URL; 1 when this boot is not ours.
dlfuse_url() {
    local value
    for value in "$(getarg root=)" "$(getarg netroot=)"; do
        case $value in
        dlfuse:*) printf '%s\n' "${value#dlfuse:}" && return 0 ;;
        esac
    done
    return 1
}

# 0 when some interface is up and has an address that reaches further than its own link.
dlfuse_has_address() { [ -n "$(ip -o address show up scope global 2>/dev/null)" ]; }
