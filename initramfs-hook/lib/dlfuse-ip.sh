# shellcheck shell=sh
# dlfuse-ip.sh: no second DHCP behind pxelinux. That passes on the address that it has, but as ip=ADDRESS:SERVER:GATEWAY:NETMASK,
# which dracut takes for DHCP with an address and dies of, and which systemd's generator takes for nothing. So both read a
# kernel command line with the words that they want, on top of /proc/cmdline, until switch_root. Sourced by the dracut module,
# behind dlfuse-lib.sh; initramfs-tools understands these four fields itself.

# What the interface is called then; dlfuse-pxe's for machines with an address in the inventory, too.
DLFUSE_INTERFACE=bootnet
DLFUSE_CMDLINE=/proc/cmdline

# 0 for four numbers up to 255.
dlfuse_is_ipv4() {
    local rest="$1." count=0
    while [ -n "$rest" ]; do
        case ${rest%%.*} in '' | *[!0-9]* | ????*) return 1 ;; esac
        [ "${rest%%.*}" -le 255 ] || return 1
        rest=${rest#*.}
        count=$((count + 1))
    done
    [ $count = 4 ]
}

# dlfuse_static_ip FIELDS INTERFACE: the value of pxelinux's ip= as one that is complete, on stdout. 1: it is something else.
# Without a gateway pxelinux says 0.0.0.0.
dlfuse_static_ip() {
    local address mask rest gateway
    case $1 in
    *:*:*:*:*) return 1 ;;
    *:*:*:*) ;;
    *) return 1 ;;
    esac
    address=${1%%:*}
    mask=${1##*:}
    rest=${1#*:}
    rest=${rest%:*}
    gateway=${rest#*:}
    [ "$gateway" != 0.0.0.0 ] || gateway=''
    dlfuse_is_ipv4 "$address" && [ "$address" != 0.0.0.0 ] || return 1
    dlfuse_is_ipv4 "$mask" && [ "$mask" != 0.0.0.0 ] || return 1
    [ -z "${rest%%:*}" ] || dlfuse_is_ipv4 "${rest%%:*}" || return 1
    [ -z "$gateway" ] || dlfuse_is_ipv4 "$gateway" || return 1
    echo "$address::$gateway:$mask::$2:none"
}

# dlfuse_complete_ip FILE: the kernel command line in FILE on stdout, with pxelinux's ip= and BOOTIF= as ip=…:bootnet:none and
# ifname=bootnet:MAC, and each other byte as it is. 1, and nothing on stdout, where it has not one of each, or where something
# else is said: several ip=, other forms of it, one between quotes. An ifname= of this interface keeps its name, and there is no
# second one.
dlfuse_complete_ip() (
    # Words may have characters that a shell would take for a pattern of file names.
    set -f
    ips=0 bootifs=0 open=0 named='' interface=$DLFUSE_INTERFACE
    # Not told apart as the kernel does, which knows quotes, but as dracut does: it must be right for both.
    # shellcheck disable=SC2013 # words are what is wanted
    for word in $(cat "$1"); do
        case $word in
        ip=*) ips=$((ips + 1 + open)) ip=${word#ip=} ;;
        BOOTIF=*) bootifs=$((bootifs + 1 + open)) bootif=${word#BOOTIF=} ;;
        ifname=*) named="$named ${word#ifname=}" ;;
        esac
        while case $word in *\"*) ;; *) false ;; esac do
            word=${word#*\"}
            open=$((1 - open))
        done
    done
    [ $ips = 1 ] && [ $bootifs = 1 ] && mac=$(dlfuse_bootif_mac "$bootif") || exit 1
    name="ifname=$interface:$mac"
    for word in $named; do
        if [ "$(printf '%s\n' "${word#*:}" | sed 'y/ABCDEF/abcdef/')" = "$mac" ]; then
            interface=${word%%:*} name=''
        elif [ "${word%%:*}" = "$interface" ]; then
            exit 1
        fi
    done
    case $interface in '' | *[!A-Za-z0-9_.-]*) exit 1 ;; esac
    ip=$(dlfuse_static_ip "$ip" "$interface") || exit 1
    sed -E "s/(^|[[:blank:]])ip=[^[:blank:]]*/\1ip=$ip/; s/(^|[[:blank:]])BOOTIF=[^[:blank:]]*/\1$name/" "$1"
)

# dlfuse_pass_on_ip: before anything reads ip=. Done once, and nothing where there is nothing to complete.
dlfuse_pass_on_ip() {
    local completed="$DLFUSE_STATE/cmdline"
    ! dlfuse_is_mounted "$DLFUSE_CMDLINE" || return 0
    mkdir -p "$DLFUSE_STATE"
    if ! dlfuse_complete_ip "$DLFUSE_CMDLINE" >"$completed"; then
        rm -f "$completed"
    elif mount --bind "$completed" "$DLFUSE_CMDLINE"; then
        dlfuse_log 6 "pxelinux has passed on an address: the kernel command line is read as $completed has it"
    else
        dlfuse_log 3 "pxelinux's ip= cannot be completed: $completed cannot be mounted on $DLFUSE_CMDLINE"
    fi
}

# dlfuse_show_cmdline: /proc/cmdline is the kernel's again. Before switch_root, which would take the mount along.
dlfuse_show_cmdline() {
    ! dlfuse_is_mounted "$DLFUSE_CMDLINE" || umount -l "$DLFUSE_CMDLINE"
}
