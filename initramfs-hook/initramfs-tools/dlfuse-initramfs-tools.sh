# shellcheck shell=sh
# dlfuse-initramfs-tools.sh: gives the shared library the facts that initramfs-tools has. Sourced by its boot scripts,
# in shells of their own: init's PATH stays as it is.

# busybox and klibc lack options that the library needs (losetup --direct-io, dd conv=sparse, flock): the hook puts the
# real programs here.
PATH=/usr/lib/dlfuse/bin:$PATH
. "${DLFUSE_LIB:-/usr/lib/dlfuse}/dlfuse-lib.sh"
. "${DLFUSE_LIB:-/usr/lib/dlfuse}/dlfuse-words.sh"

DLFUSE_CMDLINE=/proc/cmdline
# Exists when the machine has an address, or is said to have one.
DLFUSE_NETWORK="$DLFUSE_STATE/network"

dlfuse_read_words() {
    local line=''
    read -r line <"$DLFUSE_CMDLINE" || :
    dlfuse_set_words "$line"
}
dlfuse_read_words

# The URL of root=dlfuse:URL, which may also come from a configuration file, or netroot=dlfuse:URL; 1 when this boot is not
# ours.
dlfuse_url() {
    local value
    for value in "${ROOT:-}" "$(dlfuse_arg root)" "$(dlfuse_arg netroot)"; do
        case $value in
        dlfuse:*) printf '%s\n' "${value#dlfuse:}" && return 0 ;;
        esac
    done
    return 1
}

# With panic= this is the end of the boot instead, as everywhere in initramfs-tools.
dlfuse_shell() {
    dlfuse_diagnosis "$url" >/dev/console
    panic "$1"
}

# ipconfig knows no nameserver= of its own. The given ones come first, before those of configure_networking.
dlfuse_write_nameservers() {
    local address words
    words=$(
        for address in $(dlfuse_args nameserver); do
            printf 'nameserver %s\n' "$address"
        done
        [ ! -e "$DLFUSE_RESOLVER" ] || cat "$DLFUSE_RESOLVER"
    )
    [ -z "$words" ] || printf '%s\n' "$words" >"$DLFUSE_RESOLVER"
}

# dlfuse_connect URL: runs beside everything else, for as long as it takes. configure_networking gives up after minutes and
# then sources a file that a network would have left. Without that file, the shell that called it ends.
dlfuse_connect() {
    case ${IP:-} in
    none | off) ;;
    *) until (configure_networking); do sleep 1; done ;;
    esac
    dlfuse_write_nameservers
    : >"$DLFUSE_NETWORK"
    dlfuse_start "$1"
}

dlfuse_is_http() {
    case $1 in http://?* | https://?*) ;; *) return 1 ;; esac
}

# dlfuse_boot DIR: returns when the root filesystem is mounted at DIR.
dlfuse_boot() {
    local url ticks=0
    url=$(dlfuse_url)
    until dlfuse_is_http "$url"; do
        panic "root=dlfuse:$url: http:// or https:// must follow root=dlfuse:"
    done
    # This mark tells programs that they run in an initramfs. It tells the daemon that it has to outlive one
    # (systemd.io/INITRD_INTERFACE).
    [ -e /etc/initrd-release ] || : >/etc/initrd-release
    dlfuse_prepare
    dlfuse_connect "$url" </dev/null &
    until [ -e "$DLFUSE_ATTACHED" ]; do
        sleep 0.1
        ticks=$((ticks + 1))
        [ $((ticks % 10)) = 0 ] || continue
        # Started already, unless the supervisor has died.
        [ ! -e "$DLFUSE_NETWORK" ] || dlfuse_start "$url"
        dlfuse_wait "$url"
    done
    until dlfuse_mount_root "$1"; do
        panic "dlfuse: the root cannot be mounted at $1: does the kernel have overlay?"
    done
}
